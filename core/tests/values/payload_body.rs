//! Values as payloads: what is kept, and what is refused.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use gridmux_core::payload::{
    Array, Body, DecodeBodyError, EncodeError, Json, MAX_DEPTH, MsgBytes, Mss, NoPayload, Payload,
    Presence, UrlValues,
};
use proptest::prelude::*;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Disk {
    path: String,
    free: u64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    parent: Option<Box<Disk>>,
    state: State,
    id: MsgBytes,
    history: Vec<(i64, State)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    Online,
    Offline { since: i64, reason: String },
    Healing(u8),
    Moved(String, u32),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: u32,
    y: u32,
}

/// Recurses through arrays.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct List(Vec<List>);

/// Recurses through enums alone.
#[derive(Debug, Serialize, Deserialize)]
enum Chain {
    Link(Box<Chain>),
    End,
}

/// Recurses through nothing that takes a byte.
#[derive(Debug, Serialize, Deserialize)]
struct Endless(Option<Box<Endless>>);

fn decode<T: Body>(bytes: &[u8]) -> Result<T, DecodeBodyError> {
    T::decode(Bytes::copy_from_slice(bytes).into())
}

#[test]
fn nil_and_empty_payloads_stay_apart() {
    for payload in [Payload::NIL, Payload::EMPTY, Payload::from(&b"x"[..])] {
        let mut out = b"before".to_vec();
        let presence = payload.encode(&mut out).unwrap();
        assert_eq!(presence == Presence::Nil, payload.is_nil());
        assert_eq!(out, [b"before", payload.as_slice()].concat());

        let copy = payload.to_payload().unwrap();
        assert_eq!(copy, payload);
        assert_eq!(Payload::decode(copy).unwrap(), payload);
        assert_eq!(Payload::from(payload.clone().into_inner()), payload);
    }
    assert_ne!(Payload::NIL, Payload::EMPTY);
    assert_eq!(Payload::NIL.into_bytes(), Payload::EMPTY.into_bytes());
    assert_eq!(Payload::default(), Payload::NIL);
}

#[test]
fn a_payload_is_passed_on_without_a_copy() {
    let payload = Payload::from(vec![7; 1000]);
    let at = payload.as_ptr();
    assert_eq!(payload.to_payload().unwrap().as_ptr(), at);
    assert_eq!(Payload::decode(payload).unwrap().as_ptr(), at);
}

#[test]
fn debug_shows_the_beginning_only() {
    assert_eq!(format!("{:?}", Payload::NIL), "Payload(nil)");
    assert_eq!(format!("{:?}", Payload::EMPTY), "Payload(0 bytes)");
    assert_eq!(format!("{:?}", Payload::from(&b"\x00\xff"[..])), "Payload(2 bytes: 00ff)");
    let long = format!("{:?}", Payload::from(vec![0xab; 1 << 20]));
    assert_eq!(long, format!("Payload(1048576 bytes: {}…)", "ab".repeat(16)));
}

#[test]
fn structs_are_maps() {
    let payload = Point { x: 1, y: 300 }.to_payload().unwrap();
    assert_eq!(payload.as_slice(), b"\x82\xa1x\x01\xa1y\xcd\x01\x2c");
    let reordered_with_unknown = b"\x83\xa1y\x02\xa1z\x91\xc0\xa1x\xd3\0\0\0\0\0\0\0\x01";
    assert_eq!(decode(reordered_with_unknown), Ok(Point { x: 1, y: 2 }));
}

#[test]
fn encoding_appends_and_undoes_on_error() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    impl<'de> Deserialize<'de> for Refuses {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    let mut out = vec![9];
    assert_eq!(Mss::default().encode(&mut out), Ok(Presence::Bytes));
    assert_eq!(out, [9, 0xc0]);
    assert_eq!((1_u8, Refuses).encode(&mut out), Err(EncodeError::Value("no".into())));
    assert_eq!(out, [9, 0xc0]);
    // It takes no byte of what it reads.
    assert_eq!(decode::<Refuses>(&[1]).err(), Some(DecodeBodyError::TrailingBytes));
}

#[test]
fn no_bytes_are_no_value() {
    for payload in [Payload::NIL, Payload::EMPTY] {
        assert_eq!(Mss::decode(payload.clone()), Err(DecodeBodyError::Empty));
        assert_eq!(Json::<u8>::decode(payload.clone()), Err(DecodeBodyError::Empty));
        assert_eq!(<()>::decode(payload), Err(DecodeBodyError::Empty));
    }
    assert_eq!(decode(&[0xc0]), Ok(()));
}

#[test]
fn trailing_bytes_are_refused() {
    for trailer in 0..=255 {
        assert_eq!(decode::<u8>(&[1, trailer]), Err(DecodeBodyError::TrailingBytes), "{trailer}");
        let after_map = [0x81, 0xa1, b'a', 0xa1, b'b', trailer];
        assert_eq!(decode::<Mss>(&after_map), Err(DecodeBodyError::TrailingBytes), "{trailer}");
    }
    assert_eq!(decode::<NoPayload>(&[0xc0]), Err(DecodeBodyError::TrailingBytes));
}

#[test]
fn wrong_types_are_typed_errors() {
    let text = "text".to_string().to_payload().unwrap();
    let mismatch = |error| matches!(error, Some(DecodeBodyError::Mismatch(_)));
    assert!(mismatch(Mss::decode(text.clone()).err()));
    assert!(mismatch(UrlValues::decode(text.clone()).err()));
    assert!(mismatch(MsgBytes::decode(text.clone()).err()));
    assert!(mismatch(Json::<String>::decode(text.clone()).err()));
    assert!(mismatch(Array::<u8>::decode(text.clone()).err()));
    assert!(mismatch(Point::decode(text.clone()).err()));
    assert!(mismatch(u64::decode(text.clone()).err()));
    assert!(mismatch(State::decode(text).err()));
    assert!(mismatch(decode::<u8>(&[0xcd, 1, 0]).err()));
    assert!(mismatch(decode::<Point>(b"\x81\xa1x\x01").err()));
    // The one byte that MessagePack never uses.
    assert!(mismatch(decode::<()>(&[0xc1]).err()));
    assert!(mismatch(decode::<Json<u8>>(b"\xc4\x03300").err()));
    assert!(mismatch(decode::<Json<u8>>(b"\xc4\x00").err()));
    assert!(mismatch(decode::<Json<u8>>(b"\xc4\x031 2").err()));
    assert_eq!(decode::<String>(b"\xa1\xff"), Err(DecodeBodyError::NotUtf8));
    assert_eq!(decode::<String>(b"\xa2a"), Err(DecodeBodyError::Truncated));
}

#[test]
fn an_error_quotes_only_so_much_of_the_payload() {
    let payload = "ä".repeat(1 << 20).to_payload().unwrap();
    let error = u64::decode(payload).unwrap_err();
    assert!(error.to_string().len() < 300, "{}", error.to_string().len());
}

#[test]
fn a_false_length_is_not_believed() {
    for header in [[0xdd], [0xdf], [0xc6], [0xdb]] {
        let bytes = [&header[..], &[0xff; 4]].concat();
        assert!(decode::<Array<u64>>(&bytes).is_err());
        assert!(decode::<UrlValues>(&bytes).is_err());
        assert!(decode::<MsgBytes>(&bytes).is_err());
    }
    assert_eq!(decode::<Array<u64>>(b"\xdd\xff\xff\xff\xff\x01"), Err(DecodeBodyError::Truncated));
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    // A level is an array and the newtype around it.
    let nested = |levels: usize| [vec![0x91; levels - 1], vec![0x90]].concat();
    assert!(decode::<List>(&nested(MAX_DEPTH / 2)).is_ok());
    assert_eq!(decode::<List>(&nested(MAX_DEPTH / 2 + 1)), Err(DecodeBodyError::TooDeep));
    assert_eq!(decode::<List>(&nested(1 << 20)), Err(DecodeBodyError::TooDeep));
}

#[test]
fn nested_enums_cannot_overflow_the_stack() {
    let too_deep = |bytes: &[u8]| {
        assert_eq!(decode::<Chain>(bytes).err(), Some(DecodeBodyError::TooDeep));
        let in_a_list = [&[0xdd, 0xff, 0xff, 0xff, 0xff], bytes].concat();
        assert_eq!(decode::<Vec<Chain>>(&in_a_list).err(), Some(DecodeBodyError::TooDeep));
    };
    too_deep(&b"\x81\xa4Link".repeat(1 << 18));
    too_deep(&b"\x81\x00".repeat(1 << 20));

    let chain = [&b"\x81\xa4Link".repeat(MAX_DEPTH - 1)[..], b"\xa3End"].concat();
    assert!(decode::<Chain>(&chain).is_ok());
}

#[test]
fn nested_options_and_ignored_values_cannot_overflow_the_stack() {
    assert_eq!(decode::<Endless>(&[1]).err(), Some(DecodeBodyError::TooDeep));
    let mut unknown_field = b"\x83\xa1x\x01\xa1y\x01\xa1z".to_vec();
    unknown_field.extend(vec![0x91; 1 << 20]);
    assert_eq!(decode::<Point>(&unknown_field), Err(DecodeBodyError::TooDeep));
}

/// Fails with the number of elements that its array or map is said to have.
#[derive(Debug, Serialize)]
struct Claimed;

impl<'de> Deserialize<'de> for Claimed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Claimed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or a map")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Claimed, A::Error> {
                Err(A::Error::custom(format!("claims {:?}", seq.size_hint())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Claimed, A::Error> {
                Err(A::Error::custom(format!("claims {:?}", map.size_hint())))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

#[test]
fn no_length_that_a_payload_claims_is_believed_beyond_its_own() {
    let claims = |error: Option<DecodeBodyError>, len: usize| {
        let error = error.expect("no value has this type").to_string();
        assert!(error.contains(&format!("claims Some({len})")), "{error}");
    };
    // The largest array and the largest map.
    for head in [0xdd, 0xdf] {
        let huge = [head, 0xff, 0xff, 0xff, 0xff];
        claims(decode::<Claimed>(&huge).err(), 5);
        claims(decode::<Claimed>(&[&huge[..], &[1, 2, 3]].concat()).err(), 8);
        claims(decode::<Vec<Claimed>>(&[&[0x91][..], &huge].concat()).err(), 6);
        claims(decode::<Option<Claimed>>(&huge).err(), 5);
        let in_a_map = [&b"\x81\xa1x"[..], &huge].concat();
        claims(decode::<BTreeMap<String, Claimed>>(&in_a_map).err(), 8);
    }
    claims(decode::<Claimed>(&[0x92, 1, 2]).err(), 2);
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Online),
        (any::<i64>(), ".*").prop_map(|(since, reason)| State::Offline { since, reason }),
        any::<u8>().prop_map(State::Healing),
        (".*", any::<u32>()).prop_map(|(to, n)| State::Moved(to, n)),
    ]
}

fn disk() -> impl Strategy<Value = Disk> {
    let labels = prop::collection::btree_map(".*", ".*", 0..4);
    let id = prop::option::of(prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|bytes| MsgBytes(bytes.map(Bytes::from)));
    let history = prop::collection::vec((any::<i64>(), state()), 0..20);
    let leaf = (".*", any::<u64>(), labels, state(), id, history).prop_map(
        |(path, free, labels, state, id, history)| Disk {
            path,
            free,
            labels,
            parent: None,
            state,
            id,
            history,
        },
    );
    leaf.prop_recursive(4, 8, 1, |inner| {
        (inner.clone(), inner)
            .prop_map(|(disk, parent)| Disk { parent: Some(Box::new(parent)), ..disk })
    })
}

proptest! {
    #[test]
    fn a_nested_struct_comes_back(disk in disk()) {
        let payload = disk.to_payload().unwrap();
        prop_assert_eq!(&Disk::decode(payload).unwrap(), &disk);
        let json = Json(Some(disk.path));
        prop_assert_eq!(&Json::decode(json.to_payload().unwrap()).unwrap(), &json);
    }

    #[test]
    fn every_prefix_of_a_value_is_truncated(disk in disk(), at in any::<prop::sample::Index>()) {
        let payload = disk.to_payload().unwrap();
        let end = 1 + at.index(payload.len() - 1);
        prop_assert_eq!(decode::<Disk>(&payload[..end]), Err(DecodeBodyError::Truncated));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<Disk>(&bytes);
        let _ = decode::<Mss>(&bytes);
        let _ = decode::<UrlValues>(&bytes);
        let _ = decode::<Array<Json<State>>>(&bytes);
        if let Ok(value) = decode::<MsgBytes>(&bytes) {
            prop_assert_eq!(decode::<MsgBytes>(&value.to_payload().unwrap()), Ok(value));
        }
    }
}
