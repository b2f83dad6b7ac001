//! The recorded traffic in `tests/vectors`, see the README there.

use std::fs;
use std::path::Path;

use gridmux_core::wire::{Flags, Op};
use serde::Deserialize;
use serde_json::Value;

/// The files that hold a whole link each.
pub const LINKS: [&str; 12] = [
    "cancel",
    "https",
    "merged",
    "pings",
    "rejected-host",
    "rejected-token",
    "singles",
    "streams-in",
    "streams-out",
    "streams-two-way",
    "subroutes",
    "wrong-direction",
];

/// One line of a link file.
#[derive(Clone, Debug)]
pub struct Entry {
    pub from: Side,
    pub event: Event,
}

/// Who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Dialler,
    Acceptor,
}

/// What went over the wire.
#[derive(Clone, Debug)]
pub enum Event {
    /// The head of an HTTP request or response.
    Http(String),
    /// A WebSocket frame that is no message of the protocol.
    Frame { opcode: u8, bytes: Vec<u8> },
    /// A message of the protocol: the payload of one binary WebSocket message.
    Message(Recorded),
}

impl Event {
    /// The message, if it is one.
    pub fn message(&self) -> Option<&Recorded> {
        match self {
            Self::Message(message) => Some(message),
            Self::Http(_) | Self::Frame { .. } => None,
        }
    }
}

/// A message as the file describes it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// All its bytes.
    pub bytes: Vec<u8>,
    pub mux: u64,
    pub seq: u32,
    pub deadline_ms: u32,
    pub handler: u8,
    pub op: Op,
    pub flags: Flags,
    pub payload: Payload,
    pub subroute: Option<[u8; 32]>,
    pub crc: Option<u32>,
    /// The map in the payload, or `{"error": text}`.
    pub body: Option<Value>,
    /// The parts of a merged message.
    pub parts: Vec<Recorded>,
}

/// The payload as the file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Nil,
    Bytes(Vec<u8>),
    /// Only its length: it is in `bytes`.
    Length(usize),
}

/// What a node did when it was sent something by hand.
#[derive(Clone, Debug)]
pub struct Probe {
    pub name: String,
    pub sent: Vec<Sent>,
    pub received: Vec<Event>,
    pub link_closed: bool,
}

/// Something sent by hand.
#[derive(Clone, Debug)]
pub enum Sent {
    /// The payload of one binary WebSocket message.
    Message(Vec<u8>),
    /// A single WebSocket frame.
    Frame { opcode: u8, bytes: Vec<u8>, fin: bool },
    /// A line of HTTP.
    Http(String),
}

/// A subroute and its id.
#[derive(Clone, Debug)]
pub struct Subroute {
    pub handler: u8,
    pub parts: Vec<String>,
    pub id: [u8; 32],
}

/// The whole of one file, `name` without `.json`.
pub fn read(name: &str) -> Value {
    // The tests of the simulator read them too, from their own package.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = package.join(format!("../core/tests/vectors/{name}.json"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A link, in the order in which it was recorded.
pub fn link(name: &str) -> Vec<Entry> {
    list::<RawEntry>(name, "messages")
        .into_iter()
        .map(|entry| Entry { from: entry.from, event: entry.event.into() })
        .collect()
}

/// All links, each with its name.
pub fn links() -> impl Iterator<Item = (&'static str, Vec<Entry>)> {
    LINKS.into_iter().map(|name| (name, link(name)))
}

/// What a node answered to what was sent by hand.
pub fn probes() -> Vec<Probe> {
    list::<RawProbe>("reactions", "probes")
        .into_iter()
        .map(|probe| Probe {
            name: probe.probe,
            sent: probe.sent.into_iter().map(Sent::from).collect(),
            received: probe.received.into_iter().map(Event::from).collect(),
            link_closed: probe.link_closed,
        })
        .collect()
}

/// Subroutes and their ids.
pub fn subroutes() -> Vec<Subroute> {
    list::<RawSubroute>("subroute", "subroutes")
        .into_iter()
        .map(|raw| Subroute { handler: raw.handler, parts: raw.parts, id: unhex_array(&raw.id) })
        .collect()
}

/// Every message in the files, recorded and received, the parts of merged ones too.
pub fn all_messages() -> Vec<Recorded> {
    let recorded = links().flat_map(|(_, entries)| entries).map(|entry| entry.event);
    let received = probes().into_iter().flat_map(|probe| probe.received);
    let mut all = Vec::new();
    for event in recorded.chain(received) {
        if let Event::Message(message) = event {
            all.extend(message.parts.iter().cloned());
            all.push(message);
        }
    }
    all
}

/// [`all_messages`], each sequence of bytes once.
pub fn distinct_messages() -> Vec<Recorded> {
    let mut all = all_messages();
    all.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    all.dedup_by(|a, b| a.bytes == b.bytes);
    all
}

/// The bytes that a hexadecimal text stands for.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd number of digits: {text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The array that a hexadecimal text stands for.
pub fn unhex_array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("the right length")
}

fn list<T: for<'de> Deserialize<'de>>(file: &str, key: &str) -> Vec<T> {
    let mut value = read(file);
    serde_json::from_value(value[key].take()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[derive(Deserialize)]
struct RawEntry {
    from: Side,
    #[serde(flatten)]
    event: RawEvent,
}

#[derive(Deserialize)]
struct RawProbe {
    probe: String,
    sent: Vec<RawSent>,
    received: Vec<RawEvent>,
    link_closed: bool,
}

#[derive(Deserialize)]
struct RawSubroute {
    handler: u8,
    parts: Vec<String>,
    id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSent {
    Text(String),
    Frame { websocket_opcode: u8, hex: String, fin: bool },
}

impl From<RawSent> for Sent {
    fn from(raw: RawSent) -> Self {
        match raw {
            RawSent::Text(text) if text.starts_with("HTTP/") => Self::Http(text),
            RawSent::Text(hex) => Self::Message(unhex(&hex)),
            RawSent::Frame { websocket_opcode, hex, fin } => {
                Self::Frame { opcode: websocket_opcode, bytes: unhex(&hex), fin }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEvent {
    Http {
        http: String,
    },
    Frame {
        #[serde(alias = "websocket_opcode")]
        opcode: u8,
        hex: String,
    },
    Message(Box<RawMessage>),
}

impl From<RawEvent> for Event {
    fn from(raw: RawEvent) -> Self {
        match raw {
            RawEvent::Http { http } => Self::Http(http),
            RawEvent::Frame { opcode, hex } => Self::Frame { opcode, bytes: unhex(&hex) },
            RawEvent::Message(message) => Self::Message((*message).into()),
        }
    }
}

#[derive(Deserialize)]
struct RawMessage {
    hex: String,
    mux: u64,
    seq: u32,
    deadline_ms: u32,
    handler: u8,
    op: String,
    flags: Vec<String>,
    payload: Option<String>,
    payload_len: Option<usize>,
    subroute: Option<String>,
    crc: Option<String>,
    body: Option<Value>,
    #[serde(default)]
    parts: Vec<RawMessage>,
}

impl From<RawMessage> for Recorded {
    fn from(raw: RawMessage) -> Self {
        let payload = match (raw.payload, raw.payload_len) {
            (Some(hex), _) => Payload::Bytes(unhex(&hex)),
            (None, Some(len)) => Payload::Length(len),
            (None, None) => Payload::Nil,
        };
        Self {
            bytes: unhex(&raw.hex),
            mux: raw.mux,
            seq: raw.seq,
            deadline_ms: raw.deadline_ms,
            handler: raw.handler,
            op: op(&raw.op),
            flags: raw.flags.iter().map(|name| flag(name)).collect(),
            payload,
            subroute: raw.subroute.map(|hex| unhex_array(&hex)),
            crc: raw.crc.map(|hex| u32::from_str_radix(&hex, 16).expect("hexadecimal digits")),
            body: raw.body,
            parts: raw.parts.into_iter().map(Self::from).collect(),
        }
    }
}

fn op(name: &str) -> Op {
    (1..=17)
        .map(Op::from_u8)
        .find(|op| op.name() == name)
        .unwrap_or_else(|| panic!("unknown op {name}"))
}

fn flag(name: &str) -> Flags {
    Flags::from_name(name).unwrap_or_else(|| panic!("unknown flag {name}"))
}
