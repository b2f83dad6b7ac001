//! Why a call of the peer is refused before any handler runs.

use std::fmt;

/// Why a call that has come in is refused with MuxConnectError (PROTOCOL.md sections 5.1, 5.2, 7.5 and
/// 7.9). What it says is the text that the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallRefusal {
    /// This node shuts down.
    ShuttingDown,
    /// A stream with the flag STATELESS.
    Stateless,
    /// No route has this handler id.
    NoHandler,
    /// No route of this handler id has this subroute.
    NoSubroute,
    /// A stream, where the route is for single requests.
    NotStream,
    /// A single request, where the route is for streams.
    NotSingle,
    /// [`Limits::incoming_muxes`](crate::limits::Limits::incoming_muxes), or far more answers wait than
    /// the peer takes.
    TooManyCalls,
    /// [`Limits::received_bytes`](crate::limits::Limits::received_bytes).
    TooMuchReceived,
    /// [`Limits::handler_bytes`](crate::limits::Limits::handler_bytes).
    HandlersHoldTooMuch,
}

impl CallRefusal {
    /// The text for the caller.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ShuttingDown => "shutting down",
            Self::Stateless => "Stateless streams not supported",
            Self::NoHandler => "no handler with this id",
            Self::NoSubroute => "no handler for this subroute",
            Self::NotStream => "this handler serves single requests",
            Self::NotSingle => "this handler serves streams",
            Self::TooManyCalls => "too many calls",
            // The tags in brackets make errors of their own of them at our callers: see `told`.
            Self::TooMuchReceived => {
                "too much received data waits to be taken [gridmux limit received_bytes]"
            }
            Self::HandlersHoldTooMuch => {
                "the handlers that run hold too much of their requests [gridmux limit handler_bytes]"
            }
        }
    }
}

impl fmt::Display for CallRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
