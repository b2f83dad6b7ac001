//! Merged messages of every wrong make, and some that are right (PROTOCOL.md section 3).

use gridmux_core::wire::{Flags, Header, Op};

use super::deed::Task;
use super::rules::ECHO;
use super::voice::{NOBODYS, Voice};
use crate::peers::say;

/// How a merged message is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Merge {
    /// The count is lower than the number of parts: the others do not count.
    CountTooLow,
    /// The count is higher: the link is dropped.
    CountTooHigh,
    /// No part.
    None,
    /// One part.
    One,
    /// As many as a Go node gathers.
    Fifty,
    /// And the one that ended the gathering.
    FiftyOne,
    /// More than anybody sends.
    Many,
    /// A merged message within.
    Nested,
    /// Bytes behind the last part.
    Trailing,
    /// A part that is no message: the link is dropped.
    BrokenPart,
    /// A part whose length is more than there is: the link is dropped.
    CutPart,
    /// A stream is opened and cancelled within.
    CancelInside,
    /// A close frame right behind it.
    CloseBehind,
    /// A large part at its end.
    Large,
    /// A link ping among the parts.
    PingInside,
}

impl Merge {
    pub(super) const ALL: [Self; 15] = [
        Self::CountTooLow,
        Self::CountTooHigh,
        Self::None,
        Self::One,
        Self::Fifty,
        Self::FiftyOne,
        Self::Many,
        Self::Nested,
        Self::Trailing,
        Self::BrokenPart,
        Self::CutPart,
        Self::CancelInside,
        Self::CloseBehind,
        Self::Large,
        Self::PingInside,
    ];

    pub(super) fn sent_by(self, voice: &mut Voice<'_>, task: &Task) {
        let mut parts: Vec<Vec<u8>> = (0..self.requests(task)).map(|_| request(voice, 0)).collect();
        self.add_to(&mut parts, voice, task);
        let count = match self {
            Self::CountTooLow => 1,
            Self::CountTooHigh => parts.len() + 1,
            _ => parts.len(),
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut bytes = say::merged(count, parts.iter().map(Vec::as_slice));
        match self {
            Self::Trailing => bytes.extend_from_slice(b"\xc4\x05no more"),
            Self::CutPart => bytes.truncate(bytes.len() - 5),
            _ => {}
        }
        voice.line.push(&bytes);
        if self == Self::CloseBehind {
            voice.line.push_close();
        }
    }

    /// Requests among the parts.
    const fn requests(self, task: &Task) -> u64 {
        match self {
            Self::None => 0,
            Self::One => 1,
            Self::Fifty => 50,
            Self::FiftyOne => 51,
            Self::Many => 52 + task.pick(1, 500),
            _ => 3,
        }
    }

    /// What else is among the parts.
    fn add_to(self, parts: &mut Vec<Vec<u8>>, voice: &mut Voice<'_>, task: &Task) {
        match self {
            Self::Nested => {
                let inner = request(voice, 0);
                parts.insert(1, say::merged(1, [inner.as_slice()]));
            }
            Self::BrokenPart => parts.push(b"\xc1 this is no message".to_vec()),
            Self::CancelInside => {
                let mux = voice.fresh();
                let connect = Header { mux, handler: 25, ..Header::new(Op::ConnectMux) };
                let cancel = Header { mux, ..Header::new(Op::DisconnectServerMux) };
                parts.push(voice.write(connect, &NOBODYS));
                parts.push(voice.write(cancel, &[]));
                parts.push(voice.write(cancel, &[]));
            }
            Self::Large => parts.push(request(voice, 17_000 + task.pick(2, 200_000))),
            Self::PingInside => parts.insert(1, voice.write(Header::new(Op::Ping), &[])),
            _ => {}
        }
    }
}

/// A request that no call has made, with so many bytes more than it needs.
fn request(voice: &mut Voice<'_>, more: u64) -> Vec<u8> {
    let mux = voice.fresh();
    let header = Header { mux, handler: ECHO, flags: Flags::EOF, ..Header::new(Op::Request) };
    let mut payload = NOBODYS.to_vec();
    payload.resize(payload.len() + usize::try_from(more).unwrap_or(0), 0xff);
    voice.write(header, &payload)
}
