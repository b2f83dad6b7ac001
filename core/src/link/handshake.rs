//! Connect and ConnectResponse: PROTOCOL.md section 4.

use std::time::Duration;

use super::denial::{Denial, DenialKind};
use crate::error::LinkError;
use crate::log::{self, excerpt};
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
) -> Result<Connect, Denial> {
    let no_connect = |reason| Denial::new(DenialKind::NotConnect, reason);
    let message = MessageRef::decode(frame)
        .map_err(|e| no_connect(format!("malformed first message: {e}")))?;
    let message = message.message;
    if message.header.op != Op::Connect && !planted!(AnyFirstMessage) {
        return Err(no_connect(format!("expected Connect, got {}", message.header.op)));
    }
    let connect = Connect::decode(message.payload)
        .map_err(|e| no_connect(format!("malformed Connect: {e}")))?;
    let deny = |kind, reason| Err(Denial::new(kind, reason).claimed_by(&connect.host));
    if !knows(&connect.host) {
        return Err(unknown_name(&connect.host));
    }
    let skew = now.wall.abs_diff(connect.time);
    if skew > node.timings.clock_skew && !planted!(FutureConnectAccepted, connect.time > now.wall) {
        return deny(DenialKind::Clock, clock_reason(skew, node.timings.clock_skew));
    }
    match node.auth.check(&connect.token, now.wall) {
        Err(error) if !planted!(TokenNotChecked) => {
            deny(DenialKind::Token, format!("auth token: {error}"))
        }
        _ => Ok(connect),
    }
}

/// The refusal of a name that no peer has.
pub(crate) fn unknown_name(name: &str) -> Denial {
    let reason = format!("unknown incoming host: {}", excerpt(name));
    Denial::new(DenialKind::UnknownName, reason).claimed_by(name)
}

/// Why clocks that differ by `skew` are refused.
pub(super) fn clock_reason(skew: Duration, most: Duration) -> String {
    format!("the clocks differ by {} s, more than {} s", skew.as_secs(), most.as_secs())
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
        return Err(LinkError::Rejected(log::kept(response.rejected_reason.as_bytes())));
    }
    Ok(())
}

/// A message about the link itself, with flags 0.
pub(crate) const fn link_message(op: Op, payload: &[u8]) -> MessageRef<'_> {
    MessageRef { header: Header::new(op), subroute: None, payload }
}
