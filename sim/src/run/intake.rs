//! Counts what the ends of a connection take in, and what they make of it.

use crate::monitor::{Kind, Message, Op, Seen};
use crate::oracle::Intake;

/// One end of a connection.
#[derive(Debug, Default)]
struct Side {
    came: u64,
    /// Where messages under way to it end, and how many each holds.
    under_way: std::collections::VecDeque<(u64, u64)>,
    heard: u64,
    replies: u64,
    opened: u64,
    /// The most room for reading beyond what had come, and how much that was then.
    widest: (u64, u64),
    falsified: bool,
}

/// Both ends of a connection.
#[derive(Debug, Default)]
pub(super) struct Intakes {
    sides: [Side; 2],
}

impl Intakes {
    /// An end asks for bytes, and has a buffer of so many.
    pub(super) fn asks(&mut self, end: usize, room: u64) {
        let side = &mut self.sides[end];
        let (widest, came) = side.widest;
        if room.saturating_sub(side.came) > widest.saturating_sub(came) {
            side.widest = (room, side.came);
        }
    }

    /// An end has taken bytes that came, up to this offset.
    pub(super) fn taken(&mut self, end: usize, offset: u64) {
        let side = &mut self.sides[end];
        side.came = offset;
        while let Some((_, count)) = side.under_way.pop_front_if(|(end, _)| *end <= offset) {
            side.heard += count;
        }
    }

    /// An end has written a whole WebSocket message.
    pub(super) fn wrote(&mut self, end: usize, seen: &Seen) {
        let Kind::Message(message) = &seen.kind else { return };
        let messages = message.each();
        self.sides[1 - end].under_way.push_back((seen.end, messages.len() as u64));
        let side = &mut self.sides[end];
        for message in messages {
            side.opened += u64::from(matches!(message.op, Op::Request | Op::ConnectMux));
            side.replies += u64::from(is_reply(message));
        }
    }

    /// What comes to an end is not what was sent.
    pub(super) fn falsified(&mut self, end: usize) {
        self.sides[end].falsified = true;
    }

    /// What the end of this node has done.
    pub(super) fn of(&self, end: usize, [node, peer]: [usize; 2]) -> Intake {
        let Side { came: bytes, heard, replies, opened, widest: (room, came), falsified, .. } =
            self.sides[end];
        Intake { node, peer, room, came, bytes, heard, replies, opened, falsified }
    }
}

/// Whether it is a message that a node sends because of another one, or of the end of its call.
fn is_reply(message: &Message) -> bool {
    matches!(
        message.op,
        Op::Pong
            | Op::AckMux
            | Op::Response
            | Op::MuxConnectError
            | Op::UnblockSrvMux
            | Op::UnblockClMux
            | Op::DisconnectClientMux
            | Op::DisconnectServerMux
    )
}
