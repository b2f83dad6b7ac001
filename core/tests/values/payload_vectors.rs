//! Every payload that a Go node was seen to write is read as the value it stands for, and written
//! as the same bytes.

use gridmux_core::payload::{Array, Body, Json, MsgBytes, Mss, NoPayload, Payload, UrlValues};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const VECTORS: &str = include_str!("../vectors/payloads.json");

/// The type that was behind the recorded JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "N")]
    n: u32,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The value as the vectors' own JSON describes it.
fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn bytes(value: &Value) -> MsgBytes {
    MsgBytes(value.get("hex").map(|hex| unhex(hex.as_str().unwrap()).into()))
}

fn array<T>(value: &Value, item: impl Fn(&Value) -> T) -> Array<T> {
    Array(value.as_array().map(|items| items.iter().map(item).collect()))
}

fn check<T: Body + PartialEq + std::fmt::Debug>(expected: &T, recorded: &[u8], fixed_order: bool) {
    let decoded = T::decode(recorded.to_vec().into()).unwrap();
    assert_eq!(&decoded, expected);

    let ours = decoded.to_payload().unwrap();
    if fixed_order {
        assert_eq!(ours.as_slice(), recorded);
    }
    assert_eq!(ours.len(), recorded.len());
    assert_eq!(&T::decode(ours).unwrap(), expected);

    for end in 1..recorded.len() {
        T::decode(recorded[..end].to_vec().into()).unwrap_err();
    }
    T::decode([recorded, &[0xc0]].concat().into()).unwrap_err();
}

#[test]
fn recorded_payloads_are_read_and_written() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let payloads = vectors["payloads"].as_array().unwrap();
    assert!(payloads.len() >= 16);

    for vector in payloads {
        let value = &vector["value"];
        let recorded = unhex(vector["hex"].as_str().unwrap());
        let fixed_order = vector.get("note").is_none();
        match vector["type"].as_str().unwrap() {
            "MSS" => check(&typed::<Mss>(value), &recorded, fixed_order),
            "URLValues" => check(&typed::<UrlValues>(value), &recorded, fixed_order),
            "Bytes" => check(&bytes(value), &recorded, fixed_order),
            "Array of Bytes" => check(&array(value, bytes), &recorded, fixed_order),
            "Array of MSS" => check(&array(value, typed::<Mss>), &recorded, fixed_order),
            "NoPayload" => check(&NoPayload, &recorded, fixed_order),
            "JSON" if value.is_null() => check(&Json::<Recorded>(None), &recorded, fixed_order),
            "JSON" => check_json(value, &recorded),
            other => panic!("no test for {other}"),
        }
    }
}

/// A Go node writes `<` in a JSON text as an escape, which we read and do not write.
fn check_json(value: &Value, recorded: &[u8]) {
    let decoded = Json::<Recorded>::decode(recorded.to_vec().into()).unwrap();
    assert_eq!(decoded, Json(Some(typed(value))));

    let ours = decoded.to_payload().unwrap();
    let text = String::from_utf8(recorded[2..].to_vec()).unwrap().replace("\\u003c", "<");
    assert_eq!(&ours[2..], text.as_bytes());
    assert_eq!(ours[..2], [0xc4, u8::try_from(text.len()).unwrap()]);
}

#[test]
fn no_payload_is_read_from_nil_as_well_as_from_empty() {
    assert_eq!(NoPayload::decode(Payload::NIL), Ok(NoPayload));
    assert_eq!(NoPayload::decode(Payload::EMPTY), Ok(NoPayload));
    assert_eq!(NoPayload.to_payload(), Ok(Payload::EMPTY));
}
