//! What the monitor has to be told, since it is not on the wire.

use std::collections::BTreeMap;

use super::decode::{Message, Role};

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// One of ours: every rule holds for it.
    Ours,
    /// A Go node: it breaks rules that are only ours, and those of PROTOCOL.md section 7.
    Go,
    /// It may do anything.
    Hostile,
}

/// The capacities of streams, as one node has them registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacities(BTreeMap<Route, (u32, u32)>);

/// A handler, and a subroute under it.
type Route = (u8, Option<[u8; 32]>);

impl Capacities {
    /// Of no stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream: its handler, its subroute if it has one, and how many messages may be under
    /// way from its caller and to it.
    #[must_use]
    pub fn with(mut self, handler: u8, subroute: Option<[u8; 32]>, capacities: (u32, u32)) -> Self {
        self.0.insert((handler, subroute), capacities);
        self
    }
}

/// What is known of two nodes and of the link between them. Pairs are by [`Role::index`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// How each side behaves.
    pub conduct: [Conduct; 2],
    /// Whether messages have checksums: unless both names begin with `https://`.
    pub base_crc: bool,
    /// The longest message that is sent, in bytes.
    pub message_limit: usize,
    /// The streams that each side knows; the credits of others are not judged.
    pub capacities: [Capacities; 2],
    /// Whether [`Monitor::taken`](super::Monitor::taken) is called for each item that a caller's
    /// application takes.
    pub caller_takes_known: bool,
    /// The same for the input that a callee's application takes.
    pub callee_takes_known: bool,
}

impl Settings {
    /// Two of ours with checksums, the default limit, and no streams.
    pub fn new() -> Self {
        Self {
            conduct: [Conduct::Ours; 2],
            base_crc: true,
            message_limit: 16 << 20,
            capacities: Default::default(),
            caller_takes_known: false,
            callee_takes_known: false,
        }
    }

    pub(super) fn capacities(&self, side: Role, message: &Message) -> Option<(u32, u32)> {
        let streams = &self.capacities[side.index()].0;
        streams.get(&(message.handler, message.subroute)).copied()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}
