//! How much of everything a node accepts: PROTOCOL.md section 7.5, one field a line of its table.

use crate::error::ConfigError;

/// Room that a WebSocket message has beyond [`Limits::message`], for the frame that merges several.
pub const MERGE_ALLOWANCE: usize = 64 * 1024;

/// Every limit, all settings; [`Builder::build`](crate::builder::Builder::build) checks them.
/// Change some with `Limits { queued_bytes: 4 << 20, ..Limits::default() }`. Reaching one is an error for what reached it and harms nothing else.
///
/// # Memory
///
/// One link holds at most `queued_bytes + response_bytes + reply_bytes + answer_bytes +
/// received_bytes + handler_bytes`, with the defaults 289 MiB if all of them are reached, and:
///
/// - two messages: the one that is being read and the one that is being written,
/// - 256 KiB of read buffer under load,
/// - some 300 bytes for each live call, up to 4 KiB of decoded request for each running handler, and
///   what the handlers allocate themselves,
/// - up to 16 KiB for each answered call whose future was not polled since,
/// - `decoded_bytes` for each thread that decodes a payload at the moment.
///
/// All links together hold at most `node_bytes` in requests of running handlers and in queues, and
/// 2 MiB more for each link; what they have received and not taken, at most `received_bytes` each,
/// comes on top. Sizes of decoded values are estimates: a `Vec` that grows may have allocated twice as
/// much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one message, ours or theirs; default 16 MiB, at least 1 KiB, at most 1 GiB. Ours: the
    /// call fails with `TooLarge` and nothing is sent; theirs: the link is dropped. Nodes of this crate
    /// tell each other their limits in the upgrade, unless an HTTP server of one's own answers it: what is
    /// over the peer's fails with `TooLarge` as well, and costs no link.
    pub message: usize,
    /// Bytes in the first message of a connection, in either direction: Connect and ConnectResponse;
    /// default 64 KiB. A longer one ends the connection.
    pub first_message: usize,
    /// Accepted connections that have not yet proved who they are; default 256, at most 1,048,576. For
    /// one more another is closed: one without a good token before one with it, of the address that has
    /// the most, the oldest. Each takes a descriptor.
    pub unauthenticated: usize,
    /// Those of them that come from one address (of IPv6: from one network of 64 bits); default 192.
    /// Beyond it the oldest of that address is closed. A share of
    /// [`unauthenticated`](Self::unauthenticated), which bounds it in any case: several nodes may have
    /// one address, behind a NAT or on one machine.
    pub unauthenticated_per_address: usize,
    /// Live calls to one peer; default 131,072. A call more fails with `Limit`.
    pub outgoing_muxes: usize,
    /// Live calls from one peer, running handlers included; default 131,072. A call more
    /// is refused with MuxConnectError "too many calls".
    pub incoming_muxes: usize,
    /// Bytes queued to send to one peer; default 16 MiB. There is always room for one message.
    /// Beyond it sending waits, and the `try_` forms fail with `Limit`; new calls of the peer are not
    /// begun until less is queued.
    pub queued_bytes: usize,
    /// Bytes that responses and the ends of streams may be queued to one peer beyond `queued_bytes`;
    /// default 64 MiB. There is always room for one message. A response beyond it is dropped, and its
    /// caller gets [`CallError::PeerLimit`](crate::error::CallError::PeerLimit).
    pub response_bytes: usize,
    /// Bytes of queued replies that the core makes itself (pongs, refusals, answers to unknown
    /// muxes); default 1 MiB. Beyond it the link is dropped: "peer does not read".
    pub reply_bytes: usize,
    /// Bytes of queued acks, credits and answers to cancels, which one peer's calls and items have caused;
    /// default 16 MiB. Beyond it the link is dropped: "peer does not read".
    pub answer_bytes: usize,
    /// Bytes received from one peer and not yet taken by the application; default 64 MiB. The
    /// call whose item passes it ends with a limit error; the link stays. Outcomes of at most 4 KiB
    /// do not count any more once they are laid where their callers find them.
    pub received_bytes: usize,
    /// Bytes of the requests of one peer that wait for their handlers or whose handlers run; default
    /// 128 MiB. A typed request counts as what it is decoded to. There is always room for one message.
    /// A call beyond it is refused before its handler runs, and its caller gets
    /// [`CallError::PeerLimit`](crate::error::CallError::PeerLimit). It is no part of `received_bytes`:
    /// slow handlers of large requests do not end the streams beside them.
    pub handler_bytes: usize,
    /// Bytes that one payload may be decoded to, as estimated while it is decoded; default 64 MiB. A
    /// request beyond it is refused before its handler runs; a response or an item ends its call with
    /// [`CallError::Decode`](crate::error::CallError::Decode). Raw payloads are not decoded.
    pub decoded_bytes: usize,
    /// Bytes that all links of this node together hold of what `handler_bytes` counts and of what is
    /// queued to send; default 1 GiB. Beyond it the calls and responses of links that hold more than 1 MiB
    /// are refused, as by `handler_bytes` and `response_bytes`: links that hold little go on. Each link
    /// tells of what it holds in steps of 256 KiB. A loop of one's own, which drives
    /// [`GridState`](crate::grid::GridState), asks
    /// [`GridState::is_full`](crate::grid::GridState::is_full).
    pub node_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            first_message: 64 << 10,
            unauthenticated: 256,
            unauthenticated_per_address: 192,
            outgoing_muxes: 131_072,
            incoming_muxes: 131_072,
            queued_bytes: 16 << 20,
            reply_bytes: 1 << 20,
            answer_bytes: 16 << 20,
            response_bytes: 64 << 20,
            received_bytes: 64 << 20,
            handler_bytes: 128 << 20,
            decoded_bytes: 64 << 20,
            node_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// Refuses settings that could not work.
    ///
    /// # Errors
    /// [`ConfigError::Limit`] names the setting and its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |name, value, low, high| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Limit { name, value, low, high })
            }
        };
        check("message", self.message, 1 << 10, 1 << 30)?;
        check("first_message", self.first_message, 1 << 10, 1 << 30)?;
        check("unauthenticated", self.unauthenticated, 1, 1 << 20)?;
        let per_address = self.unauthenticated_per_address;
        check("unauthenticated_per_address", per_address, 1, 1 << 20)?;
        check("outgoing_muxes", self.outgoing_muxes, 1, 1 << 30)?;
        check("incoming_muxes", self.incoming_muxes, 1, 1 << 30)?;
        check("queued_bytes", self.queued_bytes, 1, 1 << 40)?;
        check("reply_bytes", self.reply_bytes, 1 << 10, 1 << 40)?;
        check("answer_bytes", self.answer_bytes, 1 << 10, 1 << 40)?;
        check("response_bytes", self.response_bytes, 1 << 10, 1 << 40)?;
        check("received_bytes", self.received_bytes, 1 << 10, 1 << 40)?;
        check("handler_bytes", self.handler_bytes, 1 << 10, 1 << 40)?;
        check("decoded_bytes", self.decoded_bytes, 1 << 10, 1 << 40)?;
        check("node_bytes", self.node_bytes, 1 << 10, 1 << 40)
    }

    /// The largest WebSocket message that a reader accepts.
    pub const fn websocket_message(&self) -> usize {
        self.message + MERGE_ALLOWANCE
    }
}
