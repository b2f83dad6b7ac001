//! O20: bytes and messages are the same thing: what the core writes, it reads again as it was, the
//! monitor's own decoder reads the same, and it does not matter how the bytes are split.
//!
//! The beginning of every stream of bytes that a node of ours has written, in those runs that
//! [`Options::invariants`](crate::run::Options) names, goes through the core's channel and decoder
//! once more: whole, in small pieces, and with each message in three fragments with pings between.
//!
//! In every run, a request of no bytes comes as nil if it was nil and as empty if it was not, and
//! what a peer of ours, or one that keeps to the protocol in its own way, has sent in order is not
//! taken for a malformed message.

use bytes::Bytes;
use gridmux_core::websocket::{Channel, Incoming, Role as Reader};
use gridmux_core::wire::{MessageRef, Op, for_each_message};

use super::evidence::Stream;
use super::{Bench, Case};
use crate::history::Sight;
use crate::monitor::{Kind, Message, Payload, Role, Tap};
use crate::verdict::Class;

/// Longer than any message of a stream.
const LONGEST: usize = 64 << 20;

/// Pieces that bytes are read in.
const WHOLE: &[usize] = &[usize::MAX];
const SMALL: &[usize] = &[1, 7, 2, 64, 3, 1_460];

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    judge_empty(case, bench);
    for (at, problem) in &case.evidence.inside.misread {
        bench.fail(Class::Safety, "an orderly message is malformed", *at, problem.clone());
    }
    for stream in &case.evidence.streams {
        bench.judged();
        if let Err(rule) = check(stream) {
            let Stream { node, peer, connection, .. } = stream;
            let detail = format!("n{node} to n{peer}, connection {connection}");
            bench.fail(Class::Safety, rule, case.evidence.farewell.end, detail);
        }
    }
}

/// Nil and empty are kept apart.
fn judge_empty(case: &Case<'_>, bench: &mut Bench<'_>) {
    for story in case.stories.iter().filter(|story| story.ours == [true; 2]) {
        let Some(started) =
            story.started().filter(|_| story.call.size.is_none_or(|size| size == 0))
        else {
            continue;
        };
        if case.bounds.is_corrupted(story.call.from, story.call.to, started.at) {
            bench.excuse("a byte was changed on the way");
            continue;
        }
        bench.judged();
        if started.sight != Sight::Started(true) {
            let rule = "a request of no bytes arrives as something else";
            bench.unsafe_call(rule, started.at, story, "");
        }
    }
}

fn check(stream: &Stream) -> Result<(), &'static str> {
    let seen = by_monitor(stream);
    let Some(frames) = stream.frames() else { return Ok(()) };
    let reader = if stream.dialled { Reader::Server } else { Reader::Client };
    let whole = read(reader, frames, WHOLE);
    if told(&whole) != seen {
        return Err("the core and the monitor decode different messages");
    }
    if read(reader, frames, SMALL) != whole {
        return Err("bytes in other pieces give other messages");
    }
    if read(reader, &fragmented(stream.dialled, &whole), SMALL) != whole {
        return Err("messages in fragments are other messages");
    }
    match whole.iter().all(encodes_again) {
        true => Ok(()),
        false => Err("a message is encoded and decoded to another one"),
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    mux: u64,
    seq: u32,
    deadline_ms: u32,
    handler: u8,
    op: u8,
    flags: u8,
    subroute: Option<[u8; 32]>,
    payload: Payload,
}

impl From<&Message> for Told {
    fn from(message: &Message) -> Self {
        let Message { mux, seq, deadline_ms, handler, op, flags, subroute, payload, .. } = *message;
        Self { mux, seq, deadline_ms, handler, op: op.number(), flags, subroute, payload }
    }
}

impl From<MessageRef<'_>> for Told {
    fn from(message: MessageRef<'_>) -> Self {
        let header = message.header;
        Self {
            mux: header.mux,
            seq: header.seq,
            deadline_ms: header.deadline_ms,
            handler: header.handler,
            op: header.op.as_u8(),
            flags: header.flags.bits(),
            subroute: message.subroute.map(|subroute| *subroute.as_bytes()),
            payload: Payload::of(message.payload),
        }
    }
}

fn by_monitor(stream: &Stream) -> Vec<Told> {
    let role = if stream.dialled { Role::Dialler } else { Role::Acceptor };
    let mut all = Vec::new();
    Tap::new(role).feed(&stream.bytes, &mut all);
    let messages = all.iter().filter_map(|seen| match &seen.kind {
        Kind::Message(message) => Some(message),
        _ => None,
    });
    messages.flat_map(Message::each).map(Told::from).collect()
}

/// What the core decodes, up to what is no message.
fn told(messages: &[Bytes]) -> Vec<Told> {
    let mut all = Vec::new();
    for message in messages {
        let decoded = for_each_message(message, LONGEST, |message| all.push(Told::from(message)));
        if decoded.is_err() {
            break;
        }
    }
    all
}

/// The messages that the core's channel reads from these bytes, if they come in such pieces.
fn read(reader: Reader, mut bytes: &[u8], pieces: &[usize]) -> Vec<Bytes> {
    let mut channel = Channel::new(reader, LONGEST, 1);
    let mut messages = Vec::new();
    for piece in pieces.iter().cycle() {
        let buffer = channel.read_buf();
        let room = buffer.capacity() - buffer.len();
        let (now, later) = bytes.split_at(bytes.len().min(*piece).min(room));
        if now.is_empty() {
            break;
        }
        buffer.extend_from_slice(now);
        bytes = later;
        loop {
            match channel.poll_message() {
                Ok(Some(Incoming::Message(message))) => messages.push(message),
                Ok(None) => break,
                Ok(Some(Incoming::Close(_))) | Err(_) => return messages,
            }
        }
    }
    messages
}

/// Each message in three frames, with a ping behind the first two.
fn fragmented(masked: bool, messages: &[Bytes]) -> Vec<u8> {
    const FRAMES: [(u8, usize); 3] = [(0x02, 3), (0x00, 2), (0x80, 1)];
    let mut bytes = Vec::new();
    for message in messages {
        let mut rest = &message[..];
        for (first_byte, parts) in FRAMES {
            let (part, later) = rest.split_at(rest.len() / parts);
            rest = later;
            frame(masked, first_byte, part, &mut bytes);
            if parts > 1 {
                frame(masked, 0x89, b"ping", &mut bytes);
            }
        }
    }
    bytes
}

/// A WebSocket frame; a mask is all zeros.
fn frame(masked: bool, first_byte: u8, payload: &[u8], out: &mut Vec<u8>) {
    let mask_bit = if masked { 0x80 } else { 0 };
    out.push(first_byte);
    match u16::try_from(payload.len()) {
        Ok(len @ ..126) => out.push(mask_bit | len as u8),
        Ok(len) => {
            out.push(mask_bit | 126);
            out.extend(len.to_be_bytes());
        }
        Err(_) => {
            out.push(mask_bit | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        out.extend([0; 4]);
    }
    out.extend(payload);
}

/// Whether each message in a frame is decoded to what it was encoded from; one alone is encoded
/// byte by byte as it was.
fn encodes_again(frame: &Bytes) -> bool {
    let mut good = true;
    let mut encoded = Vec::new();
    let decoded = for_each_message(frame, LONGEST, |message| {
        encoded.clear();
        message.encode(&mut encoded);
        good &= MessageRef::decode(&encoded).is_ok_and(|again| again.message == message);
        good &= encoded.len() == message.encoded_len();
    });
    let is_merged =
        MessageRef::decode(frame).is_ok_and(|outer| outer.message.header.op == Op::Merged);
    decoded.is_err() || good && (is_merged || encoded[..] == frame[..])
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Flags, Header, MessageRef, Op};

    use super::{WHOLE, fragmented, frame, read};
    use crate::history::Sight::{Issued, Started};
    use crate::oracle::Stream;
    use crate::oracle::tale::{MS, Tale, call};
    use crate::script::{Call, Route};

    fn message(mux: u64, payload: &[u8]) -> Vec<u8> {
        let flags = Flags::CRC | Flags::EOF;
        let header = Header { mux, flags, ..Header::new(Op::Request) };
        let mut bytes = Vec::new();
        MessageRef { header, subroute: None, payload }.encode(&mut bytes);
        bytes
    }

    /// What a dialler writes: a head, and these messages.
    fn wrote(messages: &[Vec<u8>]) -> Tale {
        let mut bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        messages.iter().for_each(|message| frame(true, 0x82, message, &mut bytes));
        let mut tale = Tale::new(2);
        let stream = Stream { node: 0, peer: 1, connection: 0, dialled: true, bytes };
        tale.evidence.streams.push(stream);
        tale
    }

    #[test]
    fn what_is_read_as_it_was_written_is_good() {
        wrote(&[message(7, b"one"), message(8, &[3; 70_000]), message(9, b"")]).is_good(20);
    }

    #[test]
    fn an_orderly_message_that_is_refused_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.misread.push((5 * MS, "n0 of n1: no continuation".into()));
        assert_eq!(tale.broken(20), ["an orderly message is malformed"]);
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_good() {
        let whole = wrote(&[message(7, b"one"), message(8, &[3; 300])]);
        for len in 0..whole.evidence.streams[0].bytes.len() {
            let mut cut = wrote(&[]);
            cut.evidence.streams[0].bytes = whole.evidence.streams[0].bytes[..len].to_vec();
            cut.is_good(20);
        }
    }

    #[test]
    fn what_no_node_of_ours_writes_is_bad() {
        // An op in a longer form than is needed: decoded to the same, and encoded to another.
        let mut long = vec![0x97, 7, 0, 0, 0, 0xcc, 14, 0, 0xc4, 1, b'x'];
        assert_eq!(
            wrote(&[long.clone()]).broken(20),
            ["a message is encoded and decoded to another one"]
        );
        // A checksum that is wrong, which the monitor reports elsewhere and the core refuses.
        long[7] = 1;
        long.extend([0; 4]);
        let rule = "the core and the monitor decode different messages";
        assert_eq!(wrote(&[long]).broken(20), [rule]);
    }

    #[test]
    fn fragments_are_put_together_around_pings() {
        use gridmux_core::websocket::Role::Client;
        let messages: Vec<_> = [0, 1, 2, 400].map(|len| vec![5; len].into()).to_vec();
        assert_eq!(read(Client, &fragmented(false, &messages), WHOLE), messages);
    }

    #[test]
    fn nil_and_empty_are_kept_apart() {
        let came = |size, right| {
            let call = Call { size, ..call(Route::Sub) };
            Tale::of(call, &[(5, Issued), (6, Started(right))])
        };
        came(Some(0), true).is_good(20);
        came(None, true).is_good(20);
        let rule = ["a request of no bytes arrives as something else"];
        assert_eq!(came(Some(0), false).broken(20), rule);
        assert_eq!(came(None, false).broken(20), rule);
        assert_eq!(came(Some(1), false).broken(20), [""; 0], "other bytes are judged by O6");
    }
}
