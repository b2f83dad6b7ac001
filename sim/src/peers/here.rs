//! Where a peer runs, whom it knows, and what a handshake in all order is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::auth::{Auth, Check, Issue};
use gridmux_core::driver::runtime::{Clock as _, Runtime as _};
use gridmux_core::link::dials;
use gridmux_core::node::{DEFAULT_ROUTE, authority};
use gridmux_core::websocket::{ClientUpgrade, Role, UpgradeRequest};
use gridmux_core::wire::{Connect, ConnectResponse, Header, MessageRef, Op, Timestamp};

use super::complaints::{Complaints, Rule};
use super::line::Line;
use super::{say, wide};
use crate::app::Stage;
use crate::census::FaultId;
use crate::keyed::Purpose;
use crate::oracle::LinkView;
use crate::script::NodeKind;
use crate::world::{SimRuntime, accept_transport, open_transport};

/// How long the dialler waits for the transport, and then for the answers.
pub(super) const DIAL: Duration = Duration::from_secs(2);
/// How long an acceptor waits for a handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(4);
/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A peer's machine, and what it knows of the grid.
#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) runtime: SimRuntime,
    pub(crate) node: usize,
    pub(crate) names: Arc<[String]>,
    pub(crate) secret: Arc<dyn Auth>,
    pub(crate) stage: Arc<Stage>,
    /// Whether messages have checksums.
    pub(crate) crc: bool,
    pub(crate) views: Arc<Mutex<Vec<LinkView>>>,
    /// What the nodes are.
    pub(crate) kinds: Arc<[NodeKind]>,
    pub(crate) complaints: Complaints,
}

impl Here {
    pub(super) fn name(&self) -> &str {
        &self.names[self.node]
    }

    /// The other nodes.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.node;
        (0..self.names.len()).filter(move |node| *node != own)
    }

    pub(super) fn dials(&self, peer: usize) -> bool {
        dials(self.name(), &self.names[peer])
    }

    pub(super) fn wall(&self) -> Timestamp {
        self.runtime.now().wall
    }

    /// The instance id of this process: the same for all its connections.
    pub(super) fn instance(&self) -> [u8; 16] {
        let (_, node, life) = self.runtime.whereabouts();
        let half = |half| {
            let key = [node as u64, life, u64::MAX - half];
            self.stage.keyed.draw(Purpose::Entropy, key).to_le_bytes()
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&half(0));
        id[8..].copy_from_slice(&half(1));
        id
    }

    /// A good token of this node for another one, a new one each time.
    pub(super) fn token(&self, peer: usize) -> String {
        self.token_of(&*self.secret, self.name(), &self.names[peer])
    }

    /// A token of any node for any other, made of any secret.
    pub(super) fn token_of(&self, secret: &dyn Auth, issuer: &str, target: &str) -> String {
        let nonce = self.runtime.random().unwrap_or_default();
        secret.issue(Issue::new(issuer, target, DEFAULT_ROUTE, nonce, self.wall()))
    }

    /// One of ours has broken a rule.
    pub(super) fn complain(&self, rule: Rule, victim: usize, detail: &str) {
        if self.kinds.get(victim).is_some_and(|kind| kind.is_ours()) {
            let (at, node, _) = self.runtime.whereabouts();
            self.complaints.add(rule, at, [node, victim], detail);
        }
    }

    /// Says of a link whether it is up.
    pub(super) fn sees_link(&self, peer: usize, up: bool) {
        let (at, node, life) = self.runtime.whereabouts();
        let clock = self.runtime.instant().as_nanos();
        let view = LinkView { node, life, peer, at, clock, up };
        self.views.lock().unwrap_or_else(PoisonError::into_inner).push(view);
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        gridmux_core::testing::sleep(&self.runtime, duration).await;
    }

    /// What `future` comes to within `limit`.
    pub(super) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut late = pin!(self.sleep(limit));
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            late.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    // ---- connections ----

    /// Opens a connection on which nothing is said yet.
    pub(super) async fn open(&self, peer: usize) -> Option<Line> {
        let opening = open_transport(&self.runtime, &self.names[peer]);
        let transport = self.within(DIAL, opening).await?.ok()?;
        Some(Line::new(&self.runtime, transport, Role::Client))
    }

    /// Has the network take connections for this node.
    pub(super) fn listen(&self) -> bool {
        self.runtime.shared.world().listen(self.runtime.life, self.node).is_ok()
    }

    /// The next connection that somebody opens.
    pub(super) async fn accept(&self) -> Line {
        let transport = poll_fn(|cx| accept_transport(&self.runtime, self.node, cx)).await;
        Line::new(&self.runtime, transport, Role::Server)
    }

    /// Asks for the upgrade.
    pub(super) async fn upgrade(&self, line: &mut Line, peer: usize) -> Option<()> {
        self.upgrade_with(line, peer, &self.token(peer)).await
    }

    /// Asks for the upgrade with this token.
    pub(super) async fn upgrade_with(
        &self,
        line: &mut Line,
        peer: usize,
        token: &str,
    ) -> Option<()> {
        let upgrade = self.request_upgrade(line, peer, token)?;
        line.flush().await.ok()?;
        upgraded(line, &upgrade).await
    }

    /// The request for the upgrade, which is not sent yet.
    fn request_upgrade(&self, line: &mut Line, peer: usize, token: &str) -> Option<ClientUpgrade> {
        let host = authority(&self.names[peer])?;
        let nanos = self.wall().to_unix_nanos();
        let key = self.runtime.random().unwrap_or_default();
        let (upgrade, request) = ClientUpgrade::new(host, DEFAULT_ROUTE, token, nanos, key).ok()?;
        line.push_bytes(&request);
        Some(upgrade)
    }

    /// Connects in all order, as the dialler.
    pub(super) async fn introduce(&self, line: &mut Line, peer: usize) -> Option<()> {
        self.upgrade(line, peer).await?;
        let hello = match self.node.is_multiple_of(2) {
            true => wide::hello(self.instance(), self.name(), self.wall(), &self.token(peer)),
            false => self.hello(peer),
        };
        let answer = self.within(DIAL, async {
            line.send(&hello).await.ok()?;
            line.receive().await
        });
        is_accepted(&answer.await??)
    }

    /// The same without waiting for the answer to the upgrade, which is the fault.
    pub(super) async fn introduce_eagerly(
        &self,
        line: &mut Line,
        peer: usize,
        fault: FaultId,
    ) -> Option<()> {
        let upgrade = self.request_upgrade(line, peer, &self.token(peer))?;
        line.push(&self.hello(peer));
        line.mark(fault);
        line.flush().await.ok()?;
        upgraded(line, &upgrade).await?;
        let answer = self.within(DIAL, line.receive());
        is_accepted(&answer.await??)
    }

    /// Our Connect to another node.
    pub(super) fn hello(&self, peer: usize) -> Vec<u8> {
        hello(self.instance(), self.name(), self.wall(), self.token(peer))
    }

    /// Answers an upgrade with a `101`.
    pub(super) async fn upgraded(&self, line: &mut Line) -> Option<()> {
        let request = line.read_head(|received| match UpgradeRequest::parse(received) {
            Ok(Some((request, len))) => Some(Ok((request, len))),
            Ok(None) => None,
            Err(_) => Some(Err(())),
        });
        let request = request.await?.ok()?;
        line.send_bytes(&request.accept()).await.ok()
    }

    /// Connects in all order, as the acceptor; who it is.
    pub(super) async fn admit(&self, line: &mut Line) -> Option<usize> {
        self.upgraded(line).await?;
        let first = line.receive().await?;
        let judged = self.judge(&first);
        let reason = judged.as_ref().err().cloned().unwrap_or_default();
        line.send(&response(self.instance(), judged.is_ok(), &reason)).await.ok()?;
        judged.ok()
    }

    fn judge(&self, first: &Bytes) -> Result<usize, String> {
        let decoded = MessageRef::decode(first).map_err(|error| error.to_string())?.message;
        if decoded.header.op != Op::Connect {
            return Err(format!("unexpected connect op: {}", decoded.header.op));
        }
        let connect = Connect::decode(decoded.payload).map_err(|error| error.to_string())?;
        let peer = self.names.iter().position(|name| *name == connect.host);
        let peer = peer.ok_or_else(|| format!("unknown incoming host: {}", connect.host))?;
        if connect.time.abs_diff(self.wall()) > CLOCK_SKEW {
            return Err("time difference too large".into());
        }
        let shown = Check::new(&connect.token, self.name(), DEFAULT_ROUTE, self.wall());
        let checked = self.secret.check(shown.claimed(&connect.host));
        checked.map_err(|error| format!("auth token: {error}"))?;
        if peer == self.node || self.dials(peer) {
            return Err("grid: expected to be client side, not server side".into());
        }
        Ok(peer)
    }
}

/// The answer to a request for the upgrade, which must be a good one.
async fn upgraded(line: &mut Line, upgrade: &ClientUpgrade) -> Option<()> {
    line.read_head(|received| upgrade.handle(received).map_err(drop).transpose()).await?.ok()
}

/// Whether a ConnectResponse says yes.
fn is_accepted(answer: &[u8]) -> Option<()> {
    let decoded = MessageRef::decode(answer).ok()?.message;
    let is_response = decoded.header.op == Op::ConnectResponse;
    let response = ConnectResponse::decode(decoded.payload).ok()?;
    (is_response && response.accepted).then_some(())
}

/// A Connect.
pub(super) fn hello(id: [u8; 16], host: &str, time: Timestamp, token: String) -> Vec<u8> {
    let mut payload = Vec::new();
    Connect { id, host: host.into(), time, token }.encode(&mut payload);
    say::encode(Header::new(Op::Connect), None, &payload)
}

/// A ConnectResponse.
pub(super) fn response(id: [u8; 16], accepted: bool, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    let rejected_reason = reason.into();
    ConnectResponse { id, accepted, rejected_reason }.encode(&mut payload);
    say::encode(Header::new(Op::ConnectResponse), None, &payload)
}
