//! A Connect that is written in other forms than ours: each legal, none the smallest (PROTOCOL.md
//! section 2).

use gridmux_core::wire::Timestamp;

/// Values of all kinds under a key that nobody knows: readers are to skip them.
const UNKNOWN: &[u8] = &[
    0xd9, 5, b'E', b'x', b't', b'r', b'a', // the key
    0xdc, 0, 32, // an array of them
    0xc0, 0xc2, 0xc3, 7, 0xe0, // nil, false, true, and the shortest integers
    0xcc, 1, 0xcd, 0, 1, 0xce, 0, 0, 0, 1, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1, // unsigned
    0xd0, 1, 0xd1, 0, 1, 0xd2, 0, 0, 0, 1, 0xd3, 0, 0, 0, 0, 0, 0, 0, 1, // signed
    0xca, 0, 0, 0, 0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0, // floats
    0xa1, b'x', 0xd9, 1, b'x', 0xda, 0, 1, b'x', // texts
    0xdb, 0, 0, 0, 1, b'x', //
    0xc4, 1, 0, 0xc5, 0, 1, 0, 0xc6, 0, 0, 0, 1, 0, // bytes
    0x91, 0x80, 0xdd, 0, 0, 0, 1, 0, // arrays
    0x81, 0, 0, 0xde, 0, 1, 0, 0, 0xdf, 0, 0, 0, 1, 0, 0, // maps
    0xd4, 9, 0, 0xd5, 9, 0, 0, // extensions
    0xd6, 9, 0, 0, 0, 0, //
    0xc7, 1, 9, 0, 0xc8, 0, 1, 9, 0, //
];

/// The Connect of a node that says who it is.
pub(super) fn hello(id: [u8; 16], host: &str, time: Timestamp, token: &str) -> Vec<u8> {
    let mut payload = vec![0xde, 0, 5];
    payload.extend_from_slice(UNKNOWN);
    payload.extend_from_slice(&[0xd9, 2, b'I', b'D', 0xc5, 0, 16]);
    payload.extend_from_slice(&id);
    payload.extend_from_slice(&[0xda, 0, 4]);
    payload.extend_from_slice(b"Host");
    text(&mut payload, host);
    payload.extend_from_slice(&[0xdb, 0, 0, 0, 4]);
    payload.extend_from_slice(b"Time");
    // The timestamp of MessagePack itself.
    payload.extend_from_slice(&[0xc7, 12, 0xff]);
    payload.extend_from_slice(&time.nanos.to_be_bytes());
    payload.extend_from_slice(&time.seconds.to_be_bytes());
    payload.extend_from_slice(b"\xa5Token");
    text(&mut payload, token);
    let mut message = vec![0xdc, 0, 7];
    message.extend_from_slice(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&[0xd2, 0, 0, 0, 0]);
    message.extend_from_slice(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&[0xd0, 0, 0xd1, 0, 1, 0xcc, 0, 0xc6]);
    message.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    message.extend_from_slice(&payload);
    message
}

fn text(payload: &mut Vec<u8>, text: &str) {
    payload.push(0xdb);
    payload.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    payload.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Connect, Header, MessageRef, Op, Timestamp};

    use super::hello;

    #[test]
    fn a_connect_in_wide_forms_says_the_same() {
        let time = Timestamp { seconds: 1_800_000_000, nanos: 77 };
        let message = hello([3; 16], "http://n0:9000", time, "token");
        let decoded = MessageRef::decode(&message).expect("it is legal").message;
        assert_eq!(decoded.header, Header::new(Op::Connect));
        let connect = Connect::decode(decoded.payload).expect("it is legal");
        let (host, token) = ("http://n0:9000".into(), "token".into());
        assert_eq!(connect, Connect { id: [3; 16], host, time, token });
    }
}
