//! What can go wrong, by whose fault.

use tungstenite::protocol::frame::coding::CloseCode;

use super::upgrade::{MAX_HEAD_LEN, Status, refuse};

/// The peer broke RFC 6455 or passed the message limit: the connection is over.
///
/// All are final; [`Channel::poll_message`](super::Channel::poll_message) gives the same one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// A reserved bit is set, though no extension was agreed on (section 5.2).
    #[error("a frame has a reserved bit set")]
    ReservedBits,
    /// Opcodes 3 to 7 and 11 to 15 (section 5.2).
    #[error("a frame has the unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A ping, pong or close without FIN (section 5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A ping, pong or close of more than 125 bytes (section 5.5).
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// A text or binary frame before the last fragment of the one before it (section 5.4).
    #[error("a message began inside a fragmented one")]
    InterleavedMessage,
    /// A continuation frame with no message to continue (section 5.4).
    #[error("a continuation frame continues nothing")]
    StrayContinuation,
    /// The dialler must mask what it sends (section 5.1).
    #[error("a frame from the dialler is not masked")]
    NotMasked,
    /// The acceptor must not mask what it sends (section 5.1).
    #[error("a frame from the acceptor is masked")]
    Masked,
    /// A length is not written in its shortest form (section 5.2).
    #[error("a frame's length is not in its shortest form")]
    NonMinimalLength,
    /// The top bit of a 64-bit length is set (section 5.2).
    #[error("a frame's length has its top bit set")]
    LengthTopBit,
    /// A close frame of one byte: too short for its code (section 5.5.1).
    #[error("a close frame has a payload of one byte")]
    ShortClose,
    /// A close frame with a code that must not travel (section 7.4).
    #[error("a close frame has the code {0}, which must not be sent")]
    BadCloseCode(u16),
    /// A frame header takes its message over the limit (PROTOCOL.md section 7.5). Nothing of the
    /// frame has been kept.
    #[error("a message of {size} bytes or more exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes claimed so far, all fragments together.
        size: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message comes in too many small pieces. Nothing forbids that; it costs more than it carries.
    #[error("a message has more than {limit} fragments of less than 1 KiB")]
    TooManyFragments {
        /// How many are taken.
        limit: u32,
    },
}

impl WebSocketError {
    /// The code for a close frame that tells the peer (section 7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLarge { .. } => CloseCode::Size,
            Self::TooManyFragments { .. } => CloseCode::Policy,
            Self::ReservedBits
            | Self::UnknownOpcode(_)
            | Self::FragmentedControl
            | Self::LongControl
            | Self::InterleavedMessage
            | Self::StrayContinuation
            | Self::NotMasked
            | Self::Masked
            | Self::NonMinimalLength
            | Self::LengthTopBit
            | Self::ShortClose
            | Self::BadCloseCode(_) => CloseCode::Protocol,
        }
    }
}

/// Why a dialler's upgrade came to nothing (PROTOCOL.md section 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// One of our own inputs cannot stand in an HTTP head: it is empty or has a space or a control
    /// character (CR and LF among them). The name of the field; never its value, which may be the
    /// token.
    #[error("the {0} cannot be written into an HTTP head")]
    InvalidInput(&'static str),
    /// The acceptor answered with another status than 101: 403 for a token or time that it does not
    /// accept, 426 when it saw no valid upgrade, 503 when it has not started.
    #[error("the upgrade was refused with status {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body, or the status line's text if there is none: for the log, at
        /// most [`MAX_REASON_LEN`](super::MAX_REASON_LEN) bytes, without control characters.
        reason: String,
    },
    /// The answer is not an HTTP/1.1 response head, or not that of a WebSocket upgrade. What is
    /// wrong with it.
    #[error("the answer is no valid upgrade response: {0}")]
    InvalidResponse(&'static str),
    /// `Sec-WebSocket-Accept` does not fit the key: an answer to another request.
    #[error("the answer's accept key is wrong")]
    WrongAcceptKey,
    /// Another node answers: the address is not, or no longer, that of the node that was dialled.
    #[error("{found} answers at the address of {expected}")]
    WrongNode {
        /// The node that was dialled.
        expected: String,
        /// The name that the acceptor gives itself: the first 256 bytes of it, without control
        /// characters.
        found: String,
    },
    /// The response head is longer than [`MAX_HEAD_LEN`].
    #[error("the response head is longer than {MAX_HEAD_LEN} bytes")]
    HeadTooLarge,
    /// The connection ended before the response head was complete.
    #[error("the connection ended during the upgrade")]
    Ended,
}

/// Why an acceptor refuses an upgrade, and what it answers (PROTOCOL.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The status to answer with.
    pub status: Status,
    /// What was wrong, for a person.
    pub reason: &'static str,
}

impl Refusal {
    /// The whole response; the connection is closed after it.
    pub fn response(&self) -> Vec<u8> {
        refuse(self.status, self.reason)
    }
}
