//! Typed payloads: what can be decoded is, encoded and decoded again, the same bytes.

use std::collections::BTreeMap;

use gridmux_core::payload::{
    Array, Body, Json, MsgBytes, Mss, NoPayload, Payload, Presence, UrlValues,
};
use serde::{Deserialize, Serialize};

/// A type of which a peer could make a deep one.
#[derive(Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Boxed(Box<Tree>),
    Fork(Vec<Tree>),
    Named { left: Option<Box<Tree>>, text: String },
}

/// A little of everything that serde knows.
#[derive(Serialize, Deserialize)]
struct Everything {
    number: u32,
    #[serde(default)]
    float: f64,
    #[serde(default)]
    narrow: f32,
    #[serde(default)]
    letter: Option<char>,
    #[serde(default)]
    pair: (i8, bool),
    #[serde(default, with = "serde_bytes")]
    bytes: Vec<u8>,
    #[serde(default)]
    map: BTreeMap<u16, Option<String>>,
    #[serde(default)]
    unit: (),
    #[serde(default)]
    large: u64,
}

/// The first byte chooses the type, the rest is the payload; none is a nil payload.
pub fn payload(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let payload = if bytes.is_empty() && choice & 0x80 != 0 {
        Payload::NIL
    } else {
        Payload::from(bytes.to_vec())
    };
    match choice & 0x7f {
        0 => check::<Mss>(payload),
        1 => check::<MsgBytes>(payload),
        2 => check::<UrlValues>(payload),
        3 => check::<Json<BTreeMap<String, Vec<Option<i64>>>>>(payload),
        4 => check::<NoPayload>(payload),
        5 => check::<Array<MsgBytes>>(payload),
        6 => check::<Payload>(payload),
        7 => check::<Tree>(payload),
        8 => check::<Everything>(payload),
        9 => check::<Vec<Vec<u8>>>(payload),
        10 => check::<Array<Mss>>(payload),
        11 => check::<Option<Box<(String, u64)>>>(payload),
        _ => check::<Json<Vec<String>>>(payload),
    }
}

/// Bytes are compared, for a value may differ from itself: NaN does.
fn check<T: Body>(payload: Payload) {
    let Ok(value) = T::decode(payload) else { return };
    let mut out = vec![0xee];
    let presence = value.encode(&mut out).expect("what was decoded can be encoded");
    assert_eq!(out[0], 0xee, "what is there stays");
    let written = &out[1..];
    let encoded = value.to_payload().expect("what was encoded can be again");
    assert_eq!(encoded.as_slice(), written);
    assert_eq!(encoded.is_nil(), presence == Presence::Nil);
    let again = T::decode(encoded.clone()).unwrap_or_else(|error| {
        panic!("what we write cannot be read: {error} in {written:02x?}");
    });
    assert_eq!(again.to_payload().expect("as before"), encoded);
}
