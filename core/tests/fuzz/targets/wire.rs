//! Messages and the payloads that the protocol itself reads: decode, encode again, decode again.

use gridmux_core::wire::{
    Connect, ConnectResponse, DecodeError, MessageRef, MuxConnectError, Ping, Pong, Timestamp,
    for_each_message,
};

/// What is read means the same after it was written and read again, and is never longer when it is
/// written by us: integers are then in their smallest form.
pub fn wire(data: &[u8]) {
    if let Ok(decoded) = MessageRef::decode(data) {
        let again = check_message(decoded.message);
        assert!(again + decoded.rest.len() <= data.len(), "the smallest form");
    }
    let (mut parts, mut bytes) = (0, 0);
    let whole = for_each_message(data, usize::MAX, |message| {
        parts += 1;
        bytes += check_message(message);
    });
    assert!(bytes <= data.len(), "no byte of a frame is read twice");

    // A smaller limit gives the first of these messages, and no other.
    let mut fewer = 0;
    let limited = for_each_message(data, 100, |_| fewer += 1);
    assert!(fewer <= parts);
    assert!(whole.is_ok() || limited.is_err());

    check_body(data, Connect::decode, Connect::encode);
    check_body(data, ConnectResponse::decode, ConnectResponse::encode);
    check_body(data, MuxConnectError::decode, MuxConnectError::encode);
    check_body(data, Ping::decode, Ping::encode);
    check_body(data, Pong::decode, Pong::encode);
    check_body(data, Timestamp::decode, |time, out| time.encode(out));
}

/// Gives the length of the message as we write it.
fn check_message(message: MessageRef<'_>) -> usize {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    assert_eq!(bytes.len(), message.encoded_len());
    let again = MessageRef::decode(&bytes).expect("what we write can be read");
    assert_eq!(again.message, message);
    assert!(again.rest.is_empty());
    bytes.len()
}

fn check_body<T: PartialEq + std::fmt::Debug>(
    data: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T, &mut Vec<u8>),
) {
    let Ok(body) = decode(data) else { return };
    let mut bytes = Vec::new();
    encode(&body, &mut bytes);
    assert_eq!(decode(&bytes).as_ref(), Ok(&body), "what we write can be read");
}
