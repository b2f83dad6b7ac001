//! Dialling, writing, travelling, reading.

use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::lives::{Death, LifeId};
use super::network::{ConnId, Damage, DialFate, End, Listening, Piece, WINDOW};
use super::queue::Event;
use super::{Dial, Ending, Hits, Inner};
use crate::census::FaultId;
use crate::keyed::{Purpose, mix};

/// A dial under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialled {
    pub(crate) number: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) fate: DialFate,
    /// How long the handshake of the transport takes.
    pub(crate) takes: u64,
}

/// Bytes that a node of ours has room for at most where it reads, but for a message that needs
/// more (DESIGN.md section 3.4).
pub(crate) const READ_BUFFER: u64 = 256 << 10;

/// Longer than a write may stand still (PROTOCOL.md section 4).
const LONG: u64 = 3_000_000_000;

/// A slow path delivers something so many times a second.
const PARTS: u64 = 8;

impl Inner {
    fn latency(&self, from: usize, to: usize, key: [u64; 3]) -> u64 {
        let (low, high) = self.network.path(from, to).latency;
        self.keyed.range(Purpose::Latency, key, low, high)
    }

    // ---- connecting ----

    pub(crate) fn dial(&mut self, life: LifeId, name: &str) -> io::Result<Dialled> {
        let from = self.lives.get(life).node;
        let to = self.names.iter().position(|known| known == name);
        let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let path = self.network.path(from, to);
        let (fate, fault, dialled) = (path.dial, path.dial_fault, path.dialled);
        if let Some(fault) = fault {
            self.census.felt(fault);
        }
        let key = |way| [from as u64, to as u64, dialled << 8 | way];
        let takes = match fate {
            DialFate::Takes(nanos) => nanos,
            _ => self.latency(from, to, key(1)) + self.latency(to, from, key(2)),
        };
        let now = self.now;
        let of_life = self.lives.get(life);
        let dial =
            Dial { at: now, from, life: of_life.number, to, clock: of_life.clock.monotonic(now) };
        let number = self.observer.as_mut().map_or(0, |observer| observer.dialled(dial));
        self.digest(&[5, now, from as u64, to as u64]);
        Ok(Dialled { number, from, to, fate, takes })
    }

    pub(crate) fn dial_over(&mut self, number: usize) {
        let now = self.now;
        if let Some(observer) = &mut self.observer {
            observer.dial_over(number, now);
        }
    }

    /// Whether a handshake cannot get through.
    pub(crate) fn is_blocked(&mut self, from: usize, to: usize) -> bool {
        let ways = [(from, to), (to, from)];
        let mut blocked = false;
        for (from, to) in ways {
            let path = self.network.path(from, to);
            blocked |= path.blocked;
            if let Some(fault) = path.block_fault.filter(|_| path.blocked) {
                self.census.felt(fault);
            }
        }
        blocked
    }

    pub(crate) fn establish(&mut self, life: LifeId, from: usize, to: usize) -> io::Result<ConnId> {
        let Some(acceptor) = self.network.listening[to].as_ref().map(|listening| listening.life)
        else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let conn = self.network.connect(life, from, acceptor, to);
        let now = self.now;
        let lives = [life, acceptor].map(|life| self.lives.get(life).number);
        if let Some(observer) = &mut self.observer {
            observer.connected(now, conn, [from, to], lives);
        }
        if let Some(listening) = &mut self.network.listening[to] {
            listening.backlog.push_back(conn);
            listening.waker.take().into_iter().for_each(Waker::wake);
        }
        Ok(conn)
    }

    pub(crate) fn listen(&mut self, life: LifeId, node: usize) -> io::Result<()> {
        let place = &mut self.network.listening[node];
        if place.is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        *place = Some(Listening { life, backlog: Default::default(), waker: None });
        Ok(())
    }

    pub(crate) fn accept(&mut self, node: usize, life: LifeId, cx: &Context<'_>) -> Option<ConnId> {
        let listening = self.network.listening[node].as_mut()?;
        if listening.life != life {
            return None;
        }
        let conn = listening.backlog.pop_front();
        if conn.is_none() {
            listening.waker = Some(cx.waker().clone());
        }
        conn
    }

    /// Whoever waits in the backlog is reset. What is given is to be dropped without the lock.
    pub(crate) fn stop_listening(&mut self, node: usize, life: LifeId) -> Option<Listening> {
        let place = &mut self.network.listening[node];
        if place.as_ref().is_none_or(|listening| listening.life != life) {
            return None;
        }
        let gone = place.take()?;
        for conn in &gone.backlog {
            self.network.conn(*conn).open[End::Acceptor as usize] = false;
            self.tell_ended(*conn, End::Acceptor, Ending::Dropped);
            self.break_end(*conn, End::Dialler, 0);
        }
        Some(gone)
    }

    // ---- bytes ----

    pub(crate) fn write(
        &mut self,
        id: ConnId,
        end: End,
        buf: &[u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let (now, keyed, whole) = (self.now, self.keyed, self.knobs.whole);
        let conn = self.network.conn(id);
        let key = conn.key(end);
        let (from, to) = (conn.node(end), conn.node(end.other()));
        // What its destructors write, a process that was killed has never written.
        let alive = self.lives.get(conn.life(end)).alive;
        let pipe = conn.out(end);
        if let Some(kind) = pipe.writer_error {
            return Poll::Ready(Err(kind.into()));
        }
        if pipe.finished || !alive {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = usize::try_from(pipe.room()).unwrap_or(usize::MAX).min(buf.len());
        if room == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            pipe.wanting = true;
            if self.knobs.steps {
                pipe.full_since.get_or_insert(now);
            }
            if let Some(observer) = &mut self.observer {
                observer.wants(now, id, end, true);
            }
            return Poll::Pending;
        }
        pipe.wanting = room < buf.len();
        let waited = pipe.full_since.take().map_or(0, |since| now - since);
        self.counts.steps += u64::from(waited > LONG);
        let offset = pipe.written;
        let count = match whole {
            true => room,
            // Now and then a write takes only some of what it could.
            false if keyed.chance(Purpose::Share, [key, offset, 1], 250_000) => {
                let most = keyed.range(Purpose::Share, [key, offset, 2], 1, room as u64);
                usize::try_from(most).unwrap_or(room)
            }
            false => room,
        };
        let bytes = &buf[..count];
        self.digest(&[6, now, key, offset, xxh3_64(bytes)]);
        let mut hits = Hits::default();
        if let Some(observer) = &mut self.observer {
            observer.wrote(now, id, end, bytes, &mut hits);
            observer.wants(now, id, end, room < buf.len());
        }
        let pipe = self.network.conn(id).out(end);
        hits.place.into_iter().for_each(|placed| pipe.place(placed));
        hits.cues.into_iter().for_each(|cue| self.cue(now, cue));
        self.travel(id, end, (from, to), key, Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(count))
    }

    /// Sends bytes on their way, in pieces.
    fn travel(&mut self, id: ConnId, end: End, way: (usize, usize), key: u64, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let offset = self.network.conn(id).out(end).written;
            let len = match self.knobs.whole {
                true => bytes.len() as u64,
                false => self.keyed.range(Purpose::Split, [key, offset, 0], 1, self.knobs.piece),
            };
            let rate = self.network.path(way.0, way.1).rate;
            let latency = self.latency(way.0, way.1, [key, offset, 3]);
            // On a slow path large pieces come in parts, as they do over TCP.
            let len = if rate == 0 { len } else { len.min((rate / PARTS).max(WINDOW)) };
            let piece = bytes.split_to(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()));
            let sent = self.sent_at(id, end, way, piece.len() as u64);
            self.launch(id, end, Piece::Bytes(piece), sent + latency);
        }
    }

    /// When the last of so many bytes is on its way: behind those before it, and after an outage.
    fn sent_at(&mut self, id: ConnId, end: End, way: (usize, usize), bytes: u64) -> u64 {
        let now = self.now;
        let (leaves, lost) = self.network.conn(id).out(end).leaves(now);
        lost.into_iter().for_each(|fault| self.census.felt(fault));
        let path = self.network.path(way.0, way.1);
        let (rate, felt, fault) = (path.rate, path.rate_felt, path.rate_fault);
        if rate == 0 {
            return leaves;
        }
        let pipe = self.network.conn(id).out(end);
        pipe.busy_until = pipe.busy_until.max(leaves) + bytes * 1_000_000_000 / rate;
        let sent = pipe.busy_until;
        let fault = fault.filter(|_| sent - now >= felt);
        fault.into_iter().for_each(|fault| self.census.felt(fault));
        sent
    }

    fn launch(&mut self, id: ConnId, end: End, piece: Piece, at: u64) {
        let pipe = self.network.conn(id).out(end);
        // An end that has lost the connection gets nothing more, even if it has not looked yet.
        if pipe.silent || pipe.reader_error.is_some() {
            pipe.lose(&piece);
            return;
        }
        let at = pipe.send(piece, at);
        self.push_arrival(id, end.other(), at);
    }

    pub(crate) fn push_arrival(&mut self, id: ConnId, to: End, at: u64) {
        let key = self.network.conn(id).key(to);
        let tie = self.keyed.draw(Purpose::Tie, [2, key, at]);
        self.queue.push(at.max(self.now), tie, Event::Arrive(id, to));
    }

    /// What is due comes in at an end.
    pub(crate) fn arrive(&mut self, id: ConnId, end: End) {
        let now = self.now;
        loop {
            let conn = self.network.conn(id);
            let (from, to) = (conn.node(end.other()), conn.node(end));
            let due = conn.into(end).is_due(now);
            let fault = conn.into(end).stall_fault;
            match due {
                Ok(false) => return,
                Ok(true) => {}
                Err(later) => {
                    fault.into_iter().for_each(|fault| self.census.felt(fault));
                    return self.push_arrival(id, end, later);
                }
            }
            let path = self.network.path(from, to);
            if path.blocked {
                // It is looked at again when the way is free.
                let fault = path.block_fault;
                fault.into_iter().for_each(|fault| self.census.felt(fault));
                return;
            }
            self.arrive_one(id, end);
        }
    }

    fn arrive_one(&mut self, id: ConnId, end: End) {
        let (now, keyed) = (self.now, self.keyed);
        let conn = self.network.conn(id);
        let key = conn.key(end);
        let pipe = conn.into(end);
        let offset = pipe.arrived;
        let noise = |n| keyed.draw(Purpose::Content, [key, offset, n]) as u8;
        let arrival = pipe.arrive(noise);
        let abandoned = pipe.abandoned;
        let moved = pipe.acknowledge();
        let (reader, looking) = (pipe.reader.take(), pipe.looking.take());
        let hash = arrival.bytes.iter().fold(0, |hash, bytes| mix(hash ^ xxh3_64(bytes)));
        self.digest(&[3, now, key, offset, hash]);
        if let Some(observer) = &mut self.observer {
            arrival.bytes.iter().for_each(|bytes| observer.arrived(now, id, end, bytes));
            if moved {
                observer.moved(now, id, end.other());
            }
        }
        reader.into_iter().for_each(Waker::wake);
        // A task that stays awake finds them at once, and one that should and sleeps, never.
        if let Some((task, turn)) = looking
            && self.executor.is_awake(task, turn)
        {
            let tie = keyed.draw(Purpose::Tie, [2, key, offset]);
            self.queue.push(now, tie, Event::Resume(task, turn));
        }
        if abandoned {
            // Nobody reads there: the writer is reset, as TCP does.
            self.break_end(id, end.other(), 0);
        }
        for (damage, fault) in arrival.damages {
            self.suffer(id, end, damage, fault);
        }
    }

    fn suffer(&mut self, id: ConnId, end: End, damage: Damage, fault: Option<FaultId>) {
        let now = self.now;
        let conn = self.network.conn(id);
        if conn.open[end as usize]
            && let Some(fault) = fault
        {
            self.census.felt(fault);
        }
        let pipe = self.network.conn(id).into(end);
        match damage {
            Damage::Reset => {
                pipe.clear();
                self.break_end(id, end, 0);
                self.break_end(id, end.other(), 0);
            }
            Damage::Silence => {
                pipe.silent = true;
                pipe.clear();
            }
            Damage::Stall(nanos) => {
                pipe.stalled_until = now.saturating_add(nanos);
                pipe.stall_fault = fault;
            }
            Damage::Flip(_) | Damage::Remove(_) | Damage::Insert(_) => {
                if let Some(observer) = &mut self.observer {
                    observer.falsified(id, end);
                }
            }
            Damage::End => {}
        }
    }

    pub(crate) fn read(
        &mut self,
        id: ConnId,
        end: End,
        buf: &mut BytesMut,
        cx: Option<&Context<'_>>,
    ) -> Poll<io::Result<usize>> {
        let (now, keyed, whole) = (self.now, self.keyed, self.knobs.whole);
        if let Some(observer) = &mut self.observer {
            observer.asks(id, end, buf.capacity() as u64);
        }
        let conn = self.network.conn(id);
        let (key, life) = (conn.key(end), conn.life(end));
        let pipe = conn.into(end);
        let spare = buf.capacity() - buf.len();
        if spare as u64 > READ_BUFFER
            && let Some(observer) = &mut self.observer
        {
            observer.offered(now, id, end, spare as u64);
        }
        let limit = match whole {
            true => spare,
            false if keyed.chance(Purpose::Share, [key, pipe.arrived, 3], 250_000) => {
                let draw = keyed.range(Purpose::Share, [key, pipe.arrived, 4], 1, spare as u64);
                usize::try_from(draw).unwrap_or(spare)
            }
            false => spare,
        };
        if let Some(count) = pipe.read(buf, limit) {
            let moved = pipe.acknowledge();
            if pipe.room() > 0 {
                pipe.writer.take().into_iter().for_each(Waker::wake);
            }
            if let Some(observer) = &mut self.observer {
                let clock = self.lives.get(life).clock.monotonic(now);
                observer.taken(now, clock, id, end, count as u64);
                if moved {
                    observer.moved(now, id, end.other());
                }
            }
            return Poll::Ready(Ok(count));
        }
        if let Some(kind) = pipe.reader_error {
            return Poll::Ready(Err(kind.into()));
        }
        // Whoever gives no waker is not woken, nor by what it gave before.
        pipe.reader = cx.map(|cx| cx.waker().clone());
        let running = self.executor.running().filter(|_| cx.is_none());
        pipe.looking = running.map(|task| (task.id(), task.turns));
        Poll::Pending
    }

    // ---- ends ----

    /// An end closes its direction.
    pub(crate) fn finish(&mut self, id: ConnId, end: End) -> io::Result<()> {
        let conn = self.network.conn(id);
        let key = conn.key(end);
        let (from, to) = (conn.node(end), conn.node(end.other()));
        let pipe = conn.out(end);
        if let Some(kind) = pipe.writer_error {
            return Err(kind.into());
        }
        if pipe.finished {
            return Ok(());
        }
        pipe.finished = true;
        let offset = pipe.written;
        let latency = self.latency(from, to, [key, offset, 4]);
        self.launch(id, end, Piece::End, self.now + latency);
        self.tell_ended(id, end, Ending::Finished);
        Ok(())
    }

    /// An end drops its transport, of its own will or because its process has ended. The wakers
    /// are to be dropped without the lock.
    pub(crate) fn let_go(&mut self, id: ConnId, end: End) -> Vec<Waker> {
        let conn = self.network.conn(id);
        let life = conn.life(end);
        conn.open[end as usize] = false;
        conn.into(end).abandoned = true;
        let wakers = [conn.into(end).reader.take(), conn.out(end).writer.take()];
        let life = self.lives.get(life);
        match if life.alive { Death::Closed } else { life.end } {
            Death::Closed => {
                let _ = self.finish(id, end);
            }
            Death::Reset => {
                let conn = self.network.conn(id);
                let key = conn.key(end);
                let (from, to) = (conn.node(end), conn.node(end.other()));
                let wait = self.latency(from, to, [key, 0, 5]);
                self.break_end(id, end.other(), wait);
            }
            Death::Silent => {
                for pipe in &mut self.network.conn(id).pipes {
                    pipe.silent = true;
                    pipe.clear();
                }
            }
        }
        self.tell_ended(id, end, Ending::Dropped);
        wakers.into_iter().flatten().collect()
    }

    /// An end learns, after a while, that its connection is broken.
    pub(crate) fn break_end(&mut self, id: ConnId, end: End, wait: u64) {
        let key = self.network.conn(id).key(end);
        let tie = self.keyed.draw(Purpose::Tie, [6, key, self.now]);
        self.queue.push(self.now.saturating_add(wait), tie, Event::Break(id, end));
    }

    pub(crate) fn broken(&mut self, id: ConnId, end: End) {
        let now = self.now;
        let conn = self.network.conn(id);
        let key = conn.key(end);
        let kind = io::ErrorKind::ConnectionReset;
        let is_open = conn.open[end as usize];
        conn.out(end).writer_error = Some(kind);
        conn.out(end).clear();
        conn.into(end).reader_error = Some(kind);
        conn.into(end).clear();
        let wakers = [conn.into(end).reader.take(), conn.out(end).writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.digest(&[7, now, key]);
        if is_open {
            self.tell_ended(id, end, Ending::Broken);
        }
    }

    fn tell_ended(&mut self, id: ConnId, end: End, how: Ending) {
        let now = self.now;
        if let Some(observer) = &mut self.observer {
            observer.ended(now, id, end, how);
        }
    }
}
