//! A passive monitor of the wire, with a decoder of its own.

mod decode;

pub use self::decode::{
    Body, Crc, Damage, Kind, Message, Op, Payload, Role, Seen, Tap, Time, flag,
};
