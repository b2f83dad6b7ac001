//! Why an incoming connection is refused.

use std::ops::Deref;

use crate::log;
use crate::websocket::Status;

/// A connection that has come in is refused, in its upgrade (PROTOCOL.md section 1) or by the answer to
/// its Connect (section 4.2).
///
/// The text is for a person: it is sent to the other end and logged, so it never holds a token. It is a
/// `str` where one is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denial {
    /// What is wrong, for a program.
    pub kind: DenialKind,
    /// What is wrong, for a person.
    pub reason: String,
    /// The name that the other end gives itself, if it came so far, cut to 256 bytes. A claim: nothing
    /// proves it.
    pub claimed: Option<String>,
}

/// The kinds of [`Denial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialKind {
    /// 400: not HTTP, or a request that contradicts itself.
    BadRequest,
    /// 431: the request's head is too long.
    HeadTooLarge,
    /// 426: no WebSocket upgrade.
    NotUpgrade,
    /// 404: no grid at this path.
    NoSuchRoute,
    /// The start gate is closed (PROTOCOL.md section 7.12).
    NotStarted,
    /// The clocks differ by too much.
    Clock,
    /// The token is not accepted.
    Token,
    /// The first message does not parse, or is no Connect.
    NotConnect,
    /// No peer has this name.
    UnknownName,
    /// The name is that of another link.
    WrongName,
    /// This side dials that peer.
    WrongSide,
    /// This node shuts down.
    ShuttingDown,
    /// Another process uses the name (PROTOCOL.md section 7.11).
    Duplicate,
    /// The peer has a newer connection.
    Late,
    /// One of our own bugs.
    Internal,
}

impl DenialKind {
    /// A name of the kind, for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request",
            Self::HeadTooLarge => "head too large",
            Self::NotUpgrade => "no upgrade",
            Self::NoSuchRoute => "no such route",
            Self::NotStarted => "not started",
            Self::Clock => "clock",
            Self::Token => "token",
            Self::NotConnect => "no Connect",
            Self::UnknownName => "unknown name",
            Self::WrongName => "wrong name",
            Self::WrongSide => "wrong side",
            Self::ShuttingDown => "shutting down",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Internal => "internal",
        }
    }

    /// Whether it belongs to the start, the end or the reconnecting of a node whose grid is in order: no
    /// reason to warn.
    pub const fn is_expected(self) -> bool {
        matches!(self, Self::NotStarted | Self::ShuttingDown | Self::Late)
    }

    pub(crate) const fn of_status(status: Status) -> Self {
        match status {
            Status::BadRequest => Self::BadRequest,
            Status::Forbidden => Self::Token,
            Status::NotFound => Self::NoSuchRoute,
            Status::UpgradeRequired => Self::NotUpgrade,
            Status::HeadTooLarge => Self::HeadTooLarge,
            Status::Unavailable => Self::NotStarted,
        }
    }
}

impl Denial {
    /// A refusal of this kind, with its reason for a person.
    pub fn new(kind: DenialKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), claimed: None }
    }

    /// The same, of an end that gives itself this name.
    #[must_use]
    pub fn claimed_by(self, name: &str) -> Self {
        Self { claimed: Some(log::kept(name.as_bytes())), ..self }
    }
}

impl Deref for Denial {
    type Target = str;

    fn deref(&self) -> &str {
        &self.reason
    }
}
