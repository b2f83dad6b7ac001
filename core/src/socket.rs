//! One socket of a node that is driven whole, from its first byte to its last.
//!
//! A [`GridState`] knows peers; a loop of one's own has sockets. A [`Socket`] stands between them:
//! it is an [`Acceptor`] until the other end has proved who it is, then the [`Connection`] of a
//! peer, and it finds that peer in the grid by itself. A loop has this to do for each of its
//! transports, and nothing else:
//!
//! ```text
//!   made by    Socket::accepted, for what the listener gives
//!              Socket::dialled, for LinkCommand::Dial
//!   bytes in   read_from, while wants_read
//!   bytes out  write_to, while write_buf is not empty
//!   drive      after bytes in or out, after close, after use of the grid, and at poll_timeout
//!   ends       close, for LinkCommand::Close; once is_finished, close the transport
//! ```
//!
//! Where the transport tells of its readiness, [`Socket::handle_ready`] and [`Socket::transfer`] do
//! all of reading, driving and writing. Where another thread reads, [`Socket::receive`] takes what
//! it has read. Where the transport is no [`Read`] and [`Write`], there are [`Socket::read_buf`]
//! with [`Socket::handle_read`], and [`Socket::write_buf`] or [`Socket::write_bufs`] with
//! [`Socket::handle_written`].

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;

use crate::connection::{Connection, WRITE_BUFS};
use crate::error::LinkError;
use crate::event::{CloseHow, LinkId};
use crate::grid::GridState;
use crate::link::{Accepting, Acceptor, LINGER, Origin, log_failure};
use crate::time::{Instant, Now};

/// The most that [`Socket::read_from`] reads at a time, in bytes.
const READ_AT_ONCE: usize = 64 * 1024;

/// One socket of a [`GridState`]: see the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Socket {
    stage: Stage,
    remote: Option<SocketAddr>,
    /// Its number among those that have not proved who they are.
    stranger: Option<u64>,
    /// What [`Self::handle_ready`] has told of and [`Self::transfer`] has not used up.
    readable: bool,
    writable: bool,
}

#[derive(Debug)]
enum Stage {
    /// It has come in and has not proved who it is. `fresh`: there are bytes to look at.
    Incoming { acceptor: Acceptor, fresh: bool },
    /// Refused: the refusal is on its way out, until then at the latest.
    Refused { acceptor: Acceptor, until: Instant },
    /// The connection of this peer.
    Linked { peer: Arc<str>, connection: Box<Connection> },
    /// Nothing is read or written any more.
    Finished { sink: BytesMut },
}

impl Socket {
    /// A connection has come in, of which nothing has been read. `remote` is where from, if the transport
    /// knows: for the limits on strangers, for [`Auth::check`](crate::auth::Auth::check), and for the log.
    ///
    /// If there are too many that have not proved who they are
    /// ([`Limits::unauthenticated`](crate::limits::Limits::unauthenticated)), another one is finished for
    /// it: that shows once it is driven. A loop that drives only the sockets at which something has
    /// happened drives, after this, those of which [`Self::link`] is `None` as well, or it has more of
    /// them open for a while. A socket that is dropped before it was finished or linked counts until newer
    /// ones have taken its place.
    pub fn accepted(grid: &mut GridState, now: Instant, remote: Option<SocketAddr>) -> Self {
        let mut acceptor = grid.accept(now);
        acceptor.set_remote(remote);
        let stranger = Some(grid.enter(now, Origin::of(remote)));
        let stage = Stage::Incoming { acceptor, fresh: false };
        Self { remote, stranger, ..Self::new(stage) }
    }

    /// The connection that a [`LinkCommand::Dial`](crate::event::LinkCommand::Dial) asked for:
    /// TCP (and TLS) stands, or is being made and takes no bytes yet. If it cannot be made,
    /// call [`Self::handle_failure`]; without a transport to begin with,
    /// [`GridState::handle_dial_failed`] instead of this.
    pub fn dialled(grid: &mut GridState, now: Now, peer: &str, link: LinkId) -> Self {
        let (node, seed) = (grid.node().clone(), grid.next_seed());
        let stage = match Connection::dialled(&node, peer, link, seed, now) {
            Ok(connection) => Stage::Linked { peer: peer.into(), connection: connection.into() },
            Err(error) => {
                grid.handle_dial_failed(now, peer, link, error);
                Stage::finished()
            }
        };
        Self::new(stage)
    }

    const fn new(stage: Stage) -> Self {
        Self { stage, remote: None, stranger: None, readable: false, writable: false }
    }

    /// The peer and the link that this is the connection of; `None` before that is known, and
    /// once it is over.
    pub fn link(&self) -> Option<(&str, LinkId)> {
        match &self.stage {
            Stage::Linked { peer, connection } => Some((peer, connection.link())),
            _ => None,
        }
    }

    // ---- bytes in ----

    /// Whether what comes is still of interest.
    pub fn wants_read(&self) -> bool {
        match &self.stage {
            Stage::Incoming { .. } | Stage::Refused { .. } => true,
            Stage::Linked { connection, .. } => connection.wants_read(),
            Stage::Finished { .. } => false,
        }
    }

    /// Reads once from the transport, and takes its end and its failure as what they are. Whether
    /// there may be more: `false` once it would block, has ended or failed.
    pub fn read_from(&mut self, now: Instant, transport: &mut impl Read) -> bool {
        let buf = self.read_buf();
        let len = buf.len();
        let room = (buf.capacity() - len).min(READ_AT_ONCE);
        buf.resize(len + room, 0);
        let result = transport.read(&mut buf[len..]);
        buf.truncate(len + result.as_ref().copied().unwrap_or_default());
        match result {
            Ok(0) => self.handle_eof(),
            Ok(bytes) => self.handle_read(now, bytes),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => self.handle_failure(error.into()),
        }
        self.wants_read()
    }

    /// Takes all of `bytes`, which were read elsewhere, such as on another thread, and
    /// [drives](Self::drive). If there are none, the other end has closed its direction; what comes
    /// after the end of the connection is dropped.
    pub fn receive(&mut self, now: Now, grid: &mut GridState, mut bytes: &[u8]) {
        loop {
            let wants_more = self.read_from(now.instant, &mut bytes);
            self.drive(now, grid);
            if !wants_more || bytes.is_empty() {
                return;
            }
        }
    }

    /// Where the next received bytes are to be appended, at most its spare capacity.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        match &mut self.stage {
            Stage::Incoming { acceptor, .. } | Stage::Refused { acceptor, .. } => {
                acceptor.read_buf()
            }
            Stage::Linked { connection, .. } => connection.read_buf(),
            Stage::Finished { sink } => {
                sink.clear();
                sink.reserve(2048);
                sink
            }
        }
    }

    /// So many bytes, at least one, were appended to [`Self::read_buf`].
    pub fn handle_read(&mut self, now: Instant, bytes: usize) {
        match &mut self.stage {
            Stage::Incoming { fresh, .. } => *fresh = true,
            Stage::Linked { connection, .. } => connection.handle_read(now, bytes),
            Stage::Refused { .. } | Stage::Finished { .. } => {}
        }
    }

    /// The other end has closed its direction.
    pub fn handle_eof(&mut self) {
        match &mut self.stage {
            Stage::Linked { connection, .. } => connection.handle_eof(),
            stage => *stage = Stage::finished(),
        }
    }

    /// The transport has failed, or could not be made.
    pub fn handle_failure(&mut self, error: LinkError) {
        match &mut self.stage {
            Stage::Linked { connection, .. } => connection.handle_failure(error),
            stage => *stage = Stage::finished(),
        }
    }

    // ---- the node ----

    /// Tells the node what has come and what time has brought, and takes what is to be written
    /// next if nothing is being written.
    ///
    /// A connection that its peer has given up, for a newer one or because the peer was removed
    /// from the grid, is finished by this.
    pub fn drive(&mut self, now: Now, grid: &mut GridState) {
        if self.stranger.is_some_and(|number| !grid.lobby().contains(number)) {
            // It has had to leave for another one.
            self.stranger = None;
            self.stage = Stage::finished();
        }
        if matches!(self.stage, Stage::Incoming { .. }) {
            self.admit(now, grid);
        }
        match &mut self.stage {
            Stage::Refused { until, .. } if now.instant >= *until => self.stage = Stage::finished(),
            Stage::Linked { peer, connection } => {
                if let Some(process) = connection.answered_by()
                    && let Err(other) = grid.claim_process(now.instant, process, peer)
                {
                    connection.refuse(LinkError::same_process(peer, &other));
                }
                match grid.peer_mut(peer) {
                    Some(peer) => connection.drive(now, peer),
                    None => connection.close(now.instant, CloseHow::Abort),
                }
                if connection.is_finished() {
                    self.stage = Stage::finished();
                }
            }
            _ => {}
        }
        if matches!(self.stage, Stage::Linked { .. } | Stage::Finished { .. })
            && let Some(number) = self.stranger.take()
        {
            grid.lobby().leave(number);
        }
    }

    /// Takes an incoming connection as far as it has come.
    fn admit(&mut self, now: Now, grid: &mut GridState) {
        let stage = std::mem::replace(&mut self.stage, Stage::finished());
        let Stage::Incoming { mut acceptor, fresh } = stage else { return };
        let accepting = if now.instant >= acceptor.poll_timeout() {
            acceptor.handle_timeout(now.instant)
        } else if fresh {
            acceptor.handle_read(now, grid)
        } else {
            Accepting::Pending
        };
        let refused = match accepting {
            Accepting::Pending => {
                if let Some(number) = self.stranger.filter(|_| acceptor.has_shown_token()) {
                    grid.lobby().trust(number);
                }
                self.stage = Stage::Incoming { acceptor, fresh: false };
                return;
            }
            Accepting::Hello(hello) => match grid.handle_hello(now, &hello, acceptor.came()) {
                Ok(link) => {
                    if let Ok(mut connection) = acceptor.accept(now.instant, link) {
                        if let Some(peer) = grid.peer_mut(&hello.host) {
                            connection.tell_limit(peer);
                        }
                        let (peer, connection) = (hello.host.as_str().into(), connection.into());
                        self.stage = Stage::Linked { peer, connection };
                    }
                    return;
                }
                Err(denial) => acceptor.refuse(denial),
            },
            finished @ Accepting::Finished(_) => finished,
        };
        if let Accepting::Finished(error) = refused
            && let Some(told) = grid.door_log.tell_failure(self.remote, &error, now.instant)
        {
            log_failure(&grid.node().name, self.remote, &error, told);
        }
        self.stage = Stage::Refused { acceptor, until: now.instant.after(LINGER) };
    }

    /// Carries out [`LinkCommand::Close`](crate::event::LinkCommand::Close) for this
    /// [`link`](Self::link).
    pub fn close(&mut self, now: Instant, how: CloseHow) {
        if let Stage::Linked { connection, .. } = &mut self.stage {
            connection.close(now, how);
        }
    }

    // ---- bytes out ----

    /// Writes once to the transport, if there is something to write, and takes its failure as what
    /// it is. Whether it may take more: `false` once it would block or has failed.
    pub fn write_to(&mut self, now: Instant, transport: &mut impl Write) -> bool {
        if self.write_buf().is_empty() {
            return true;
        }
        let several = match &self.stage {
            Stage::Linked { connection, .. } => connection.has_several(),
            _ => false,
        };
        let written = if several {
            let mut bufs = [IoSlice::new(&[]); WRITE_BUFS];
            let count = self.write_bufs(&mut bufs);
            transport.write_vectored(&bufs[..count])
        } else {
            transport.write(self.write_buf())
        };
        let error = match written {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(written) => {
                self.handle_written(now, written);
                return true;
            }
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Interrupted => return true,
            ErrorKind::WouldBlock => {}
            _ => self.handle_failure(error.into()),
        }
        false
    }

    /// What is to be written now; empty if nothing is. [`Self::drive`] may give more once all of
    /// it is written.
    pub fn write_buf(&mut self) -> &[u8] {
        match &mut self.stage {
            Stage::Incoming { acceptor, .. } | Stage::Refused { acceptor, .. } => {
                acceptor.write_buf()
            }
            Stage::Linked { connection, .. } => connection.write_buf(),
            Stage::Finished { .. } => &[],
        }
    }

    /// [`Self::write_buf`], and what is to be written behind it: as many slices as there are in
    /// `bufs`, at most ([`WRITE_BUFS`] are always enough to write a lot at once). Gives how many are
    /// used, none of which is empty: 0 if there is nothing to write, or no slice. For a transport that
    /// writes from several at once.
    pub fn write_bufs<'a>(&'a mut self, bufs: &mut [IoSlice<'a>]) -> usize {
        let bytes = match &mut self.stage {
            Stage::Linked { connection, .. } => return connection.write_bufs(bufs),
            Stage::Incoming { acceptor, .. } | Stage::Refused { acceptor, .. } => {
                acceptor.write_buf()
            }
            Stage::Finished { .. } => &[],
        };
        match bufs.first_mut() {
            Some(first) if !bytes.is_empty() => {
                *first = IoSlice::new(bytes);
                1
            }
            _ => 0,
        }
    }

    /// So many bytes of [`Self::write_buf`] or of [`Self::write_bufs`] were written.
    pub fn handle_written(&mut self, now: Instant, bytes: usize) {
        match &mut self.stage {
            Stage::Incoming { acceptor, .. } | Stage::Refused { acceptor, .. } => {
                acceptor.handle_written(bytes);
            }
            Stage::Linked { connection, .. } => connection.handle_written(now, bytes),
            Stage::Finished { .. } => {}
        }
    }

    /// The system holds this many bytes of what was written that the other end's system has not
    /// acknowledged; `None` if it does not tell. To be told at [`Self::poll_timeout`], before
    /// [`Self::drive`]: see [`Connection::handle_unsent`]. Without it a write that the transport does not
    /// take for 3 s counts as stalled, on slow paths too.
    pub fn handle_unsent(&mut self, now: Instant, unsent: Option<usize>) {
        if let Stage::Linked { connection, .. } = &mut self.stage {
            connection.handle_unsent(now, unsent);
        }
    }

    // ---- readiness ----

    /// The transport does not block, and has become ready, as mio's events or epoll's edges tell:
    /// it stays so until it would block, which [`Self::transfer`] finds out. Neither is so at the
    /// beginning.
    pub fn handle_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Everything that there is to do with a transport that does not block: reads from it once, so
    /// that each socket gets its turn, [drives](Self::drive), and writes until there is nothing
    /// more to write or the transport takes no more for now.
    pub fn transfer<T: Read + Write>(&mut self, now: Now, grid: &mut GridState, transport: &mut T) {
        if self.readable && self.wants_read() {
            self.readable = self.read_from(now.instant, transport);
        }
        loop {
            // Before the look at the time: only what cannot be written has stalled.
            self.writable = self.writable && self.write_to(now.instant, transport);
            self.drive(now, grid);
            if !self.writable || self.write_buf().is_empty() {
                return;
            }
        }
    }

    // ---- time and end ----

    /// When to call [`Self::drive`] or [`Self::transfer`] at the latest, whatever comes;
    /// [`Instant::ZERO`], which is past, while there may be more to read for the latter.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.readable && self.wants_read() {
            return Some(Instant::ZERO);
        }
        match &self.stage {
            Stage::Incoming { acceptor, .. } => Some(acceptor.poll_timeout()),
            Stage::Refused { until, .. } => Some(*until),
            Stage::Linked { connection, .. } => connection.poll_timeout(),
            Stage::Finished { .. } => None,
        }
    }

    /// Whether the transport is to be closed now, in both directions.
    pub const fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished { .. })
    }
}

impl Stage {
    fn finished() -> Self {
        Self::Finished { sink: BytesMut::new() }
    }
}
