//! What the machines tell the layer above.

use std::time::Duration;

use crate::error::{CancelReason, LinkError};
use crate::mux::{CallRefusal, IncomingKey, OutgoingKey};
use crate::payload::Payload;
use crate::route::RouteIndex;
use crate::time::Instant;

/// Something that a waiting user should look at. Small, so that a batch of them costs little;
/// what there is to see is asked from the [`crate::peer::Peer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A single request of ours has ended, or a stream of ours has an item or its end.
    Readable(OutgoingKey),
    /// A stream of ours can take an item again, or has ended.
    Writable(OutgoingKey),
    /// A served stream has input, its end, or was cancelled.
    InputReadable(IncomingKey),
    /// A served stream can take output again, or was cancelled.
    OutputWritable(IncomingKey),
    /// A handler was cancelled.
    Cancelled(IncomingKey, CancelReason),
    /// There is room in the send queue again.
    QueueWritable,
    /// The link's state has changed.
    LinkState,
    /// A drain is complete: no link, no call, nothing queued.
    Drained,
    /// A call of the peer was refused. One event may stand for several that are alike;
    /// [`Stats::refused_calls`](crate::stats::Stats::refused_calls) counts them.
    CallRefused {
        /// The handler id that the call was for.
        handler: u8,
        /// Why.
        reason: CallRefusal,
    },
}

/// A call of the peer that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingCall {
    /// Names it in every later command.
    pub key: IncomingKey,
    /// The route that it came for.
    pub route: RouteIndex,
    /// Its payload.
    pub payload: Payload,
    /// When the caller gives up; `None` for never.
    pub deadline: Option<Instant>,
}

/// What a peer wants done about its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkCommand {
    /// Open TCP (and TLS), then upgrade; report `handle_upgraded` or `handle_dial_failed`.
    Dial {
        /// The number of the link to be.
        link: LinkId,
    },
    /// Drop the connection or the dial attempt.
    Close {
        /// Which; an older one may still be open.
        link: LinkId,
        /// How.
        how: CloseHow,
        /// Why, for the log.
        reason: LinkError,
    },
}

/// How a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// At once; what is queued is lost.
    Abort,
    /// What was handed out is written, then a WebSocket close frame, then wait for its answer
    /// at most this long (PROTOCOL.md section 7.9).
    Graceful(Duration),
}

/// The number of a link: never reused within a peer, so that whatever still arrives for an
/// older connection is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u64);

impl LinkId {
    /// The number itself, for logs.
    pub const fn get(self) -> u64 {
        self.0
    }
}
