//! What a payload is decoded to, and that it is bounded.

use std::collections::{BTreeMap, BTreeSet};

use gridmux_core::payload::{
    Array, Body, DecodeBodyError, Json, MsgBytes, Mss, NoPayload, Payload, UrlValues,
};
use serde::{Deserialize, Serialize};

/// Decodes `payload` as `T` without a limit, and checks that the size found is itself a limit that is
/// just met.
fn size_of_decoded<T: Body>(payload: &Payload) -> usize {
    let Ok((_, size)) = T::decode_within(payload.clone(), usize::MAX) else {
        panic!("not well-formed")
    };
    assert!(T::decode_within(payload.clone(), size).is_ok());
    let error = T::decode_within(payload.clone(), size - 1).err();
    assert_eq!(error, Some(DecodeBodyError::TooLarge { limit: size - 1 }));
    size
}

fn array(len: usize, element: &[u8]) -> Payload {
    let mut bytes = vec![0xdd];
    bytes.extend_from_slice(&u32::try_from(len).expect("short").to_be_bytes());
    bytes.extend_from_slice(&element.repeat(len));
    bytes.into()
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wide {
    numbers: [u64; 32],
}

#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "that is what multiplies")]
enum Rarely {
    Large([u64; 32]),
    Small,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tree(Vec<Tree>, Option<Box<Wide>>);

#[test]
fn what_multiplies_in_memory_is_counted_as_what_it_becomes() {
    const LEN: usize = 100_000;
    let empty_vectors = size_of_decoded::<Vec<Vec<u8>>>(&array(LEN, &[0x90]));
    assert!(empty_vectors >= 24 * LEN, "{empty_vectors}");
    let empty_texts = size_of_decoded::<Array<String>>(&array(LEN, &[0xa0]));
    assert!(empty_texts >= 24 * LEN, "{empty_texts}");
    let units = size_of_decoded::<Vec<Rarely>>(&array(LEN, b"\xa5Small"));
    assert!(units >= 256 * LEN, "{units}");
    let missing = size_of_decoded::<Vec<Option<Wide>>>(&array(LEN, &[0xc0]));
    assert!(missing >= 256 * LEN, "{missing}");
    let defaults = size_of_decoded::<Vec<Wide>>(&array(LEN, &[0x80]));
    assert!(defaults >= 256 * LEN, "{defaults}");
    let boxed = size_of_decoded::<Vec<Box<Wide>>>(&array(LEN, &[0x80]));
    assert!(boxed >= (256 + 8) * LEN, "{boxed}");
    let nested = size_of_decoded::<Vec<Tree>>(&array(LEN, b"\x92\x90\x80"));
    assert!(nested >= (256 + 32) * LEN, "{nested}");
    let maps = size_of_decoded::<Vec<BTreeMap<String, String>>>(&array(LEN, b"\x81\xa0\xa0"));
    assert!(maps >= 11 * 48 * LEN, "{maps}");
    let short = size_of_decoded::<Vec<Vec<u8>>>(&array(LEN, &[0x91, 7]));
    assert!(short >= (24 + 24) * LEN, "{short}: an allocation of one byte takes more");
    let json = format!("[{}[]]", "[],".repeat(LEN - 1)).into_bytes();
    let mut bin = vec![0xc6];
    bin.extend_from_slice(&u32::try_from(json.len()).expect("short").to_be_bytes());
    bin.extend_from_slice(&json);
    let json = size_of_decoded::<Json<Vec<Vec<u8>>>>(&bin.into());
    assert!(json >= 24 * LEN, "{json}");
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    name: String,
    at: (u64, u64),
    kind: Kind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Kind {
    File { size: u64 },
    Directory,
}

#[test]
fn ordinary_values_are_counted_as_little_more_than_they_take() {
    let lines: Vec<_> = (0..1000)
        .map(|n| Line {
            name: format!("directory-{n}/file-{n}"),
            at: (n, n),
            kind: if n % 2 == 0 { Kind::File { size: n } } else { Kind::Directory },
        })
        .collect();
    let texts: usize = lines.iter().map(|line| line.name.len()).sum();
    let taken = lines.len() * size_of::<Line>() + texts;
    let size = size_of_decoded::<Vec<Line>>(&lines.to_payload().expect("encoded"));
    assert!((taken..2 * taken).contains(&size), "{size} for {taken}");

    let numbers: Vec<u64> = (0..10_000).collect();
    let size = size_of_decoded::<Vec<u64>>(&numbers.to_payload().expect("encoded"));
    assert!((80_000..81_000).contains(&size), "{size}");

    let texts: BTreeMap<String, String> =
        (0..1000).map(|n| (format!("key-{n}"), "x".repeat(50))).collect();
    let size = size_of_decoded::<Mss>(&Mss(Some(texts)).to_payload().expect("encoded"));
    assert!((100_000..350_000).contains(&size), "{size}");

    let bytes = MsgBytes::from(vec![7; 100_000]);
    let size = size_of_decoded::<MsgBytes>(&bytes.to_payload().expect("encoded"));
    assert!((100_000..100_200).contains(&size), "{size}");
}

#[test]
fn a_small_value_is_counted_as_its_type() {
    assert_eq!(size_of_decoded::<u64>(&7_u64.to_payload().expect("encoded")), 8);
    assert_eq!(size_of_decoded::<bool>(&true.to_payload().expect("encoded")), 1);
    let nil = UrlValues::default().to_payload().expect("encoded");
    assert_eq!(size_of_decoded::<UrlValues>(&nil), size_of::<UrlValues>());
    let set = size_of_decoded::<BTreeSet<u8>>(&array(10, &[1]));
    assert!(set < 100, "{set}");
}

#[test]
fn raw_payloads_are_as_large_as_they_are_and_have_no_limit() {
    let payload = Payload::from(vec![7; 1000]);
    assert_eq!(Payload::decode_within(payload.clone(), 1), Ok((payload, 1000)));
    assert_eq!(NoPayload::decode_within(Payload::EMPTY, 1), Ok((NoPayload, 0)));
}
