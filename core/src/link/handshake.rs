//! Connect and ConnectResponse: PROTOCOL.md section 4.

use std::net::SocketAddr;
use std::time::Duration;

use super::denial::{Denial, DenialKind};
use crate::auth::{Check, Issue};
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

/// A token to be shown to the node of this name.
pub(crate) fn token(node: &Node, peer: &str, nonce: [u8; 16], wall: Timestamp) -> String {
    node.auth.issue(Issue::new(&node.name, peer, &node.http_route, nonce, wall))
}

/// The dialler's first message to the node of this name, encoded.
pub(crate) fn connect(node: &Node, peer: &str, nonce: [u8; 16], wall: Timestamp) -> Vec<u8> {
    let body = Connect {
        id: node.instance,
        host: node.name.clone(),
        time: wall,
        token: token(node, peer, nonce, wall),
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
/// one of its links (section 4.2). `remote` is where it comes from, if that is known; `knows` tells
/// whether a name is configured.
///
/// # Errors
/// The reason, for the ConnectResponse and the logs of both sides.
pub fn check_connect(
    node: &Node,
    now: Now,
    frame: &[u8],
    remote: Option<SocketAddr>,
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
    let shown = Check::new(&connect.token, &node.name, &node.http_route, now.wall);
    match node.auth.check(shown.claimed(&connect.host).from(remote)) {
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

/// The refusal of a process that is connected already, as the peer of another name.
pub(crate) fn same_process(name: &str, other: &str) -> Denial {
    let reason = format!("the process of {name} is connected as {other} already");
    Denial::new(DenialKind::SameProcess, reason).claimed_by(name)
}

/// What the acceptor answered to our Connect; the instance id of its process if it has accepted.
pub(crate) fn check_response(message: &Message) -> Result<[u8; 16], LinkError> {
    if message.header.op != Op::ConnectResponse {
        return Err(LinkError::UnexpectedOp(message.header.op.name()));
    }
    let response = ConnectResponse::decode(&message.payload)
        .map_err(|e: DecodeError| LinkError::Malformed(e))?;
    if !response.accepted {
        return Err(LinkError::Rejected(log::kept(response.rejected_reason.as_bytes())));
    }
    Ok(response.id)
}

/// A message about the link itself, with flags 0.
pub(crate) const fn link_message(op: Op, payload: &[u8]) -> MessageRef<'_> {
    MessageRef { header: Header::new(op), subroute: None, payload }
}
