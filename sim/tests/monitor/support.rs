//! WebSocket frames and messages, written by hand.

use gridmux_sim::monitor::{Monitor, Op, Role, Seen, Settings, Tap, flag};
use xxhash_rust::xxh3::xxh3_64;

/// A frame as this side sends it.
pub(crate) fn frame(from: Role, opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if from == Role::Dialler { 0x80 } else { 0 };
    let mut bytes = vec![opcode | u8::from(fin) << 7];
    match payload.len() {
        len @ ..126 => bytes.push(mask_bit | len as u8),
        len @ ..0x1_0000 => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    if from == Role::Acceptor {
        bytes.extend(payload);
        return bytes;
    }
    let mask = [0x3a, 0xc5, 0x01, 0x77];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The HTTP head that this side begins with.
pub(crate) fn head(from: Role) -> &'static [u8] {
    match from {
        Role::Dialler => b"GET /minio/grid/v1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        Role::Acceptor => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    }
}

/// What a tap sees in these bytes, given so many at a time.
pub(crate) fn seen(from: Role, bytes: &[u8], piece: usize) -> Vec<Seen> {
    let mut tap = Tap::new(from);
    let mut out = Vec::new();
    bytes.chunks(piece).for_each(|piece| tap.feed(piece, &mut out));
    assert_eq!(tap.offset(), bytes.len() as u64);
    out
}

/// A message to be encoded.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) mux: u64,
    pub(crate) seq: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) handler: u8,
    pub(crate) op: Op,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) subroute: Option<[u8; 32]>,
}

impl Draft {
    /// With a checksum and nothing else.
    pub(crate) fn new(op: Op, mux: u64, seq: u32) -> Self {
        let (deadline_ms, handler, payload) = (0, 0, Vec::new());
        Self { mux, seq, deadline_ms, handler, op, flags: flag::CRC, payload, subroute: None }
    }

    pub(crate) fn with(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    pub(crate) fn without_crc(mut self) -> Self {
        self.flags &= !flag::CRC;
        self
    }

    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn handler(mut self, handler: u8) -> Self {
        self.handler = handler;
        self
    }

    pub(crate) fn deadline(mut self, ms: u32) -> Self {
        self.deadline_ms = ms;
        self
    }

    pub(crate) fn subroute(mut self, subroute: [u8; 32]) -> Self {
        self.subroute = Some(subroute);
        self.with(flag::SUBROUTE)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0x97];
        let header = [self.mux, self.seq.into(), self.deadline_ms.into(), self.handler.into()];
        let rest = [self.op.number().into(), self.flags.into()];
        header.into_iter().chain(rest).for_each(|field| put_uint(field, &mut bytes));
        put_bin(&self.payload, &mut bytes);
        bytes.extend(self.subroute.iter().flatten());
        if self.flags & flag::CRC != 0 {
            let crc = xxh3_64(&bytes) as u32;
            bytes.extend(crc.to_le_bytes());
        }
        bytes
    }
}

/// The messages in one.
pub(crate) fn merged(parts: &[Vec<u8>]) -> Vec<u8> {
    let count = parts.len() as u32;
    let mut bytes = Draft::new(Op::Merged, 0, count).without_crc().encode();
    parts.iter().for_each(|part| put_bin(part, &mut bytes));
    bytes
}

fn put_uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => out.extend([0xcc, value as u8]),
        0x100..0x1_0000 => {
            out.push(0xcd);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(0xce);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(value.to_be_bytes());
        }
    }
}

pub(crate) fn put_bin(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        len @ ..0x100 => out.extend([0xc4, len as u8]),
        len @ ..0x1_0000 => {
            out.push(0xc5);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0xc6);
            out.extend((len as u32).to_be_bytes());
        }
    }
    out.extend(bytes);
}

/// A MessagePack map with these values, already encoded.
fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0x80 | entries.len() as u8];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&[0xa0 | text.len() as u8], text.as_bytes()].concat()
}

fn time(seconds: i64) -> Vec<u8> {
    [&[0xc7, 12, 5][..], &seconds.to_be_bytes(), &[0; 4]].concat()
}

/// Go's zero time.
pub(crate) const NO_TIME: i64 = -62_135_596_800;

fn id(instance: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_bin(&[instance; 16], &mut bytes);
    bytes
}

pub(crate) fn connect(instance: u8) -> Draft {
    let entries = [
        ("ID", id(instance)),
        ("Host", text("http://one")),
        ("Time", time(1)),
        ("Token", text("secret")),
    ];
    Draft::new(Op::Connect, 0, 0).without_crc().payload(&map(&entries))
}

pub(crate) fn connect_response(instance: u8, accepted: bool) -> Draft {
    let answer = vec![if accepted { 0xc3 } else { 0xc2 }];
    let entries = [("ID", id(instance)), ("Accepted", answer), ("RejectedReason", text(""))];
    Draft::new(Op::ConnectResponse, 0, 0).without_crc().payload(&map(&entries))
}

pub(crate) fn refusal(mux: u64) -> Draft {
    Draft::new(Op::MuxConnectError, mux, 0).payload(&map(&[("Error", text("no"))]))
}

pub(crate) fn link_ping(seconds: i64) -> Draft {
    let ping = Draft::new(Op::Ping, 0, 0).without_crc().deadline(10_000);
    ping.payload(&map(&[("t", time(seconds))]))
}

pub(crate) fn pong(mux: u64, seq: u32, not_found: bool, seconds: i64) -> Draft {
    let not_found = vec![if not_found { 0xc3 } else { 0xc2 }];
    let entries = [("nf", not_found), ("e", vec![0xc0]), ("t", time(seconds))];
    Draft::new(Op::Pong, mux, seq).payload(&map(&entries))
}

/// A monitor and a connection that is written by hand.
pub(crate) struct Wire {
    pub(crate) monitor: Monitor,
    pub(crate) connection: u64,
    written: [u64; 2],
}

impl Wire {
    /// A connection on which nothing has been said.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut monitor = Monitor::new(settings);
        let connection = monitor.connect();
        let mut wire = Self { monitor, connection, written: [0; 2] };
        wire.heads();
        wire
    }

    fn heads(&mut self) {
        for from in Role::BOTH {
            self.bytes(from, head(from));
        }
    }

    /// Another connection, both still open.
    pub(crate) fn reconnect(&mut self) {
        self.connection = self.monitor.connect();
        self.written = [0; 2];
        self.heads();
    }

    /// Connect and its answer.
    pub(crate) fn up(&mut self, instances: [u8; 2]) {
        self.say(Role::Dialler, &connect(instances[0]));
        self.say(Role::Acceptor, &connect_response(instances[1], true));
    }

    pub(crate) fn bytes(&mut self, from: Role, bytes: &[u8]) {
        self.monitor.written(self.connection, from, bytes, |_| {});
        self.written[from.index()] += bytes.len() as u64;
    }

    /// Sends what does not arrive yet.
    pub(crate) fn send(&mut self, from: Role, draft: &Draft) {
        self.bytes(from, &frame(from, 2, true, &draft.encode()));
    }

    /// Sends all in one message.
    pub(crate) fn send_merged(&mut self, from: Role, drafts: &[Draft]) {
        let parts: Vec<_> = drafts.iter().map(Draft::encode).collect();
        self.bytes(from, &frame(from, 2, true, &merged(&parts)));
    }

    /// All that `from` has sent arrives.
    pub(crate) fn deliver(&mut self, from: Role) {
        self.monitor.delivered(self.connection, from, self.written[from.index()]);
    }

    /// Sends what arrives at once.
    pub(crate) fn say(&mut self, from: Role, draft: &Draft) {
        self.send(from, draft);
        self.deliver(from);
    }

    /// Both sides have nothing left to send.
    pub(crate) fn flush(&mut self) {
        for side in Role::BOTH {
            self.monitor.flushed(self.connection, side);
        }
    }

    pub(crate) fn found(&self) -> Vec<(&'static str, &'static str)> {
        self.monitor.violations().iter().map(|found| (found.oracle, found.rule)).collect()
    }
}
