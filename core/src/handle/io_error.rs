//! The errors of calls and streams as errors of bytes.

use std::io::{Error, ErrorKind};

use super::InputError;
use crate::error::{CallError, CancelReason, LimitKind};

/// The error inside, under the nearest kind. None is `Interrupted`, which is for trying again.
impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::Remote(_) => ErrorKind::Other,
            CallError::Refused(_)
            | CallError::RequestUndecodable(_)
            | CallError::ShuttingDown
            | CallError::PeerShuttingDown => ErrorKind::ConnectionRefused,
            CallError::Disconnected { may_have_run: false }
            | CallError::PeerRemoved { may_have_run: false } => ErrorKind::NotConnected,
            CallError::Disconnected { may_have_run: true }
            | CallError::PeerRemoved { may_have_run: true } => ErrorKind::ConnectionReset,
            CallError::DeadlineExceeded { .. } => ErrorKind::TimedOut,
            CallError::Cancelled => ErrorKind::ConnectionAborted,
            CallError::Limit(LimitKind::Credits | LimitKind::QueuedBytes) => ErrorKind::WouldBlock,
            CallError::Limit(LimitKind::OutgoingMuxes | LimitKind::ReceivedBytes)
            | CallError::PeerLimit { .. }
            | CallError::ResponseTooLarge { .. } => ErrorKind::QuotaExceeded,
            CallError::DeadlineTooShort | CallError::TooLarge { .. } | CallError::Encode(_) => {
                ErrorKind::InvalidInput
            }
            CallError::PeerViolation(_) | CallError::Decode(_) => ErrorKind::InvalidData,
            CallError::SendClosed | CallError::Ended => ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// The error inside, under the nearest kind. None is `Interrupted`, which is for trying again.
impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        let kind = match &error {
            InputError::Decode(_) => ErrorKind::InvalidData,
            InputError::Cancelled(reason) => match reason {
                CancelReason::Deadline | CancelReason::CallerSilent => ErrorKind::TimedOut,
                CancelReason::Disconnected => ErrorKind::ConnectionReset,
                CancelReason::Violation => ErrorKind::InvalidData,
                CancelReason::ReceiveLimit => ErrorKind::QuotaExceeded,
                CancelReason::HandlerEnded => ErrorKind::BrokenPipe,
                CancelReason::Caller | CancelReason::ShuttingDown => ErrorKind::ConnectionAborted,
            },
        };
        Self::new(kind, error)
    }
}
