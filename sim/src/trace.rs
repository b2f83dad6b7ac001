//! What happened between the nodes of a run, in order: for pictures and for a person's eyes.

use crate::world::{ConnId, End};

/// A message of the protocol, or of the WebSocket layer, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The op by name, as PROTOCOL.md writes it; `Head`, `Close` and the like for what is none.
    pub op: &'static str,
    /// The mux id; 0 for the link.
    pub mux: u64,
    /// The sequence number.
    pub seq: u32,
    /// The flags.
    pub flags: u8,
    /// The handler id.
    pub handler: u8,
    /// Bytes of the payload.
    pub payload: u32,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A connection was made.
    Connected {
        /// Its number.
        conn: ConnId,
        /// Who has dialled, who has accepted.
        nodes: [usize; 2],
    },
    /// A frame was written whole. Its number is the how-manieth of this end of this connection.
    FrameSent {
        /// On which connection.
        conn: ConnId,
        /// By which end.
        end: End,
        /// From 0.
        number: u64,
        /// Bytes of the WebSocket message.
        bytes: u64,
        /// What is in it: several messages if they were merged.
        messages: Vec<Brief>,
    },
    /// The last byte of a frame has come to the other end.
    FrameArrived {
        /// On which connection.
        conn: ConnId,
        /// Sent by this end.
        end: End,
        /// As in `FrameSent`.
        number: u64,
    },
    /// An end has closed its direction, dropped the connection, or was told that it is broken.
    Ended {
        /// Which connection.
        conn: ConnId,
        /// Which end.
        end: End,
        /// `finished`, `dropped` or `broken`.
        how: &'static str,
    },
    /// A node's process has started.
    Born {
        /// Which.
        node: usize,
    },
    /// A node's process has ended.
    Died {
        /// Which.
        node: usize,
    },
    /// A fault has come.
    Fault {
        /// Its row in the fault table.
        row: &'static str,
        /// Its line in the script.
        text: String,
        /// The nodes that it is about.
        nodes: Vec<usize>,
        /// How long it lasts, in nanoseconds; 0 for a moment.
        lasts: u64,
    },
    /// A phase of the run begins.
    Phase(&'static str),
}

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Simulated nanoseconds.
    pub at: u64,
    /// What.
    pub what: Happening,
}

/// A trace of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// What happened, in order.
    pub events: Vec<Event>,
}
