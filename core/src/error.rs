//! What can go wrong, by who caused it.

use std::fmt;

use crate::link::is_duplicate_reason;

/// How a call or a stream failed. Told apart by type, never by text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The remote handler ran and answered with this error text.
    #[error("remote error: {0}")]
    Remote(String),
    /// The peer refused the call before any handler ran: unknown handler, too many calls,
    /// shutting down. The text is for a person.
    #[error("refused by the peer: {0}")]
    Refused(String),
    /// There is no link, the link was lost while the call was open, or the peer gave the call up.
    #[error("remote disconnected")]
    Disconnected {
        /// Whether the handler may have run.
        may_have_run: bool,
    },
    /// The call's own deadline passed.
    #[error("deadline exceeded")]
    DeadlineExceeded {
        /// Whether the handler may have run.
        may_have_run: bool,
    },
    /// A deadline under 1 ms was asked for; nothing was sent (PROTOCOL.md section 5.1).
    #[error("a deadline under one millisecond")]
    DeadlineTooShort,
    /// The call was cancelled here, by shutdown's end of grace or by its other half.
    #[error("cancelled")]
    Cancelled,
    /// A limit was reached; see [`LimitKind`] for which, and whether anything was sent.
    #[error("limit reached: {0}")]
    Limit(LimitKind),
    /// The message is larger than `limit`; nothing was sent, and the link stays.
    #[error("message of {size} bytes is larger than the limit of {limit} of {whose}")]
    TooLarge {
        /// Bytes of the whole message.
        size: usize,
        /// [`crate::limits::Limits::message`].
        limit: usize,
        /// The node whose limit it is.
        whose: LimitOwner,
    },
    /// The handler ran, and its response is larger than `limit`: it was not sent.
    #[error("response of {size} bytes is larger than the limit of {limit} of {whose}")]
    ResponseTooLarge {
        /// Bytes of the whole message.
        size: usize,
        /// [`crate::limits::Limits::message`].
        limit: usize,
        /// The node whose limit it is.
        whose: LimitOwner,
    },
    /// A limit of the peer was reached by this call. Only between nodes of this crate: a Go caller
    /// gets the text alone.
    #[error("a limit of the peer was reached, {limit}: {text}")]
    PeerLimit {
        /// Which.
        limit: PeerLimit,
        /// Whether the handler may have run.
        may_have_run: bool,
        /// What the peer says about it.
        text: String,
    },
    /// The peer cannot decode the request as its route's type, so no handler ran. The text names the
    /// peer's route. Only between nodes of this crate, as [`Self::PeerLimit`].
    #[error("the peer cannot decode {0}")]
    RequestUndecodable(String),
    /// This node is shutting down; nothing was sent.
    #[error("this node is shutting down")]
    ShuttingDown,
    /// The peer has said that it is shutting down; nothing was sent.
    #[error("the peer is shutting down")]
    PeerShuttingDown,
    /// The peer was removed from the grid.
    #[error("the peer was removed")]
    PeerRemoved {
        /// Whether the handler may have run.
        may_have_run: bool,
    },
    /// The peer broke the rules of a stream (PROTOCOL.md section 5.2).
    #[error("{0}")]
    PeerViolation(Violation),
    /// The payload could not be encoded; nothing was sent.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The peer's response, or item, could not be decoded as the route's type, or is decoded to more
    /// than [`crate::limits::Limits::decoded_bytes`] of this node. The text names the route.
    #[error("cannot decode: {0}")]
    Decode(String),
    /// `send` after `close`; the stream goes on.
    #[error("the sending half is closed")]
    SendClosed,
    /// The stream has ended in order; nothing more can be sent.
    #[error("the stream has ended")]
    Ended,
}

impl CallError {
    /// Whether the remote handler may have run. `false` only when no byte of the call was
    /// handed to the transport, or the peer says that no handler ran.
    pub const fn may_have_run(&self) -> bool {
        match self {
            Self::Remote(_)
            | Self::Cancelled
            | Self::PeerViolation(_)
            | Self::Decode(_)
            | Self::ResponseTooLarge { .. }
            | Self::SendClosed
            | Self::Ended => true,
            Self::Disconnected { may_have_run }
            | Self::DeadlineExceeded { may_have_run }
            | Self::PeerRemoved { may_have_run }
            | Self::PeerLimit { may_have_run, .. } => *may_have_run,
            Self::Limit(kind) => matches!(kind, LimitKind::ReceivedBytes),
            Self::Refused(_)
            | Self::RequestUndecodable(_)
            | Self::DeadlineTooShort
            | Self::TooLarge { .. }
            | Self::ShuttingDown
            | Self::PeerShuttingDown
            | Self::Encode(_) => false,
        }
    }
}

/// Which limit was reached (PROTOCOL.md section 7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// Live calls to the peer; nothing was sent.
    OutgoingMuxes,
    /// Bytes queued to send, in a `try_` form; nothing was sent.
    QueuedBytes,
    /// Bytes received and not yet taken: the call ends, the link stays.
    ReceivedBytes,
    /// A stream's credits are used up, in a `try_` form; nothing was sent.
    Credits,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutgoingMuxes => "too many open calls",
            Self::QueuedBytes => "too much data queued to send",
            Self::ReceivedBytes => "too much received data not taken",
            Self::Credits => "the peer has not taken the items already sent",
        })
    }
}

/// The node whose limit a message has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitOwner {
    /// The one that gets the error.
    ThisNode,
    /// The other end of the link, which has told us its limit.
    Peer,
}

impl fmt::Display for LimitOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNode => "this node",
            Self::Peer => "the peer",
        })
    }
}

/// A limit of the peer: a field of its [`Limits`](crate::limits::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerLimit {
    /// `received_bytes`.
    ReceivedBytes,
    /// `handler_bytes`.
    HandlerBytes,
    /// `decoded_bytes`.
    DecodedBytes,
    /// `response_bytes`.
    ResponseBytes,
    /// `node_bytes`.
    NodeBytes,
}

impl PeerLimit {
    pub(crate) const ALL: [Self; 5] = [
        Self::ReceivedBytes,
        Self::HandlerBytes,
        Self::DecodedBytes,
        Self::ResponseBytes,
        Self::NodeBytes,
    ];

    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReceivedBytes => "received_bytes",
            Self::HandlerBytes => "handler_bytes",
            Self::DecodedBytes => "decoded_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::NodeBytes => "node_bytes",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }
}

impl fmt::Display for PeerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the peer broke the rules of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A counted message did not carry the next sequence number.
    OutOfSequence {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        received: u32,
    },
    /// More items than the route's capacity, without credits for them. Capacities are not on the wire: as
    /// a rule the two ends declare the route differently.
    OverCapacity {
        /// The route's name, where it is known.
        route: Option<&'static str>,
        /// The capacity that this node has declared.
        capacity: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfSequence { expected, received } => {
                write!(f, "out-of-sequence item received: expected {expected}, got {received}")
            }
            Self::OverCapacity { route, capacity } => {
                write!(f, "more items than the stream's capacity of {capacity}")?;
                if let Some(route) = route {
                    write!(f, ", as {route:?} is declared here")?;
                }
                f.write_str(": the other end may have declared another capacity")
            }
        }
    }
}

/// Why a handler was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// The caller cancelled.
    Caller,
    /// The call's deadline passed.
    Deadline,
    /// The link was lost.
    Disconnected,
    /// This node's grace period ended.
    ShuttingDown,
    /// The caller broke the rules of the stream.
    Violation,
    /// The caller's pings stopped (PROTOCOL.md section 5.3).
    CallerSilent,
    /// Items received and not taken passed their limit.
    ReceiveLimit,
    /// For what a handler has left running: the handler itself has returned.
    HandlerEnded,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "cancelled by the caller",
            Self::Deadline => "deadline exceeded",
            Self::Disconnected => "remote disconnected",
            Self::ShuttingDown => "shutting down",
            Self::Violation => "the caller broke the stream's rules",
            Self::CallerSilent => "the caller is silent",
            Self::ReceiveLimit => "too much received data not taken",
            Self::HandlerEnded => "the handler has returned",
        })
    }
}

impl std::error::Error for CancelReason {}

/// Why a link ended or an attempt to make one failed. The text says it to a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The transport failed: connecting, TLS, reading or writing.
    #[error("{0}")]
    Transport(String),
    /// The peer closed the connection.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The HTTP upgrade was refused or malformed.
    #[error("upgrade: {0}")]
    Upgrade(#[from] crate::websocket::UpgradeError),
    /// The peer broke RFC 6455 or sent a message over the limit.
    #[error("websocket: {0}")]
    WebSocket(#[from] crate::websocket::WebSocketError),
    /// A message did not parse or its CRC differed.
    #[error("malformed message: {0}")]
    Malformed(#[from] crate::wire::DecodeError),
    /// The dialler's first message was answered by something else than a ConnectResponse.
    #[error("expected ConnectResponse, got {0}")]
    UnexpectedOp(&'static str),
    /// The process that has answered for the peer is that of another peer, with which there is a link
    /// already, or this one: the address of `name` has become that of `other`.
    #[error("the process that answers for {name} is that of {other}")]
    SameProcess {
        /// The peer that was dialled.
        name: String,
        /// The name under which the process is known, or that of this node.
        other: String,
    },
    /// The peer refused our Connect, with the beginning of its reason: at most 256 bytes, in which control
    /// characters are spaces.
    #[error("rejected by the peer: {0}")]
    Rejected(String),
    /// We refused the peer's Connect, with the reason it was given.
    #[error("rejected: {0}")]
    Refused(crate::link::Denial),
    /// Dial or handshake took too long.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// Nothing was received for longer than the silence limit (PROTOCOL.md section 7.6).
    #[error("peer is silent")]
    PeerSilent,
    /// Bytes arrive, but no Pong has for 60 s (PROTOCOL.md section 7.6).
    #[error("peer does not answer")]
    PeerDoesNotAnswer,
    /// Our own replies pile up (PROTOCOL.md section 7.5).
    #[error("peer does not read")]
    PeerDoesNotRead,
    /// A write made no progress for 3 s (PROTOCOL.md section 4).
    #[error("a write makes no progress")]
    WriteStalled,
    /// A newer connection of the same peer took this one's place.
    #[error("replaced by a newer connection")]
    Replaced,
    /// The link ended because this node shuts down, or the peer was removed.
    #[error("shut down")]
    ShutDown,
    /// One of our own bugs; the link was dropped and the node goes on.
    #[error("internal error: {0}")]
    Internal(String),
}

impl LinkError {
    /// What is the same of errors that differ in their texts only: repeats of one kind are logged once.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Transport(_) => "transport",
            Self::ClosedByPeer => "closed by the peer",
            Self::Upgrade(_) => "upgrade",
            Self::WebSocket(_) => "websocket",
            Self::Malformed(_) => "malformed message",
            Self::UnexpectedOp(_) => "unexpected op",
            Self::SameProcess { .. } => "same process",
            Self::Rejected(reason) if is_duplicate_reason(reason) => "rejected as a duplicate",
            Self::Rejected(_) => "rejected",
            Self::Refused(denial) => denial.kind.name(),
            Self::TimedOut(_) => "timed out",
            Self::PeerSilent => "silent",
            Self::PeerDoesNotAnswer => "no answer",
            Self::PeerDoesNotRead => "does not read",
            Self::WriteStalled => "write stalled",
            Self::Replaced => "replaced",
            Self::ShutDown => "shut down",
            Self::Internal(_) => "internal",
        }
    }

    pub(crate) fn same_process(name: &str, other: &str) -> Self {
        Self::SameProcess { name: name.into(), other: other.into() }
    }
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A node name that is not a base URL `http://host:port` or `https://host:port` with nothing behind.
    #[error("invalid node name {name:?}: {problem}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A name stands twice in the list of nodes.
    #[error("the name {0:?} stands twice in the list of nodes")]
    DuplicateName(String),
    /// The own name is not in the list of nodes (PROTOCOL.md section 1).
    #[error("the own name {0:?} is not in the list of nodes")]
    OwnNameMissing(String),
    /// A peer of this name exists.
    #[error("cannot add the peer {0:?}: the name is taken")]
    NameTaken(String),
    /// A peer was asked for, added or removed by this node's own name.
    #[error("{0:?} is this node's own name: a node is no peer of itself")]
    OwnName(String),
    /// No peer has this name.
    #[error("no peer is named {0:?}")]
    UnknownPeer(String),
    /// A name asks for TLS, and no connector was set: the one of the runtime speaks plain TCP, and would
    /// send the token unencrypted. See [`Builder::connector`](crate::builder::Builder::connector).
    #[error(
        "the name {0:?} asks for TLS: set a connector that does it, or that knows that something else does"
    )]
    TlsWithoutConnector(String),
    /// The node has ended, so that it has no peers any more.
    #[error("the node has ended")]
    NodeEnded,
    /// A limit outside its bounds.
    #[error("limit {name} is {value}, not within {low} and {high}")]
    Limit {
        /// The field of [`crate::limits::Limits`].
        name: &'static str,
        /// The value given.
        value: usize,
        /// The least that works.
        low: usize,
        /// The most.
        high: usize,
    },
    /// A duration that cannot work.
    #[error("timing {name}: {problem}")]
    Timing {
        /// The field of [`crate::timings::Timings`], or `busy_poll` of the builder.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The HTTP route does not begin with `/` or has characters that a request line cannot carry.
    #[error("invalid HTTP route {0:?}")]
    InvalidRoute(String),
    /// A handler's route is invalid or taken.
    #[error(transparent)]
    Route(#[from] crate::route::RouteError),
}
