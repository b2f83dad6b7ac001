//! Bytes and frames of one connection: joins the WebSocket channel to a [`Peer`].

mod frames;
mod large_frame;
mod stall;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use self::frames::{Frames, TOGETHER};
use self::large_frame::LargeFrame;
use self::stall::Stall;
use crate::error::LinkError;
use crate::event::{CloseHow, LinkId};
use crate::limits::MERGE_ALLOWANCE;
use crate::link;
use crate::node::{Node, authority};
use crate::outbox::{LargeMessage, Transmit};
use crate::peer::{Inbound, Peer};
use crate::rng::{KeyedRng, Seed};
use crate::time::{Instant, Now};
use crate::websocket::{Channel, ClientUpgrade, CloseCode, DIRECT_READ_LEN, Incoming, Role};
use crate::websocket::{max_message, tell_max_message};

/// A link without traffic for this long gives its buffers back.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// Slices that are worth having for [`Connection::write_bufs`]: as many as the frames that are fetched
/// at once may be, however small their messages.
pub const WRITE_BUFS: usize = 40;

/// Frames decoded before the peer is told.
const INBOUND_BATCH: usize = 64;

/// One connection as bytes. The runtime reads into [`Self::read_buf`], writes
/// [`Self::write_buf`], and in between lets it [`Self::exchange`] with the peer; only that needs
/// the peer's lock.
///
/// ```text
///   loop {
///       read into read_buf(), then handle_read(n)      or handle_eof(), handle_failure(e)
///       loop { lock; exchange(now, &mut peer); unlock; if !decode_more() { break } }
///       write write_buf() or write_bufs(), then handle_written(n); once it is empty, exchange again
///       at poll_timeout(): handle_timeout(now), then exchange
///       if is_finished(): close the transport
///   }
/// ```
#[derive(Debug)]
pub struct Connection {
    link: LinkId,
    phase: Phase,
    inbound: Inbound,
    undecoded: bool,
    max_message: usize,
    /// The longest message that the peer takes, until the machine knows.
    peer_limit: Option<usize>,
    /// Until the peer has taken the ConnectResponse: it is the only message that is decoded, and it may
    /// not be longer than this. The acceptor has proved nothing yet.
    first_message: Option<usize>,
    writing: Writing,
    /// Those that are fetched or being written, while `writing` says that it is frames.
    frames: Frames,
    /// Buffers of frames, for the peer.
    spent: Vec<Vec<u8>>,
    /// Memory for the pieces of large messages.
    piece: Vec<u8>,
    bytes_out: u64,
    stall: Stall,
    last_read: Instant,
    idle: bool,
    failed: Option<LinkError>,
    /// Whose answer to our Connect has come.
    answer: Answer,
    /// The peer knows that this connection is over.
    reported: bool,
    /// What there is to write is written until then at the latest.
    closing: Option<Instant>,
    finished: bool,
}

#[derive(Debug)]
enum Phase {
    Upgrading {
        upgrade: ClientUpgrade,
        head: BytesMut,
        mask_seed: Seed,
    },
    /// `announced`: the peer knows that the upgrade is done.
    Open {
        channel: Box<Channel>,
        announced: bool,
    },
}

/// The acceptor's answer to our Connect: its first message.
#[derive(Debug)]
enum Answer {
    Awaited,
    /// It has accepted, and is this process.
    From([u8; 16]),
    /// It was looked at, or is none of ours to expect.
    Seen,
}

/// What is being written.
#[derive(Debug)]
enum Writing {
    Nothing,
    /// Taken from the peer, not yet made a frame: that needs no lock.
    Fetched(Fetched),
    /// Those of [`Connection::frames`].
    Frames,
    Bytes {
        buf: Vec<u8>,
        written: usize,
        /// Nothing of a transmit has been written yet.
        untouched: bool,
        then: Then,
    },
}

#[derive(Debug)]
enum Fetched {
    /// Those of [`Connection::frames`].
    Frames,
    Large(LargeMessage),
}

/// What comes once the bytes are written.
#[derive(Debug)]
enum Then {
    Nothing,
    /// More of this message, until it is done.
    More(Box<LargeFrame>),
}

impl Answer {
    fn first_of(inbound: &Inbound) -> Self {
        match inbound.first().map(link::check_response) {
            None => Self::Awaited,
            Some(Ok(process)) => Self::From(process),
            Some(_) => Self::Seen,
        }
    }
}

impl Writing {
    /// Bytes that are of no message.
    fn reply(buf: Vec<u8>) -> Self {
        Self::Bytes { buf, written: 0, untouched: false, then: Then::Nothing }
    }
}

impl Connection {
    /// The dialler's side of a connection that TCP (and TLS) has just made: it upgrades first.
    /// `seed` makes the upgrade key and the masks.
    ///
    /// # Errors
    /// [`LinkError::Upgrade`] if the node's route or the token cannot stand in an HTTP head.
    pub fn dialled(
        node: &Arc<Node>,
        peer: &str,
        link: LinkId,
        seed: impl Into<Seed>,
        now: Now,
    ) -> Result<Self, LinkError> {
        let mut rng = KeyedRng::new(seed);
        let key = rng.draw();
        let host = authority(peer).unwrap_or(peer);
        let token = link::token(node, peer, rng.draw(), now.wall);
        let nanos = now.wall.to_unix_nanos();
        let (upgrade, mut request) =
            ClientUpgrade::new(host, &node.http_route, &token, nanos, key)?;
        tell_max_message(&mut request, node.limits.message);
        let upgrade = upgrade.expect_node(peer);
        let phase = Phase::Upgrading { upgrade, head: BytesMut::new(), mask_seed: rng.next_seed() };
        let connection = Self::new(node, link, phase, request, now.instant);
        let first_message = Some(node.limits.first_message);
        Ok(Self { answer: Answer::Awaited, first_message, ..connection })
    }

    /// The acceptor's side, once the peer has taken the connection.
    pub(crate) fn accepted(
        node: &Arc<Node>,
        link: LinkId,
        channel: Box<Channel>,
        unsent: Vec<u8>,
        now: Instant,
    ) -> Self {
        let phase = Phase::Open { channel, announced: true };
        let mut connection = Self::new(node, link, phase, unsent, now);
        connection.decode();
        connection
    }

    /// The longest message that the peer takes, if it has said so.
    pub(crate) fn with_limit(mut self, limit: Option<usize>) -> Self {
        self.peer_limit = limit;
        self
    }

    fn new(node: &Arc<Node>, link: LinkId, phase: Phase, unsent: Vec<u8>, now: Instant) -> Self {
        let writing = match unsent.is_empty() {
            true => Writing::Nothing,
            false => Writing::reply(unsent),
        };
        Self {
            link,
            phase,
            inbound: Inbound::new(),
            undecoded: false,
            max_message: node.limits.message,
            peer_limit: None,
            first_message: None,
            writing,
            frames: Frames::default(),
            spent: Vec::new(),
            piece: Vec::new(),
            bytes_out: 0,
            stall: Stall::new(node.timings.write_stall, now),
            last_read: now,
            idle: false,
            failed: None,
            answer: Answer::Seen,
            reported: false,
            closing: None,
            finished: false,
        }
    }

    /// The link that this is the connection of.
    pub const fn link(&self) -> LinkId {
        self.link
    }

    // ---- reading ----

    /// Where the next received bytes are to be appended, at most its spare capacity.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        match &mut self.phase {
            Phase::Upgrading { head, .. } => {
                head.reserve(2048);
                head
            }
            Phase::Open { channel, .. } => channel.read_buf(),
        }
    }

    /// So many bytes, at least one, were appended to [`Self::read_buf`].
    pub fn handle_read(&mut self, now: Instant, bytes: usize) {
        self.last_read = now;
        self.idle = false;
        self.inbound.add_bytes(bytes as u64);
        if self.is_written() {
            // What is read may make the WebSocket layer answer: that write begins now at the earliest.
            self.stall.begin(now);
        }
        if let Phase::Upgrading { upgrade, head, mask_seed } = &mut self.phase {
            match upgrade.handle(head) {
                Ok(None) => return,
                Err(error) => return self.fail(error.into()),
                Ok(Some(len)) => {
                    self.peer_limit = max_message(&head[..len]);
                    let usual = self.max_message + MERGE_ALLOWANCE;
                    let limit = self.first_message.map_or(usual, |first| first.min(usual));
                    let channel =
                        Channel::new(Role::Client, limit, *mask_seed).with_leftover(&head[len..]);
                    self.phase = Phase::Open { channel: Box::new(channel), announced: false };
                }
            }
        }
        self.decode();
    }

    /// Decodes what one batch left over; `true` if there was something, and then it is to be
    /// exchanged with the peer.
    pub fn decode_more(&mut self) -> bool {
        let more = self.undecoded && self.failed.is_none();
        if more {
            self.decode();
        }
        more
    }

    /// Whether [`Self::decode_more`] would find something.
    pub(crate) const fn has_more(&self) -> bool {
        self.undecoded
    }

    fn decode(&mut self) {
        self.undecoded = false;
        let Phase::Open { channel, .. } = &mut self.phase else { return };
        while self.failed.is_none() {
            let waiting = self.inbound.len();
            if self.first_message.is_some() && waiting > 0 {
                // The messages behind it have another limit: `on_greeted` goes on with them.
                return;
            }
            if self.inbound.len() >= INBOUND_BATCH {
                self.undecoded = !planted!(DecodeMoreForgotten);
                return;
            }
            match channel.poll_message() {
                Ok(None) => return self.inbound.set_within_message(channel.is_within_message()),
                Ok(Some(Incoming::Message(frame))) => {
                    let held = match frame.len() {
                        len if len > DIRECT_READ_LEN => len,
                        len => len.max(channel.buffer_size()),
                    };
                    self.inbound.add_frame(&frame, held, self.max_message);
                    if matches!(self.answer, Answer::Awaited) {
                        self.answer = Answer::first_of(&self.inbound);
                    }
                }
                Ok(Some(Incoming::Close(_))) => self.failed = Some(LinkError::ClosedByPeer),
                Err(error) => {
                    channel.close(error.close_code(), "");
                    self.failed = Some(error.into());
                }
            }
        }
    }

    /// The other end has closed its direction.
    pub fn handle_eof(&mut self) {
        let error = match &self.phase {
            Phase::Upgrading { upgrade, head, .. } => upgrade.handle_end(head).into(),
            Phase::Open { .. } => LinkError::ClosedByPeer,
        };
        self.handle_failure(error);
    }

    /// The transport has failed.
    pub fn handle_failure(&mut self, error: LinkError) {
        self.fail(error);
        self.finished = true;
    }

    fn fail(&mut self, error: LinkError) {
        self.failed.get_or_insert(error);
    }

    // ---- the peer ----

    /// The instance id of the process that has accepted our Connect, if it has one, once: after the
    /// bytes with its answer were [read](Self::handle_read), and before the peer is told that there is
    /// a link. If it is that of another peer, [`Self::refuse`] this connection
    /// ([`GridState::claim_process`](crate::grid::GridState::claim_process)).
    pub fn answered_by(&mut self) -> Option<[u8; 16]> {
        let Answer::From(process) = self.answer else { return None };
        self.answer = Answer::Seen;
        Some(process)
    }

    /// The connection is of no use: what has come on it is dropped, and it ends with this error.
    pub fn refuse(&mut self, error: LinkError) {
        self.inbound = Inbound::new();
        self.undecoded = false;
        self.failed = Some(error);
    }

    /// Tells the peer what has come, and takes what is to be written next if nothing is:
    /// [`Self::deliver`], then [`Self::fetch`].
    pub fn exchange(&mut self, now: Now, peer: &mut Peer) {
        self.deliver(now, peer);
        let _ = self.fetch(now, peer);
    }

    /// Tells the peer what has come, and that the connection is over if it is.
    pub fn deliver(&mut self, now: Now, peer: &mut Peer) {
        self.deliver_some(now, peer, usize::MAX);
    }

    /// The same for at most `count` messages. While any are left, nothing more is to be read.
    pub fn deliver_some(&mut self, now: Now, peer: &mut Peer, count: usize) {
        if let Phase::Open { announced: announced @ false, .. } = &mut self.phase {
            *announced = true;
            peer.handle_upgraded(now, self.link);
        }
        self.tell_limit(peer);
        self.spent.drain(..).for_each(|buf| peer.recycle(buf));
        if self.bytes_out > 0 {
            peer.handle_written(self.link, std::mem::take(&mut self.bytes_out));
        }
        if !self.inbound.is_empty() {
            peer.handle_messages(now, self.link, &mut self.inbound, count);
            if self.inbound.take_answers() {
                self.stall.on_answer(now.instant);
            }
            if self.first_message.is_some() && peer.is_up_on(self.link) {
                self.on_greeted();
            }
        }
        if self.undelivered() > 0 {
            return;
        }
        if let Some(error) = self.failed.clone()
            && !std::mem::replace(&mut self.reported, true)
        {
            let untouched = self.take_back();
            peer.handle_link_down(now, self.link, error, untouched);
            self.closing.get_or_insert(now.instant.after(IDLE_AFTER));
        }
    }

    /// Tells the machine the longest message that the peer takes, if that is known and it does not
    /// know.
    pub(crate) fn tell_limit(&mut self, peer: &mut Peer) {
        if let Some(limit) = self.peer_limit.take() {
            peer.limit_messages(self.link, limit);
        }
    }

    /// The peer has taken the ConnectResponse: messages may have their usual length from now on.
    fn on_greeted(&mut self) {
        self.first_message = None;
        if let Phase::Open { channel, .. } = &mut self.phase {
            channel.set_max_message(self.max_message + MERGE_ALLOWANCE);
        }
        // Some may have come already.
        self.undecoded = true;
    }

    /// Messages that have come and of which the peer has not been told.
    pub fn undelivered(&self) -> usize {
        self.inbound.len()
    }

    /// Whether calls may be begun while messages that came with them are not delivered: none of these
    /// says that a call, or the connection, is over.
    pub(crate) fn may_deliver_some(&self) -> bool {
        self.wants_read() && self.inbound.may_wait()
    }

    /// Drops those of the frames that the peer gave of which not a byte was written, and says how
    /// many: what is reported as never sent must not be sent in front of a close frame.
    fn take_back(&mut self) -> usize {
        let untouched = match &self.writing {
            Writing::Nothing => 0,
            Writing::Fetched(Fetched::Frames) | Writing::Frames => self.frames.untouched(),
            Writing::Fetched(Fetched::Large(_)) => 1,
            Writing::Bytes { untouched, .. } => usize::from(*untouched),
        };
        if untouched == 0 || planted!(TakenBackIsSent) {
            return untouched;
        }
        self.frames.take_back();
        if self.frames.is_empty() {
            self.writing = Writing::Nothing;
        }
        untouched
    }

    /// Takes what is to be written next, if nothing is being written; gives the number of messages
    /// in its first frame.
    pub fn fetch(&mut self, now: Now, peer: &mut Peer) -> Option<usize> {
        if !self.is_written() {
            self.let_overtake(peer);
            peer.hold_transmit(self.link);
        }
        if !self.wants_transmit() {
            return None;
        }
        let transmit = peer.poll_transmit(now, self.link)?;
        let (fetched, messages) = match transmit {
            Transmit::Frame { buf, start, messages } => {
                let bytes = buf.len();
                self.frames.push(buf, start);
                self.fetch_followers(bytes, peer);
                (Fetched::Frames, messages)
            }
            Transmit::Large(message) => (Fetched::Large(message), 1),
        };
        self.writing = Writing::Fetched(fetched);
        self.stall.begin(now.instant);
        Some(messages)
    }

    /// Pings and pongs wait for one frame, not for its followers.
    fn let_overtake(&mut self, peer: &mut Peer) {
        if self.closing.is_some() || self.failed.is_some() {
            return;
        }
        let Phase::Open { channel, .. } = &mut self.phase else { return };
        if !matches!(self.writing, Writing::Frames) {
            return;
        }
        while self.frames.can_be_overtaken()
            && let Some((mut control, start)) = peer.poll_control(self.link)
        {
            let begin = channel.seal(&mut control, start);
            self.frames.overtake(control, begin);
        }
    }

    /// Takes the full frames behind the first one, whose length is `together`.
    fn fetch_followers(&mut self, mut together: usize, peer: &mut Peer) {
        while together < TOGETHER
            && let Some(Transmit::Frame { buf, start, .. }) = peer.poll_full_frame(self.link)
        {
            together += buf.len();
            self.frames.push(buf, start);
        }
    }

    /// What is due, everything that has been read, and the next transmit: one whole turn. A
    /// connection that the peer has given up is finished by it.
    pub(crate) fn drive(&mut self, now: Now, peer: &mut Peer) {
        if self.poll_timeout().is_some_and(|at| at <= now.instant) {
            self.handle_timeout(now.instant);
            if self.idle {
                peer.shrink();
            }
        }
        loop {
            self.deliver(now, peer);
            if !self.decode_more() {
                break;
            }
        }
        if !self.reported && peer.link() != Some(self.link) {
            return self.close(now.instant, CloseHow::Abort);
        }
        let _ = self.fetch(now, peer);
    }

    /// Whether something was fetched of which no byte has been asked for yet.
    pub const fn has_fetched(&self) -> bool {
        matches!(self.writing, Writing::Fetched(_))
    }

    /// Whether what comes is still of interest.
    pub const fn wants_read(&self) -> bool {
        self.failed.is_none() && !self.finished
    }

    /// Whether the peer's next transmit can be fetched.
    fn is_written(&self) -> bool {
        matches!(self.writing, Writing::Nothing)
    }

    /// Carries out [`LinkCommand::Close`](crate::event::LinkCommand::Close), which says that the
    /// peer is done with this connection or drains it.
    pub fn close(&mut self, now: Instant, how: CloseHow) {
        match how {
            CloseHow::Abort => {
                self.reported = true;
                self.finished = true;
            }
            CloseHow::Graceful(wait) => {
                if self.is_written() {
                    self.stall.begin(now);
                }
                self.closing.get_or_insert(now.after(wait));
                if let Phase::Open { channel, .. } = &mut self.phase {
                    channel.close(CloseCode::Normal, "");
                }
            }
        }
    }

    // ---- writing ----

    /// What is to be written now, and first; empty if nothing is.
    pub fn write_buf(&mut self) -> &[u8] {
        self.make_frame();
        match &self.writing {
            Writing::Bytes { buf, written, .. } => &buf[*written..],
            Writing::Frames => self.frames.front(),
            _ => &[],
        }
    }

    /// [`Self::write_buf`], and what is to be written behind it, as far as there are `slices` for it
    /// ([`WRITE_BUFS`] are always enough to write a lot at once). Gives how many of them are used, none
    /// of which is empty: 0 if there is nothing to write, or no slice.
    pub fn write_bufs<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.make_frame();
        match (&self.writing, slices) {
            (Writing::Bytes { buf, written, .. }, [first, ..]) => {
                *first = IoSlice::new(&buf[*written..]);
                1
            }
            (Writing::Frames, slices) => self.frames.slices(slices),
            _ => 0,
        }
    }

    /// Whether [`Self::write_bufs`] gives more than [`Self::write_buf`].
    pub(crate) fn has_several(&self) -> bool {
        self.frames.has_several()
    }

    fn make_frame(&mut self) {
        let Phase::Open { channel, .. } = &mut self.phase else { return };
        if matches!(self.writing, Writing::Nothing)
            && let Some(buf) = channel.take_reply()
        {
            self.writing = Writing::reply(buf);
        }
        if let Writing::Bytes { buf, written, then: Then::More(frame), .. } = &mut self.writing
            && *written == buf.len()
            && frame.refill(buf)
        {
            *written = 0;
        }
        if !matches!(self.writing, Writing::Fetched(_)) {
            return;
        }
        self.writing = match std::mem::replace(&mut self.writing, Writing::Frames) {
            Writing::Fetched(Fetched::Frames) => {
                self.frames.seal(channel);
                Writing::Frames
            }
            Writing::Fetched(Fetched::Large(large)) => {
                let mut buf = std::mem::take(&mut self.piece);
                let frame = LargeFrame::begin(large, channel, &mut buf);
                let then = Then::More(Box::new(frame));
                Writing::Bytes { buf, written: 0, untouched: true, then }
            }
            writing => writing,
        };
    }

    /// So many bytes of [`Self::write_buf`] or [`Self::write_bufs`] were written.
    pub fn handle_written(&mut self, now: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Writing::Frames = self.writing {
            self.bytes_out += bytes as u64;
            self.stall.on_written(now, bytes);
            self.frames.advance(bytes, &mut self.spent);
            if self.frames.is_empty() {
                self.writing = Writing::Nothing;
            }
            return;
        }
        let Writing::Bytes { buf, written, untouched, then } = &mut self.writing else { return };
        let skipped = planted!(PartialWriteSkipsByte, *written + bytes < buf.len());
        *written = (*written + bytes + usize::from(skipped)).min(buf.len());
        *untouched = false;
        self.bytes_out += bytes as u64;
        self.stall.on_written(now, bytes);
        let more = matches!(then, Then::More(frame) if !frame.is_done());
        if more || *written < buf.len() {
            return;
        }
        let written = std::mem::replace(&mut self.writing, Writing::Nothing);
        if let Writing::Bytes { mut buf, then: Then::More(_), .. } = written {
            buf.clear();
            self.piece = buf;
        }
    }

    /// Whether all that was fetched is written, so that [`Self::exchange`] may give more.
    pub fn wants_transmit(&self) -> bool {
        self.is_written() && self.closing.is_none() && self.failed.is_none()
    }

    /// Whether it is open, and nothing is being written: a transmit that is fetched now is the
    /// next thing to leave.
    pub(crate) fn is_free(&self) -> bool {
        let open = match &self.phase {
            Phase::Upgrading { .. } => false,
            Phase::Open { channel, announced } => *announced && !channel.has_reply(),
        };
        open && self.wants_transmit() && !self.finished
    }

    // ---- time and end ----

    /// Whether [`Self::handle_timeout`] has something to do.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|at| at <= now)
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let writing = !self.is_written();
        let stall = writing.then(|| self.stall.poll_timeout());
        let idle = (!self.idle).then(|| self.idle_at());
        [stall, idle, self.closing].into_iter().flatten().min()
    }

    /// Time has passed; exchange afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closing.is_some_and(|until| now >= until) {
            return self.handle_failure(LinkError::ShutDown);
        }
        if !self.is_written() && self.stall.handle_timeout(now) {
            return self.handle_failure(LinkError::WriteStalled);
        }
        if !self.idle && now >= self.idle_at() {
            self.idle = true;
            self.inbound.shrink();
            self.piece = Vec::new();
            self.frames.shrink();
            self.spent.shrink_to_fit();
            if let Phase::Open { channel, .. } = &mut self.phase {
                channel.idle();
            }
        }
    }

    fn idle_at(&self) -> Instant {
        self.last_read.max(self.stall.last_progress()).after(IDLE_AFTER)
    }

    /// The system holds this many bytes of the connection that the other end's system has not
    /// acknowledged; `None` if it does not tell. To be told before [`Self::handle_timeout`]: a socket
    /// that takes nothing for seconds may still send all the time, for it becomes writable in steps.
    pub fn handle_unsent(&mut self, now: Instant, unsent: Option<usize>) {
        if self.waits_to_write() {
            self.stall.on_unsent(now, unsent);
        }
    }

    /// Whether something was fetched that the transport has not taken, so that it matters what the
    /// system holds: see [`Self::handle_unsent`].
    pub fn waits_to_write(&self) -> bool {
        !self.is_written()
    }

    /// Whether nothing has come or gone for a while, so that the peer's buffers can be given back too.
    pub const fn is_idle(&self) -> bool {
        self.idle
    }

    /// Whether the transport is to be closed now.
    pub fn is_finished(&mut self) -> bool {
        self.reported && (self.finished || (self.failed.is_some() && self.write_buf().is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::auth::StaticToken;

    #[test]
    fn the_key_of_an_upgrade_foretells_nothing_that_comes_after_it() {
        let token = StaticToken::new("secret-token").expect("a token");
        let node = Arc::new(Node::new("http://a:1", [1; 16], Arc::new(token)));
        let now = Now {
            instant: Instant::from_millis(1000),
            wall: crate::wire::Timestamp { seconds: 1_700_000_000, nanos: 0 },
        };
        let mut dialled = Connection::dialled(&node, "http://b:1", LinkId(1), 7, now).expect("one");
        let request = String::from_utf8(dialled.write_buf().to_vec()).expect("a text");
        let (_, key) = request.split_once("Sec-WebSocket-Key: ").expect("it has one");
        let key = STANDARD.decode(key.split('\r').next().expect("a line")).expect("base64");
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| key[at + byte]));
        let mut inverted = crate::rng::WeakRng::new(crate::rng::tests::state_behind(word(0)));
        assert_ne!(
            inverted.next_u64(),
            word(8),
            "it is the former generator, which can be inverted"
        );
    }

    #[test]
    fn an_answer_to_a_websocket_ping_has_its_own_time_to_be_written() {
        let token = StaticToken::new("secret-token").expect("a token");
        let node = Arc::new(Node::new("http://a:1", [1; 16], Arc::new(token)));
        let channel = Box::new(Channel::new(Role::Server, 1 << 20, 1));
        let start = Instant::from_millis(1000);
        let mut connection = Connection::accepted(&node, LinkId(1), channel, Vec::new(), start);
        // Nothing has been written for longer than a write may stand still.
        let later = start.after(node.timings.write_stall).after(Duration::from_millis(500));
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        connection.read_buf().extend_from_slice(&ping);
        connection.handle_read(later, ping.len());
        assert!(!connection.write_buf().is_empty(), "the pong");
        connection.handle_timeout(later);
        assert_eq!(connection.failed, None);
        connection.handle_timeout(later.after(node.timings.write_stall));
        assert_eq!(connection.failed, Some(LinkError::WriteStalled));
    }
}
