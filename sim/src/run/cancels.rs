//! Follows the cancels on a connection: what an end still sends for a call after it has read that the
//! caller takes nothing more.

use std::collections::{BTreeMap, VecDeque};

use crate::monitor::{Kind, Op, Seen};
use crate::oracle::Needless;

/// Longer messages leave alone, and can be taken back until then.
const LARGE: usize = 16 << 10;

/// A call that was cancelled.
#[derive(Clone, Copy, Debug)]
struct Cancelled {
    at: u64,
    /// What the callee had written when that instant was over.
    written: Option<u64>,
    messages: u64,
}

/// One end of a connection.
#[derive(Debug, Default)]
struct Side {
    written: u64,
    /// Where the cancels that it has sent end, and of which mux they are.
    under_way: VecDeque<(u64, u64)>,
    /// The muxes that the other end has cancelled.
    cancelled: BTreeMap<u64, Cancelled>,
    falsified: bool,
}

/// The cancels on one connection, by end.
#[derive(Debug, Default)]
pub(super) struct Cancels {
    sides: [Side; 2],
}

impl Cancels {
    /// An end writes bytes, before it is known what they complete.
    pub(super) fn writes(&mut self, at: u64, end: usize, bytes: u64) {
        let side = &mut self.sides[end];
        for cancelled in side.cancelled.values_mut().filter(|cancelled| cancelled.at < at) {
            cancelled.written.get_or_insert(side.written);
        }
        side.written += bytes;
    }

    /// An end has written a whole WebSocket message.
    pub(super) fn wrote(&mut self, end: usize, seen: &Seen) {
        let Kind::Message(message) = &seen.kind else { return };
        let side = &mut self.sides[end];
        for message in message.each() {
            match message.op {
                Op::DisconnectServerMux => side.under_way.push_back((seen.end, message.mux)),
                Op::MuxServerMsg | Op::Response if message.payload.len > LARGE => {
                    if let Some(cancelled) = side.cancelled.get_mut(&message.mux)
                        && cancelled.written.is_some_and(|written| seen.start >= written)
                    {
                        cancelled.messages += 1;
                    }
                }
                _ => {}
            }
        }
    }

    /// An end has taken what the other one has sent, up to this offset.
    pub(super) fn taken(&mut self, at: u64, end: usize, offset: u64) {
        while let Some((_, mux)) =
            self.sides[1 - end].under_way.pop_front_if(|(end, _)| *end <= offset)
        {
            let fresh = Cancelled { at, written: None, messages: 0 };
            self.sides[end].cancelled.insert(mux, fresh);
        }
    }

    /// What comes to an end is not what was sent.
    pub(super) fn falsified(&mut self, end: usize) {
        self.sides[end].falsified = true;
    }

    /// What an end has sent for calls that were cancelled; nothing if it may have read something else.
    pub(super) fn needless(&self, end: usize, [node, peer]: [usize; 2]) -> Vec<Needless> {
        let side = &self.sides[end];
        let cancelled = side.cancelled.values().filter(|_| !side.falsified);
        let needless =
            |one: &Cancelled| Needless { node, peer, at: one.at, messages: one.messages };
        cancelled.map(needless).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cancels, LARGE};
    use crate::monitor::{Crc, Kind, Message, Op, Payload, Seen};

    fn message(op: Op, len: usize) -> Message {
        Message {
            mux: 7,
            seq: 0,
            deadline_ms: 0,
            handler: 0,
            op,
            flags: 0,
            payload: Payload { len, ..Payload::default() },
            subroute: None,
            crc: Crc::Absent,
            body: None,
            parts: Vec::new(),
            torn: None,
            encoded_len: 8,
            canonical: true,
        }
    }

    fn write(cancels: &mut Cancels, at: u64, end: usize, start: u64, message: Message) {
        cancels.writes(at, end, 10);
        let seen = Seen { start, end: start + 10, kind: Kind::Message(message) };
        cancels.wrote(end, &seen);
    }

    #[test]
    fn large_messages_count_that_were_begun_after_the_cancel_was_read() {
        let large = || message(Op::MuxServerMsg, LARGE + 1);
        let mut cancels = Cancels::default();
        write(&mut cancels, 1, 1, 0, large());
        write(&mut cancels, 1, 0, 0, message(Op::DisconnectServerMux, 0));
        cancels.taken(2, 1, 10);
        write(&mut cancels, 2, 1, 10, large());
        let count = |cancels: &Cancels| cancels.needless(1, [3, 4])[0].messages;
        assert_eq!(count(&cancels), 0, "in one instant with the cancel");
        write(&mut cancels, 3, 1, 20, large());
        write(&mut cancels, 3, 1, 30, message(Op::MuxServerMsg, LARGE));
        assert_eq!(count(&cancels), 1);
        cancels.falsified(1);
        assert!(cancels.needless(1, [3, 4]).is_empty());
    }
}
