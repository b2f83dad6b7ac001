//! The form of a message by its op, whatever came before it: PROTOCOL.md sections 2, 3 and 5.

use crate::monitor::decode::{Body, Crc, Message, Op, Time, flag};

/// The most parts of a merged message that we send.
const PARTS: usize = 51;
/// A message over this many bytes travels alone.
const PART_BYTES: usize = 16 * 1024;
/// The first message of either side is no longer.
const FIRST_BYTES: usize = 64 * 1024;

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Zero,
    Any,
}

/// What a payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nil,
    /// The map that belongs to the op.
    Map,
    /// Nil, empty or something.
    Free,
    /// With EOF nil, without it empty or something.
    Item,
    /// The text of an error, or nil.
    Error,
}

/// The form of one op.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// About the link: mux 0.
    link: bool,
    /// The flags that must be set and those that may, less [`flag::CRC`].
    required: u8,
    allowed: u8,
    /// Whether it has the base flags.
    base: bool,
    seq: Field,
    deadline: Field,
    handler: Field,
    content: Content,
}

const BARE: Shape = Shape {
    link: false,
    required: 0,
    allowed: 0,
    base: true,
    seq: Field::Any,
    deadline: Field::Zero,
    handler: Field::Zero,
    content: Content::Nil,
};
const LINK: Shape = Shape { link: true, seq: Field::Zero, ..BARE };
const HANDSHAKE: Shape = Shape { base: false, content: Content::Map, ..LINK };
const OPENER: Shape = Shape {
    allowed: flag::SUBROUTE | flag::ZERO,
    seq: Field::Zero,
    deadline: Field::Any,
    handler: Field::Any,
    content: Content::Free,
    ..BARE
};

const fn shape(op: Op, mux: u64) -> Option<Shape> {
    Some(match op {
        Op::Connect | Op::ConnectResponse => HANDSHAKE,
        Op::Ping if mux == 0 => Shape { deadline: Field::Any, ..HANDSHAKE },
        Op::Pong if mux == 0 => Shape {
            seq: Field::Any,
            deadline: Field::Any,
            handler: Field::Any,
            content: Content::Map,
            ..LINK
        },
        Op::Disconnect => LINK,
        Op::Merged => Shape { base: false, seq: Field::Any, ..LINK },
        Op::Request => Shape { required: flag::EOF, allowed: OPENER.allowed | flag::EOF, ..OPENER },
        Op::ConnectMux => Shape { allowed: OPENER.allowed | flag::EOF, ..OPENER },
        Op::Ping | Op::AckMux | Op::UnblockSrvMux | Op::UnblockClMux => BARE,
        Op::Pong => Shape { content: Content::Map, ..BARE },
        // What comes with mux 0 is answered, too.
        Op::MuxConnectError => Shape {
            link: mux == 0,
            allowed: !(flag::SUBROUTE | flag::CRC),
            deadline: Field::Any,
            handler: Field::Any,
            content: Content::Map,
            ..BARE
        },
        Op::DisconnectClientMux => Shape {
            link: mux == 0,
            allowed: flag::ERR,
            seq: Field::Zero,
            content: Content::Error,
            ..BARE
        },
        Op::DisconnectServerMux => Shape { link: mux == 0, seq: Field::Zero, ..BARE },
        Op::MuxClientMsg => {
            Shape { allowed: flag::EOF | flag::ZERO, content: Content::Item, ..BARE }
        }
        Op::MuxServerMsg => {
            Shape { allowed: flag::EOF | flag::ZERO | flag::ERR, content: Content::Item, ..BARE }
        }
        Op::Response => Shape {
            link: mux == 0,
            required: flag::EOF,
            allowed: flag::EOF | flag::ZERO | flag::ERR,
            content: Content::Free,
            ..BARE
        },
        Op::Unknown(_) => return None,
    })
}

/// Judges the form of what one of ours sends, the parts of a merged message aside.
///
/// `base_crc`: the link's base flags have [`flag::CRC`]. `limit`: bytes of a message.
pub(in crate::monitor) fn check(
    message: &Message,
    base_crc: bool,
    limit: usize,
) -> Result<(), &'static str> {
    let Some(shape) = shape(message.op, message.mux) else { return Err("unknown op") };
    check_header(message, shape, base_crc)?;
    check_content(message, shape)?;
    check_subroute(message)?;
    if !message.canonical || message.torn.is_some() {
        return Err("not written in the smallest form");
    }
    match message.op {
        Op::Connect | Op::ConnectResponse if message.encoded_len > FIRST_BYTES => {
            Err("first message over the limit")
        }
        Op::Merged => check_parts(message),
        _ if message.encoded_len > limit => Err("message over the limit"),
        _ => Ok(()),
    }
}

fn check_header(message: &Message, shape: Shape, base_crc: bool) -> Result<(), &'static str> {
    let holds = |field: Field, value: u32| field == Field::Any || value == 0;
    let flags = message.flags & !flag::CRC;
    if (message.mux == 0) != shape.link {
        return Err("mux id of the wrong kind for the op");
    }
    if matches!(message.op, Op::Request | Op::ConnectMux) && message.mux >> 63 == 0 {
        return Err("mux id without bit 63");
    }
    if message.has(flag::CRC) != (shape.base && base_crc) {
        return Err("base flags");
    }
    if message.crc == Crc::Bad {
        return Err("wrong checksum");
    }
    if flags & shape.required != shape.required || flags & !shape.allowed != 0 {
        return Err("flags");
    }
    if !holds(shape.seq, message.seq) {
        return Err("sequence number where there is none");
    }
    if !holds(shape.deadline, message.deadline_ms) {
        return Err("deadline where there is none");
    }
    if !holds(shape.handler, message.handler.into()) {
        return Err("handler where there is none");
    }
    if message.op == Op::Request && message.deadline_ms == 0 {
        return Err("request without a deadline");
    }
    Ok(())
}

fn check_content(message: &Message, shape: Shape) -> Result<(), &'static str> {
    let empty = message.payload.len == 0;
    if message.has(flag::ZERO) && !empty && message.op != Op::MuxConnectError {
        return Err("ZERO on a payload that is not empty");
    }
    let is_error = message.has(flag::ERR);
    match shape.content {
        Content::Nil if !message.is_nil() => Err("payload where there is none"),
        Content::Map => match message.body.as_deref() {
            None | Some(Body::Unreadable(_)) => Err("payload map"),
            Some(Body::Pong { time, .. }) if message.mux != 0 && *time != Time::ZERO => {
                Err("time in the pong of a mux")
            }
            Some(_) => Ok(()),
        },
        Content::Error if !is_error && !message.is_nil() => Err("payload where there is none"),
        Content::Item if is_error && !message.has(flag::EOF) => Err("error that is not final"),
        Content::Item if is_error => Ok(()),
        Content::Item if message.has(flag::EOF) == message.is_nil() => Ok(()),
        Content::Item if message.is_nil() => Err("nil item"),
        Content::Item => Err("payload on the end"),
        _ => Ok(()),
    }
}

fn check_subroute(message: &Message) -> Result<(), &'static str> {
    match message.subroute {
        Some([handler, zero, ..]) if handler != message.handler || zero != 0 => {
            Err("subroute of another handler")
        }
        _ => Ok(()),
    }
}

fn check_parts(message: &Message) -> Result<(), &'static str> {
    if !(2..=PARTS).contains(&message.parts.len()) {
        return Err("number of parts");
    }
    for part in &message.parts {
        if part.encoded_len > PART_BYTES {
            return Err("large message merged");
        }
        if matches!(part.op, Op::Merged | Op::Connect | Op::ConnectResponse) {
            return Err("message that travels alone merged");
        }
    }
    Ok(())
}
