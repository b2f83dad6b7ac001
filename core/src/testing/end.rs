//! One node of a pair, and what it has told so far.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::LinkError;
use crate::event::{Event, IncomingCall};
use crate::grid::GridState;
use crate::peer::Peer;
use crate::time::Instant;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The side that dials.
    Dialler,
    /// The side that is dialled.
    Acceptor,
}

impl Which {
    /// Both, the dialler first.
    pub const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Dialler => 0,
            Self::Acceptor => 1,
        }
    }
}

/// One node of a [`Pair`](super::Pair) and what it has told so far.
#[derive(Debug)]
pub struct End {
    /// The node, whose only peer is the other end.
    pub grid: GridState,
    /// Events not yet taken by the test.
    pub events: Vec<Event>,
    /// Calls not yet taken by the test.
    pub calls: VecDeque<IncomingCall>,
    /// Every frame that this end has sent, in order; nothing when the two are joined by bytes.
    pub sent: Vec<Bytes>,
    /// Every byte that this end has sent, in order; nothing when the two are joined by frames.
    pub written: Vec<u8>,
    /// Why this end has closed links, or refused connections, in order.
    pub closed: Vec<LinkError>,
    /// Dial attempts that this end has begun, by time.
    pub dials: Vec<Instant>,
    pub(super) other: String,
    /// What is added to the common wall clock, in nanoseconds.
    pub(super) wall_offset: i128,
}

impl End {
    pub(super) fn new(grid: GridState, other: &str) -> Self {
        Self {
            grid,
            events: Vec::new(),
            calls: VecDeque::new(),
            sent: Vec::new(),
            written: Vec::new(),
            closed: Vec::new(),
            dials: Vec::new(),
            other: other.into(),
            wall_offset: 0,
        }
    }

    /// The machine of the other end.
    ///
    /// # Panics
    /// If the test has removed it.
    pub fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(&self.other).expect("the other end is configured")
    }

    /// The name of the other end.
    pub fn other(&self) -> &str {
        &self.other
    }

    /// Takes the next call.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn call(&mut self) -> IncomingCall {
        self.calls.pop_front().expect("a call has come in")
    }

    /// Takes the events.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes calls and events out of the machine; `true` if there were any.
    pub(super) fn collect(&mut self) -> bool {
        let before = self.calls.len() + self.events.len();
        while let Some(call) = self.peer().poll_call() {
            self.calls.push_back(call);
        }
        while let Some(event) = self.peer().poll_event() {
            self.events.push(event);
        }
        self.peer().check_invariants();
        before < self.calls.len() + self.events.len()
    }
}
