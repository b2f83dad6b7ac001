//! From bytes to messages, by PROTOCOL.md and RFC 6455 alone.

mod body;
mod frame;
mod message;
mod op;
mod pack;
mod tap;

pub use self::body::{Body, Time};
pub use self::message::{Crc, Message, Payload};
pub use self::op::{Op, flag};
pub use self::tap::{Kind, Role, Seen, Tap};

/// Why bytes are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The HTTP head has no end, or no beginning.
    Head,
    /// A WebSocket frame with a reserved bit.
    ReservedBits,
    /// A WebSocket frame with an opcode that RFC 6455 does not name.
    Opcode(u8),
    /// Masked by the acceptor, or not masked by the dialler.
    Mask,
    /// A control frame over 125 bytes, or in fragments.
    ControlFrame,
    /// A continuation of nothing, or a new message within one.
    Fragment,
    /// A WebSocket message over the limit.
    TooLong,
    /// The bytes end too early.
    Truncated,
    /// A MessagePack value of another type.
    Type,
    /// A number that its field cannot hold.
    Range,
    /// An array that does not have 7 elements.
    Elements,
    /// Parts of a merged message that are not there, or that are no messages.
    Parts,
}

impl Damage {
    /// Whether nothing behind it can be read. Otherwise the next WebSocket message can.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Head
            | Self::ReservedBits
            | Self::Opcode(_)
            | Self::Mask
            | Self::ControlFrame
            | Self::Fragment
            | Self::TooLong => true,
            Self::Truncated | Self::Type | Self::Range | Self::Elements | Self::Parts => false,
        }
    }
}
