//! From dialling to loss: PROTOCOL.md sections 4, 7.6 and 7.11.

use std::time::Duration;

use super::Peer;
use crate::error::{CallError, LinkError};
use crate::event::{CloseHow, Event, LinkCommand, LinkId};
use crate::link::{
    Denial, DenialKind, Link, LinkState, Liveness, Verdict, connect, connect_response,
    duplicate_reason, is_duplicate_reason, link_message,
};
use crate::log::excerpt;
use crate::time::{Instant, Now};
use crate::websocket::UpgradeError;
use crate::wire::{Connect, Flags, Header, MessageRef, Op, Ping};

/// A peer that has left in order may be away for this long before it is worth a warning.
const BACK_WITHIN: Duration = Duration::from_secs(60);

impl Peer {
    /// Opens the start gate: from now on this side dials, if it is the one to (PROTOCOL.md section 7.12).
    pub fn start(&mut self, now: Now) {
        if std::mem::replace(&mut self.started, true) || self.drain.is_on() {
            return;
        }
        if self.dials {
            self.retry.at(now.instant);
        }
        self.drive_link(now);
    }

    /// The connection that [`LinkCommand::Dial`] asked for is upgraded.
    pub fn handle_upgraded(&mut self, now: Now, link: LinkId) {
        let Link::Dialling { link: current, started, .. } = self.link else {
            return self.count_stale(now.instant, link);
        };
        if current != link {
            return self.count_stale(now.instant, link);
        }
        let until = match planted!(SilentHandshakeNeverEnds) {
            true => Instant::from_nanos(u64::MAX),
            false => now.instant.after(self.node().timings.dialler_handshake),
        };
        self.link = Link::Handshaking { link, started, until };
        let nonce = self.rng.draw();
        let payload = connect(self.node(), &self.name, nonce, now.wall);
        self.common.outbox.clear();
        self.common.outbox.control().set_handshake(&link_message(Op::Connect, &payload));
        self.common.stats.messages_out += 1;
    }

    /// The attempt that [`LinkCommand::Dial`] asked for has failed.
    pub fn handle_dial_failed(&mut self, now: Now, link: LinkId, error: LinkError) {
        if self.link.id() != Some(link) {
            return self.count_stale(now.instant, link);
        }
        self.lose_link(now, error, 0);
        self.drive_drain(now);
    }

    /// The connection is gone. Of the last `untouched` of what was handed out, not a byte was
    /// written: 0 or 1, unless more than one was asked for.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId, error: LinkError, untouched: usize) {
        if self.link.id() != Some(link) && !planted!(StaleLossKillsLink) {
            return self.count_stale(now.instant, link);
        }
        self.lose_link(now, error, untouched);
        self.drive_drain(now);
    }

    /// A connection of this peer has come in and its Connect is good as far as
    /// [`check_connect`](crate::link::check_connect) can tell. The answer is queued: it is the
    /// first thing that [`Peer::poll_transmit`] gives for the new link.
    ///
    /// `came` is when the connection was accepted, [`Acceptor::came`](crate::link::Acceptor::came):
    /// one that is older than that of the link that is up is refused.
    ///
    /// # Errors
    /// The reason of the refusal, for a ConnectResponse that the caller sends:
    /// [`Peer::refusal`] makes it.
    pub fn handle_hello(
        &mut self,
        now: Now,
        hello: &Connect,
        came: Instant,
    ) -> Result<LinkId, Denial> {
        self.check_hello(hello, came)?;
        self.duplicates.on_connected(hello.id, came);
        if let Some(old) = self.link.id() {
            if !planted!(OldConnectionLeftOpen) {
                self.commands.push_back(LinkCommand::Close {
                    link: old,
                    how: CloseHow::Abort,
                    reason: LinkError::Replaced,
                });
            }
            if !planted!(OldCallsSurviveReplacement) {
                self.lose_link(now, LinkError::Replaced, 0);
            }
        }
        let link = self.next_link();
        self.common.outbox.clear();
        let payload = connect_response(self.node().instance, Ok(()));
        self.common.outbox.control().set_handshake(&link_message(Op::ConnectResponse, &payload));
        self.common.stats.messages_out += 1;
        self.bring_up(now.instant, link, hello.id);
        Ok(link)
    }

    /// The peer takes no message of more than `limit` bytes on this link, as it has said in the
    /// upgrade: a larger one fails with [`CallError::TooLarge`], and the link stays.
    pub fn limit_messages(&mut self, link: LinkId, limit: usize) {
        if self.link.id() == Some(link) {
            self.common.limit_messages(Some(limit));
        }
    }

    /// The acceptor's checks that concern this link (PROTOCOL.md sections 4.2 and 7.11).
    fn check_hello(&self, hello: &Connect, came: Instant) -> Result<(), Denial> {
        let host = excerpt(&hello.host);
        let (kind, reason) = if hello.host != *self.name {
            (DenialKind::WrongName, format!("{host} is not the name of this link"))
        } else if self.dials {
            (DenialKind::WrongSide, format!("{host} is to be dialled, it does not dial"))
        } else if self.drain.is_on() {
            (DenialKind::ShuttingDown, "shutting down".to_owned())
        } else if !self.started && !planted!(StartGateOpen) {
            (DenialKind::NotStarted, "not started".to_owned())
        } else if planted!(FullQueueRefusesConnect, self.has_full_queue()) {
            (DenialKind::Internal, "busy".to_owned())
        } else if !self.duplicates.may_connect(hello.id, self.link.is_up()) {
            (DenialKind::Duplicate, duplicate_reason(&hello.host))
        } else if self.duplicates.is_late(came) {
            (DenialKind::Late, format!("{host} has a newer connection"))
        } else {
            return Ok(());
        };
        Err(Denial::new(kind, reason).claimed_by(&hello.host))
    }

    /// The ConnectResponse that refuses with this reason.
    pub fn refusal(instance: [u8; 16], reason: &str) -> Vec<u8> {
        let payload = connect_response(instance, Err(reason));
        let mut message = Vec::new();
        link_message(Op::ConnectResponse, &payload).encode(&mut message);
        message
    }

    /// The acceptor has answered our Connect.
    pub(super) fn on_connect_response(&mut self, now: Now, answer: Result<[u8; 16], LinkError>) {
        let Link::Handshaking { link, .. } = self.link else { return };
        self.common.stats.messages_in += 1;
        match answer {
            Ok(process) => self.bring_up(now.instant, link, process),
            Err(error) => self.drop_link(now, error),
        }
    }

    fn bring_up(&mut self, now: Instant, link: LinkId, process: [u8; 16]) {
        self.process = Some(process);
        let liveness = Liveness::new(now, &self.common.node.timings);
        self.link = Link::Up { link, since: now, liveness };
        self.acknowledged = None;
        self.links_made += 1;
        self.attempted = true;
        self.peer_leaves &= planted!(LeavingMarkSurvives, self.peer_leaves);
        self.last_failure = None;
        self.retry.stop();
        self.outgoing.start_epoch(link.0);
        self.left = None;
        self.log_connected(now, link);
        self.set_state(LinkState::Connected);
    }

    /// Ends the link from this side.
    pub(super) fn drop_link(&mut self, now: Now, reason: LinkError) {
        if let Some(link) = self.link.id() {
            self.commands.push_back(LinkCommand::Close {
                link,
                how: CloseHow::Abort,
                reason: reason.clone(),
            });
            self.lose_link(now, reason, 0);
        }
    }

    /// The link or attempt is over: every call fails, every handler is cancelled, nothing is
    /// kept for a later link; then the next attempt is planned.
    fn lose_link(&mut self, now: Now, reason: LinkError, untouched: usize) {
        let former = std::mem::replace(&mut self.link, Link::Down);
        self.attempted = true;
        self.in_flight = false;
        self.process = None;
        #[cfg(feature = "planted")]
        let was_full = self.has_full_queue();
        let removed = self.drain.is_removal();
        let error = |may_have_run| match removed {
            true => CallError::PeerRemoved { may_have_run },
            false => CallError::Disconnected { may_have_run },
        };
        self.outgoing.on_link_lost(untouched, error, &mut self.common);
        self.incoming.on_link_lost(&mut self.common);
        self.common.outbox.clear();
        self.common.limit_messages(None);
        self.common.announce_loss();
        self.log_failure(now.instant, &former, &reason);
        if former.is_up() && self.peer_leaves {
            self.left = Some(now.instant);
        }
        self.plan_retry(now.instant, &former, &reason);
        if planted!(FullQueueStopsRedial, was_full) {
            self.retry.stop();
        }
        self.peer_leaves &= planted!(LeavingMarkSurvives, self.peer_leaves);
        if matches!(former, Link::Closing { .. }) || self.drain.is_on() {
            self.set_state(LinkState::Shutdown);
        } else {
            self.set_state(LinkState::ConnectionError);
        }
        // A link that this side has closed in order did not fail by how the connection went.
        let closed = matches!(former, Link::Closing { .. });
        self.last_failure = Some(if closed { LinkError::ShutDown } else { reason });
    }

    fn plan_retry(&mut self, now: Instant, former: &Link, reason: &LinkError) {
        let over = self.drain.is_on() && !planted!(RedialAfterShutdown);
        if !self.dials || !self.started || over {
            return self.retry.stop();
        }
        let timings = &self.common.node.timings;
        match former {
            Link::Up { since, .. } => {
                let leaves = self.peer_leaves;
                self.retry.after_loss(now, *since, leaves, timings, &mut self.jitter);
            }
            Link::Dialling { started, .. } | Link::Handshaking { started, .. } => match reason {
                LinkError::Rejected(text) if is_duplicate_reason(text) => {
                    self.retry.after_duplicate(now, timings, &mut self.jitter);
                }
                // The other node may have given up its link with us for this one: not again soon.
                LinkError::SameProcess { .. } => {
                    self.retry.after_duplicate(now, timings, &mut self.jitter);
                }
                LinkError::Rejected(reason)
                | LinkError::Upgrade(UpgradeError::Refused { reason, .. })
                    if planted!(SkewRefusalRetriedAtOnce, reason.contains("clocks differ")) =>
                {
                    self.retry.at(now);
                }
                _ => self.retry.after_attempt(now, *started, timings, &mut self.jitter),
            },
            Link::Down | Link::Closing { .. } => self.retry.stop(),
        }
    }

    #[cfg(feature = "planted")]
    fn has_full_queue(&self) -> bool {
        self.common.outbox.data_bytes() > self.node().limits.queued_bytes / 2
    }

    fn log_connected(&mut self, now: Instant, link: LinkId) {
        let Some(told) = self.common.log.tell(("connected", ""), now) else { return };
        let (node, peer, suppressed) = (&self.node().name, &self.name, told.suppressed);
        tracing::info!(%node, %peer, link = link.0, suppressed, "connected");
    }

    /// An orderly end is no warning; nor is it if a peer cannot be reached for a while after it has left.
    fn log_failure(&mut self, now: Instant, former: &Link, reason: &LinkError) {
        let is_up = former.is_up();
        let closed = matches!(former, Link::Closing { .. });
        let leaves = self.drain.is_on() || self.peer_leaves;
        let (line, warns) = match is_up || closed {
            true if closed || leaves => ("closed", false),
            true => ("link lost", true),
            false if leaves || self.left.is_some_and(|at| now.since(at) < BACK_WITHIN) => {
                ("cannot connect, which was to be expected", false)
            }
            false => ("cannot connect", true),
        };
        let Some(told) = self.common.log.tell((line, reason.kind()), now) else { return };
        let (node, peer, suppressed) = (&self.node().name, &self.name, told.suppressed);
        let (link, reason) = (former.id().map(LinkId::get), excerpt(reason));
        if warns {
            tracing::warn!(%node, %peer, link, %reason, suppressed, "{line}");
        } else {
            tracing::info!(%node, %peer, link, %reason, suppressed, "{line}");
        }
    }

    /// What the link's own clock asks for.
    pub(super) fn drive_link(&mut self, now: Now) {
        match &mut self.link {
            Link::Down if self.retry.next().is_some_and(|at| now.instant >= at) => {
                self.dial(now.instant);
            }
            Link::Dialling { until, .. } if now.instant >= *until => {
                self.drop_link(now, LinkError::TimedOut("connecting and upgrading"));
            }
            Link::Handshaking { until, .. } if now.instant >= *until => {
                self.drop_link(now, LinkError::TimedOut("waiting for the ConnectResponse"));
            }
            Link::Up { liveness, .. } if now.instant >= liveness.next_ping() => {
                match liveness.tick(now, self.acknowledged, &self.common.node.timings) {
                    Verdict::Ping(time) => self.send_ping(time),
                    Verdict::Silent => self.drop_link(now, LinkError::PeerSilent),
                    Verdict::NoAnswer => self.drop_link(now, LinkError::PeerDoesNotAnswer),
                }
            }
            Link::Closing { until, .. } if now.instant >= *until => {
                self.drop_link(now, LinkError::ShutDown);
            }
            _ => {}
        }
    }

    fn dial(&mut self, now: Instant) {
        self.retry.stop();
        let link = self.next_link();
        let until = now.after(self.node().timings.dial);
        self.link = Link::Dialling { link, started: now, until };
        self.commands.push_back(LinkCommand::Dial { link });
        self.set_state(LinkState::Connecting);
    }

    fn send_ping(&mut self, time: crate::wire::Timestamp) {
        let mut payload = Vec::new();
        Ping { time }.encode(&mut payload);
        // The receiver's patience, in its field of 32 bits.
        let deadline_ms = self.node().timings.ping_interval.as_millis().try_into();
        let header = Header {
            deadline_ms: deadline_ms.unwrap_or(u32::MAX),
            flags: Flags::empty(),
            ..Header::new(Op::Ping)
        };
        let message = MessageRef { header, subroute: None, payload: &payload };
        self.common.outbox.control().set_ping(&message);
        self.common.stats.messages_out += 1;
    }

    fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        self.link_bytes_out = 0;
        LinkId(self.last_link)
    }

    pub(super) fn set_state(&mut self, state: LinkState) {
        if std::mem::replace(&mut self.state, state) != state {
            self.common.events.push_back(Event::LinkState);
        }
    }

    pub(super) fn count_stale(&mut self, now: Instant, link: LinkId) {
        self.common.stats.stale_inputs += 1;
        let line = "input for a link that is not the current one";
        let Some(told) = self.common.log.tell((line, ""), now) else { return };
        let (node, peer, suppressed) = (&self.node().name, &self.name, told.suppressed);
        tracing::trace!(%node, %peer, link = link.0, suppressed, "{line}");
    }

    /// The link's time so far, while it is up.
    pub fn connected_for(&self, now: Instant) -> Option<Duration> {
        match &self.link {
            Link::Up { since, .. } => Some(now.since(*since)),
            _ => None,
        }
    }
}
