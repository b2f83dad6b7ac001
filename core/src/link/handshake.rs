//! Connect and ConnectResponse: PROTOCOL.md section 4.

use crate::error::LinkError;
use crate::node::{Node, is_secure};
use crate::time::Now;
use crate::wire::{
    Connect, ConnectResponse, DecodeError, Flags, Header, Message, MessageRef, Op, Timestamp,
};

/// How a refusal for a second process begins. Our own words on both ends: a Go node never
/// refuses for it.
const DUPLICATE: &str = "another process uses the name ";

/// The flags that a link adds to its messages (PROTOCOL.md section 2).
pub(crate) fn base_flags(local: &str, remote: &str) -> Flags {
    if is_secure(local) && is_secure(remote) { Flags::empty() } else { Flags::CRC }
}

/// The dialler's first message, encoded.
pub(crate) fn connect(node: &Node, wall: Timestamp) -> Vec<u8> {
    let body = Connect {
        id: node.instance,
        host: node.name.clone(),
        time: wall,
        token: node.auth.issue(&node.name, wall),
    };
    let mut payload = Vec::new();
    body.encode(&mut payload);
    payload
}

/// The payload of the acceptor's answer; `Err` holds the reason of a refusal.
pub(crate) fn connect_response(instance: [u8; 16], verdict: Result<(), &str>) -> Vec<u8> {
    let body = ConnectResponse {
        id: instance,
        accepted: verdict.is_ok(),
        rejected_reason: match planted!(RefusalWithoutReason, verdict.is_err()) {
            true => String::new(),
            false => verdict.err().unwrap_or_default().into(),
        },
    };
    let mut payload = Vec::new();
    body.encode(&mut payload);
    payload
}

/// The acceptor's checks of a first message, in order, as far as they concern the node and not
/// one of its links (section 4.2). `knows` tells whether a name is configured.
///
/// # Errors
/// The reason, for the ConnectResponse and the logs of both sides.
pub fn check_connect(
    node: &Node,
    now: Now,
    frame: &[u8],
    knows: impl FnOnce(&str) -> bool,
) -> Result<Connect, String> {
    let message = MessageRef::decode(frame).map_err(|e| format!("malformed first message: {e}"))?;
    let message = message.message;
    if message.header.op != Op::Connect && !planted!(AnyFirstMessage) {
        return Err(format!("expected Connect, got {}", message.header.op));
    }
    let connect =
        Connect::decode(message.payload).map_err(|e| format!("malformed Connect: {e}"))?;
    if !knows(&connect.host) {
        return Err(format!("unknown incoming host: {}", connect.host));
    }
    let skew = now.wall.abs_diff(connect.time);
    if skew > node.timings.clock_skew && !planted!(FutureConnectAccepted, connect.time > now.wall) {
        return Err(format!(
            "the clocks differ by {} s, more than {} s",
            skew.as_secs(),
            node.timings.clock_skew.as_secs()
        ));
    }
    match node.auth.check(&connect.token, now.wall) {
        Err(error) if !planted!(TokenNotChecked) => Err(format!("auth token: {error}")),
        _ => Ok(connect),
    }
}

/// The refusal of a replaced process.
pub(crate) fn duplicate_reason(name: &str) -> String {
    format!("{DUPLICATE}{name}")
}

/// Whether the acceptor refuses us because another process uses our name.
pub(crate) fn is_duplicate_reason(reason: &str) -> bool {
    reason.starts_with(DUPLICATE)
}

/// What the acceptor answered to our Connect.
pub(crate) fn check_response(message: &Message) -> Result<(), LinkError> {
    if message.header.op != Op::ConnectResponse {
        return Err(LinkError::UnexpectedOp(message.header.op.name()));
    }
    let response = ConnectResponse::decode(&message.payload)
        .map_err(|e: DecodeError| LinkError::Malformed(e))?;
    if !response.accepted {
        return Err(LinkError::Rejected(response.rejected_reason));
    }
    Ok(())
}

/// A message about the link itself, with flags 0.
pub(crate) const fn link_message(op: Op, payload: &[u8]) -> MessageRef<'_> {
    MessageRef { header: Header::new(op), subroute: None, payload }
}
