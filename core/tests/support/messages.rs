//! Messages by hand, and as lines of text that can be compared and read.

use bytes::Bytes;
use gridmux_core::wire::{
    ConnectResponse, Flags, Header, Message, MessageRef, MuxConnectError, Op, Pong, SubrouteId,
    for_each_message,
};

use super::vectors::hex;

/// The messages in a frame, merged ones one by one.
pub fn unpack(frame: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    for_each_message(frame, usize::MAX, |message: MessageRef<'_>| {
        messages.push(message.to_message());
    })
    .expect("a frame of whole messages");
    messages
}

/// A message made by hand, with the flag CRC as on a link without TLS.
pub fn message(op: Op, mux: u64, seq: u32) -> Message {
    let header = Header { mux, seq, flags: Flags::CRC, ..Header::new(op) };
    Message { header, subroute: None, payload: Bytes::new() }
}

/// What tests change in a message.
pub trait Edit: Sized {
    fn flags(self, flags: Flags) -> Self;
    fn payload(self, payload: &[u8]) -> Self;
    fn handler(self, handler: u8) -> Self;
    fn deadline(self, ms: u32) -> Self;
    fn subroute(self, id: SubrouteId) -> Self;
    fn error(self, text: &str) -> Self;
    fn bytes(&self) -> Vec<u8>;
}

impl Edit for Message {
    fn flags(mut self, flags: Flags) -> Self {
        self.header.flags |= flags;
        self
    }

    fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = Bytes::copy_from_slice(payload);
        if payload.is_empty() {
            self.header.flags |= Flags::PAYLOAD_IS_ZERO;
        }
        self
    }

    fn handler(mut self, handler: u8) -> Self {
        self.header.handler = handler;
        self
    }

    fn deadline(mut self, ms: u32) -> Self {
        self.header.deadline_ms = ms;
        self
    }

    fn subroute(mut self, id: SubrouteId) -> Self {
        self.header.flags |= Flags::SUBROUTE;
        self.subroute = Some(id);
        self
    }

    fn error(self, text: &str) -> Self {
        self.flags(Flags::PAYLOAD_IS_ERR).payload(text.as_bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.as_message_ref().encode(&mut bytes);
        bytes
    }
}

/// A request or the opening of a stream by a Go caller: mux ids count from 1.
pub fn opening(op: Op, mux: u64, handler: u8, payload: &[u8]) -> Message {
    let flags = if op == Op::Request { Flags::EOF } else { Flags::empty() };
    message(op, mux, 0).handler(handler).flags(flags).payload(payload)
}

/// Several messages in one frame.
pub fn merged(parts: &[Message]) -> Vec<u8> {
    let header = Header { seq: parts.len() as u32, ..Header::new(Op::Merged) };
    let mut frame = Vec::new();
    MessageRef { header, subroute: None, payload: b"" }.encode(&mut frame);
    for part in parts {
        let bytes = part.bytes();
        gridmux_core::wire::write_part_header(bytes.len(), &mut frame);
        frame.extend_from_slice(&bytes);
    }
    frame
}

/// A message as a line: op, mux, seq, then what is not as usual. Texts that a reader must never
/// parse, ids and times of its own are left out.
pub fn line(message: &Message) -> String {
    let Header { mux, seq, deadline_ms, handler, op, flags } = message.header;
    let mut line = format!("{} mux={mux} seq={seq}", op.name());
    if deadline_ms > 0 {
        line += &format!(" deadline={deadline_ms}");
    }
    if handler > 0 {
        line += &format!(" handler={handler}");
    }
    if let Some(id) = &message.subroute {
        line += &format!(" subroute={}", hex(&id.as_bytes()[..4]));
    }
    for (name, _) in flags.iter_names() {
        line += " ";
        line += name;
    }
    line + " " + &payload_text(message)
}

fn payload_text(message: &Message) -> String {
    let payload = &message.payload;
    let presence = |text: &str| if text.is_empty() { "no text" } else { "text" }.to_owned();
    match message.header.op {
        _ if message.header.flags.contains(Flags::PAYLOAD_IS_ERR) => {
            presence(&String::from_utf8_lossy(payload))
        }
        Op::MuxConnectError => {
            presence(&MuxConnectError::decode(payload).expect("a MuxConnectError").error)
        }
        Op::ConnectResponse => {
            let response = ConnectResponse::decode(payload).expect("a ConnectResponse");
            let word = if response.accepted { "accepted" } else { "rejected" };
            format!("{word}, {}", presence(&response.rejected_reason))
        }
        Op::Pong => {
            let pong = Pong::decode(payload).expect("a Pong");
            let error = pong.error.as_deref().map_or_else(|| "nil".into(), presence);
            format!("nf={} e={error} t={}", pong.not_found, pong.time.to_unix_nanos())
        }
        _ if message.is_nil() => "nil".into(),
        _ => format!("[{}]", hex(payload)),
    }
}

/// [`line`] of each.
pub fn lines(messages: &[Message]) -> Vec<String> {
    messages.iter().map(line).collect()
}
