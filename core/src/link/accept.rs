//! An incoming connection, until it has proved who it is: PROTOCOL.md sections 1, 4.2 and 7.5.
//!
//! ```text
//!   raw bytes --> Head --upgrade is good--> FirstMessage --Connect is good--> Hello
//!   already upgraded -----------------------^    |
//!                 \______ refused, late, closed _/___________________________> Finished
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::denial::{Denial, DenialKind};
use super::handshake::{check_connect, clock_reason};
use crate::auth::Check;
use crate::connection::Connection;
use crate::error::LinkError;
use crate::event::LinkId;
use crate::node::Node;
use crate::outbox::FRAME_ROOM;
use crate::peer::Peer;
use crate::rng::Seed;
use crate::time::{Instant, Now};
use crate::websocket::{Channel, CloseCode, Incoming, Role, Status, UpgradeRequest, refuse};
use crate::websocket::{max_message, tell_max_message};
use crate::wire::Connect;

/// A refused connection may take this long to take its refusal.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How far the time of the upgrade request may be from our clock, if Connect's own is not farther
/// ([`Timings::clock_skew`](crate::timings::Timings::clock_skew)): MinIO's. Of clocks between the two the
/// dialler is refused by the answer to its Connect, which says why, and not by a status that says less
/// (PROTOCOL.md section 1).
pub(crate) const UPGRADE_CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// A Connect that passed every check that concerns the node.
pub type Hello = Connect;

/// What the rest of the node knows, at the time of a check.
pub trait Door {
    /// Whether the start gate is open (PROTOCOL.md section 7.12).
    fn is_started(&self) -> bool;
    /// Whether a peer of this name is configured.
    fn knows(&self, name: &str) -> bool;
}

#[derive(Debug)]
enum State {
    Head(BytesMut),
    FirstMessage(Box<Channel>),
    /// The caller decides about it: [`Acceptor::accept`] or [`Acceptor::refuse`].
    Greeted(Box<Channel>),
    /// What still comes is dropped.
    Finished(BytesMut),
}

/// Where an incoming connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepting {
    /// More bytes are needed.
    Pending,
    /// Ask the peer of this name: [`Peer::handle_hello`], then [`Acceptor::accept`] or [`Acceptor::refuse`].
    Hello(Hello),
    /// Write what is left, then close; the error is for the log.
    Finished(LinkError),
}

/// Takes one connection through upgrade and Connect, within a time limit and a size limit.
///
/// It has two doors: [`Acceptor::new`] for raw bytes, and [`Acceptor::upgraded`] for a
/// connection that an HTTP server has upgraded already.
#[derive(Debug)]
pub struct Acceptor {
    node: Arc<Node>,
    state: State,
    came: Instant,
    /// Where the other end is.
    remote: Option<SocketAddr>,
    until: Instant,
    /// When it ends unless the request has come whole; moved once, by the first byte.
    request_until: Instant,
    heard: bool,
    shown_token: bool,
    mask_seed: Seed,
    /// The longest message that the peer takes, if its upgrade request says so.
    peer_limit: Option<usize>,
    out: Vec<u8>,
    written: usize,
}

impl Acceptor {
    /// A connection just accepted, of which nothing has been read.
    pub fn new(node: Arc<Node>, now: Instant, mask_seed: impl Into<Seed>) -> Self {
        Self::with_state(node, now, mask_seed.into(), State::Head(BytesMut::new()))
    }

    /// A connection whose upgrade request has been checked and answered with 101 already;
    /// `leftover` is what was read behind its head. Call [`Self::handle_read`] with 0 at once.
    pub fn upgraded(
        node: Arc<Node>,
        now: Instant,
        mask_seed: impl Into<Seed>,
        leftover: &[u8],
    ) -> Self {
        let mask_seed = mask_seed.into();
        let limit = node.limits.first_message;
        let channel = Channel::new(Role::Server, limit, mask_seed).with_leftover(leftover);
        Self::with_state(node, now, mask_seed, State::FirstMessage(Box::new(channel)))
    }

    fn with_state(node: Arc<Node>, now: Instant, mask_seed: Seed, state: State) -> Self {
        let until = now.after(node.timings.acceptor_handshake);
        let request_until = now.after(node.timings.acceptor_request);
        Self {
            node,
            state,
            came: now,
            remote: None,
            until,
            request_until,
            heard: false,
            shown_token: false,
            mask_seed,
            peer_limit: None,
            out: Vec::new(),
            written: 0,
        }
    }

    /// Where the other end is, for [`Auth::check`](crate::auth::Auth::check). Call it at once.
    pub const fn set_remote(&mut self, remote: Option<SocketAddr>) {
        self.remote = remote;
    }

    /// When the connection was accepted.
    pub const fn came(&self) -> Instant {
        self.came
    }

    /// When [`Self::handle_timeout`] ends it.
    pub fn poll_timeout(&self) -> Instant {
        match self.state {
            State::Head(_) => self.until.min(self.request_until),
            State::FirstMessage(_) | State::Greeted(_) | State::Finished(_) => self.until,
        }
    }

    /// Whether the upgrade request has come whole, and its token is good: a stranger has none, and so
    /// this connection is worth keeping before others ([`Lobby::trust`](super::Lobby::trust)). Never so
    /// for one that somebody else has upgraded.
    pub const fn has_shown_token(&self) -> bool {
        self.shown_token
    }

    /// Where the next received bytes are to be appended, at most its spare capacity.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        match &mut self.state {
            State::FirstMessage(channel) | State::Greeted(channel) => channel.read_buf(),
            State::Head(head) => {
                head.reserve(2048);
                head
            }
            State::Finished(sink) => {
                sink.clear();
                sink.reserve(2048);
                sink
            }
        }
    }

    /// Bytes were appended to [`Self::read_buf`].
    pub fn handle_read(&mut self, now: Now, door: &dyn Door) -> Accepting {
        if let State::Head(head) = &mut self.state {
            let head = std::mem::take(head);
            if !head.is_empty() && !std::mem::replace(&mut self.heard, true) {
                self.request_until = now.instant.after(self.node.timings.acceptor_request);
            }
            match self.on_head(now, &head, door) {
                Ok(()) => {}
                Err(Accepting::Pending) => self.state = State::Head(head),
                Err(refused) => return refused,
            }
        }
        let State::FirstMessage(channel) = &mut self.state else { return Accepting::Pending };
        match channel.poll_message() {
            Ok(None) => Accepting::Pending,
            Ok(Some(Incoming::Close(_))) => self.finish(LinkError::ClosedByPeer),
            Err(error) => {
                channel.close(error.close_code(), "");
                self.finish(error.into())
            }
            Ok(Some(Incoming::Message(frame))) => {
                match check_connect(&self.node, now, &frame, self.remote, |name| door.knows(name)) {
                    Ok(hello) => {
                        self.mark_greeted();
                        Accepting::Hello(hello)
                    }
                    Err(denial) => self.refuse(denial),
                }
            }
        }
    }

    fn mark_greeted(&mut self) {
        let finished = State::Finished(BytesMut::new());
        if let State::FirstMessage(mut channel) = std::mem::replace(&mut self.state, finished) {
            channel.set_max_message(self.node.limits.websocket_message());
            self.state = State::Greeted(channel);
        }
    }

    /// Checks the upgrade; on success the state is [`State::FirstMessage`].
    fn on_head(&mut self, now: Now, head: &BytesMut, door: &dyn Door) -> Result<(), Accepting> {
        let (request, len) = match UpgradeRequest::parse(head) {
            Ok(None) => return Err(Accepting::Pending),
            Ok(Some(parsed)) => parsed,
            Err(refusal) => {
                let kind = DenialKind::of_status(refusal.status);
                let denial = Denial::new(kind, refusal.reason);
                return Err(self.refuse_upgrade(refusal.status, denial));
            }
        };
        let path = request.path.split('?').next().unwrap_or_default();
        let wrong = if path != self.node.http_route {
            Some((Status::NotFound, Denial::new(DenialKind::NoSuchRoute, "no such route")))
        } else if !door.is_started() && !planted!(StartGateOpen) {
            Some((Status::Unavailable, Denial::new(DenialKind::NotStarted, "not started")))
        } else {
            self.authorise(now, &request).err().map(|denial| (Status::Forbidden, denial))
        };
        if let Some((status, denial)) = wrong {
            return Err(self.refuse_upgrade(status, denial));
        }
        self.peer_limit = max_message(&head[..len]);
        let mut answer = request.accept_as(&self.node.name);
        tell_max_message(&mut answer, self.node.limits.message);
        self.out.extend_from_slice(&answer);
        let limit = self.node.limits.first_message;
        let channel = Channel::new(Role::Server, limit, self.mask_seed).with_leftover(&head[len..]);
        self.state = State::FirstMessage(Box::new(channel));
        self.shown_token = true;
        Ok(())
    }

    /// The HTTP request's own token and time; those in Connect are checked on their own.
    fn authorise(&self, now: Now, request: &UpgradeRequest) -> Result<(), Denial> {
        if let Some(nanos) = request.unix_nanos {
            let skew = now.wall.to_unix_nanos().abs_diff(nanos);
            let skew = Duration::from_nanos(u64::try_from(skew).unwrap_or(u64::MAX));
            let most = self.node.timings.clock_skew.max(UPGRADE_CLOCK_SKEW);
            if skew > most {
                return Err(Denial::new(DenialKind::Clock, clock_reason(skew, most)));
            }
        }
        let token = request.bearer.as_deref().unwrap_or_default();
        let shown = Check::new(token, &self.node.name, &self.node.http_route, now.wall);
        let checked = self.node.auth.check(shown.from(self.remote));
        checked.map_err(|error| Denial::new(DenialKind::Token, error.to_string()))
    }

    fn refuse_upgrade(&mut self, status: Status, mut denial: Denial) -> Accepting {
        self.out.extend_from_slice(&refuse(status, &denial));
        self.state = State::Finished(BytesMut::new());
        denial.reason = format!("{}: {denial}", status.code());
        Accepting::Finished(LinkError::Refused(denial))
    }

    /// Answers the Connect with a refusal and ends.
    pub fn refuse(&mut self, denial: Denial) -> Accepting {
        let refusal = Peer::refusal(self.node.instance, &denial);
        if let State::FirstMessage(channel) | State::Greeted(channel) = &mut self.state {
            let mut frame = vec![0; FRAME_ROOM];
            frame.extend_from_slice(&refusal);
            let start = channel.seal(&mut frame, FRAME_ROOM);
            self.out.extend_from_slice(&frame[start..]);
            channel.close(CloseCode::Normal, "");
        }
        self.finish(LinkError::Refused(denial))
    }

    fn finish(&mut self, error: LinkError) -> Accepting {
        if let State::FirstMessage(channel) | State::Greeted(channel) = &mut self.state {
            while let Some(reply) = channel.take_reply() {
                self.out.extend_from_slice(&reply);
            }
        }
        self.state = State::Finished(BytesMut::new());
        Accepting::Finished(error)
    }

    /// The peer has taken the connection as this link: from now on it is a [`Connection`], with
    /// the bytes left over on both sides.
    ///
    /// # Errors
    /// [`LinkError::Internal`] if there was no [`Accepting::Hello`] before.
    pub fn accept(self, now: Instant, link: LinkId) -> Result<Connection, LinkError> {
        let State::Greeted(channel) = self.state else {
            return Err(LinkError::Internal("accepted before its Connect".into()));
        };
        let unsent = self.out[self.written..].to_vec();
        Ok(Connection::accepted(&self.node, link, channel, unsent, now).with_limit(self.peer_limit))
    }

    /// The other end has closed.
    pub fn handle_eof(&mut self) -> Accepting {
        self.state = State::Finished(BytesMut::new());
        Accepting::Finished(LinkError::ClosedByPeer)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Accepting {
        if now < self.poll_timeout() {
            return Accepting::Pending;
        }
        self.finish(LinkError::TimedOut(match self.state {
            State::Head(_) => "waiting for the upgrade request",
            _ => "waiting for the Connect",
        }))
    }

    /// What is to be written.
    pub fn write_buf(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// So many bytes of [`Self::write_buf`] were written.
    pub fn handle_written(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.out.len());
    }
}
