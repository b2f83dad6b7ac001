//! One direction of a connection.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};

use crate::census::FaultId;
use crate::world::executor::TaskId;

/// Less room than this is none.
pub(crate) const WINDOW: u64 = 1_460;

/// What happens to the bytes of a direction at some offset of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The connection is reset in front of this byte.
    Reset,
    /// The stream ends in front of this byte; what follows is lost.
    End,
    /// This byte is another one.
    Flip(u8),
    /// So many bytes are missing.
    Remove(u64),
    /// So many bytes of noise stand in front of it.
    Insert(u64),
    /// From here on nothing arrives any more, and nobody is told.
    Silence,
    /// From here on nothing arrives for so many nanoseconds.
    Stall(u64),
}

impl Damage {
    /// Whether the bytes that arrive are other ones than those that were sent, or are in other
    /// places.
    pub(crate) const fn is_corruption(self) -> bool {
        matches!(self, Self::Flip(_) | Self::Remove(_) | Self::Insert(_))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) offset: u64,
    pub(crate) damage: Damage,
    pub(crate) fault: Option<FaultId>,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    End,
}

#[derive(Debug)]
struct Flying {
    at: u64,
    piece: Piece,
}

/// Bytes from a writer to a reader: bounded, in order, after a while.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// What writer and reader together may hold; more waits.
    pub(crate) capacity: u64,
    pub(crate) written: u64,
    /// Of what was written, what has arrived or was lost.
    pub(crate) arrived: u64,
    flying: VecDeque<Flying>,
    /// Bytes in there.
    under_way: u64,
    last_at: u64,
    /// The path carries what was written before until then.
    pub(crate) busy_until: u64,
    inbox: BytesMut,
    /// The writer has ended the stream.
    pub(crate) finished: bool,
    ended: bool,
    pub(crate) writer_error: Option<io::ErrorKind>,
    pub(crate) reader_error: Option<io::ErrorKind>,
    /// The reader has closed: what arrives is refused.
    pub(crate) abandoned: bool,
    pub(crate) silent: bool,
    pub(crate) stalled_until: u64,
    pub(crate) stall_fault: Option<FaultId>,
    placed: Vec<Placed>,
    pub(crate) reader: Option<Waker>,
    /// The task that looks for bytes again and again, if it stays awake, and in which turn it did last.
    pub(crate) looking: Option<(TaskId, u64)>,
    pub(crate) writer: Option<Waker>,
    /// The writer has more to write than there was room for when it last tried.
    pub(crate) wanting: bool,
    /// Since when it waits for a third of all to be free.
    pub(crate) full_since: Option<u64>,
    /// Of what was written, what the reader's system has acknowledged.
    acknowledged: u64,
    outage: Option<Outage>,
}

/// A time in which the path loses everything. What was lost is sent again, each time after twice the
/// time, so that bytes move again only after the end of it.
#[derive(Clone, Copy, Debug)]
struct Outage {
    until: u64,
    /// How long the sender waits before it sends something for the second time.
    patience: u64,
    /// When what was lost arrives; `None` if nothing was lost yet.
    resumes: Option<u64>,
    fault: Option<FaultId>,
}

impl Outage {
    /// When what is lost at a time is sent again with success.
    fn resumes(&mut self, lost: u64) -> u64 {
        let (until, mut patience) = (self.until, self.patience.max(1));
        *self.resumes.get_or_insert_with(|| {
            let mut at = lost;
            while at < until {
                at = at.saturating_add(patience);
                patience = patience.saturating_mul(2);
            }
            at
        })
    }
}

/// What an arrival has come to.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) damages: Vec<(Damage, Option<FaultId>)>,
}

impl Pipe {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            written: 0,
            arrived: 0,
            flying: VecDeque::new(),
            under_way: 0,
            last_at: 0,
            busy_until: 0,
            inbox: BytesMut::new(),
            finished: false,
            ended: false,
            writer_error: None,
            reader_error: None,
            abandoned: false,
            silent: false,
            stalled_until: 0,
            stall_fault: None,
            placed: Vec::new(),
            reader: None,
            looking: None,
            writer: None,
            wanting: false,
            full_since: None,
            acknowledged: 0,
            outage: None,
        }
    }

    /// Notes what the reader's system has acknowledged: as much of what has arrived as it has room for,
    /// which is half of what the connection holds. Whether that is more than before.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let room = self.capacity.div_ceil(2);
        let acknowledged = self.arrived.min(self.taken().saturating_add(room));
        let moved = acknowledged > self.acknowledged;
        self.acknowledged = self.acknowledged.max(acknowledged);
        moved
    }

    /// How many bytes were written that the reader's system has not acknowledged.
    pub(crate) fn unsent(&self) -> u64 {
        self.written.saturating_sub(self.acknowledged)
    }

    /// From now on the path loses everything for a while; when what is on its way arrives instead.
    pub(crate) fn lose_until(
        &mut self,
        now: u64,
        until: u64,
        patience: u64,
        fault: Option<FaultId>,
    ) -> Vec<u64> {
        let mut outage = Outage { until, patience, resumes: None, fault };
        let mut late = Vec::new();
        if self.flying.iter().any(|flying| flying.at > now) {
            let delay = outage.resumes(now) - now;
            for flying in self.flying.iter_mut().filter(|flying| flying.at > now) {
                flying.at = flying.at.saturating_add(delay);
                late.push(flying.at);
            }
            self.last_at = self.last_at.saturating_add(delay);
            self.busy_until = self.busy_until.max(now).saturating_add(delay);
        }
        self.outage = Some(outage);
        late
    }

    /// When what is written now gets on its way, and the fault if that is not now.
    pub(crate) fn leaves(&mut self, now: u64) -> (u64, Option<FaultId>) {
        let Some(outage) = &mut self.outage else { return (now, None) };
        if now >= outage.until && outage.resumes.is_none_or(|resumes| resumes <= now) {
            self.outage = None;
            return (now, None);
        }
        (outage.resumes(now), outage.fault)
    }

    /// Of what was written, what the reader has read.
    pub(crate) fn taken(&self) -> u64 {
        self.arrived.saturating_sub(self.inbox.len() as u64)
    }

    /// How many bytes the writer may write now. A little room that has come free is no room yet,
    /// as with TCP: else bytes would trickle one by one.
    pub(crate) fn room(&self) -> u64 {
        let room = self.capacity.saturating_sub(self.held());
        let least = WINDOW.min(self.capacity.div_ceil(2));
        let least =
            if self.full_since.is_some() { least.max(self.capacity.div_ceil(3)) } else { least };
        if room < least { 0 } else { room }
    }

    /// Bytes leave; gives when they will arrive at the earliest.
    pub(crate) fn send(&mut self, piece: Piece, at: u64) -> u64 {
        self.last_at = self.last_at.max(at);
        if let Piece::Bytes(bytes) = &piece {
            self.written += bytes.len() as u64;
            self.under_way += bytes.len() as u64;
        }
        self.flying.push_back(Flying { at: self.last_at, piece });
        self.last_at
    }

    /// What is written into a dead wire.
    pub(crate) fn lose(&mut self, piece: &Piece) {
        if let Piece::Bytes(bytes) = piece {
            self.written += bytes.len() as u64;
            self.under_way += bytes.len() as u64;
        }
    }

    pub(crate) fn place(&mut self, placed: Placed) {
        let at = self.placed.partition_point(|other| other.offset <= placed.offset);
        self.placed.insert(at, placed);
    }

    /// Whether something arrives now; `Err` is when to look again.
    pub(crate) fn is_due(&self, now: u64) -> Result<bool, u64> {
        match self.flying.front() {
            Some(front) if front.at <= now && self.stalled_until > now => Err(self.stalled_until),
            Some(front) => Ok(front.at <= now),
            None => Ok(false),
        }
    }

    /// The next piece arrives, up to the first damage in it; what follows stays under way.
    pub(crate) fn arrive(&mut self, noise: impl Fn(u64) -> u8) -> Arrival {
        let mut arrival = Arrival::default();
        let Some(Flying { at, piece }) = self.flying.pop_front() else { return arrival };
        let Piece::Bytes(mut bytes) = piece else {
            self.ended = true;
            return arrival;
        };
        self.under_way -= bytes.len() as u64;
        let end = self.arrived + bytes.len() as u64;
        let Some(placed) = self.placed.first().copied().filter(|placed| placed.offset < end) else {
            self.arrived = end;
            self.take_in(bytes, &mut arrival);
            return arrival;
        };
        self.placed.remove(0);
        let before = placed.offset.saturating_sub(self.arrived);
        let head = bytes.split_to(usize::try_from(before).unwrap_or(bytes.len()));
        self.arrived += head.len() as u64;
        self.take_in(head, &mut arrival);
        match placed.damage {
            Damage::Flip(mask) if !bytes.is_empty() => {
                let flipped = bytes[0] ^ mask.max(1);
                bytes.advance(1);
                self.arrived += 1;
                self.take_in(Bytes::copy_from_slice(&[flipped]), &mut arrival);
            }
            Damage::Remove(count) => {
                let gone = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
                bytes.advance(gone);
                self.arrived += gone as u64;
            }
            Damage::Insert(count) => {
                let noise: Vec<u8> = (0..count).map(noise).collect();
                self.take_in(noise.into(), &mut arrival);
            }
            Damage::Reset | Damage::End | Damage::Silence => bytes.clear(),
            Damage::Flip(_) | Damage::Stall(_) => {}
        }
        arrival.damages.push((placed.damage, placed.fault));
        if !bytes.is_empty() {
            self.under_way += bytes.len() as u64;
            self.flying.push_front(Flying { at, piece: Piece::Bytes(bytes) });
        }
        if placed.damage == Damage::End {
            self.clear();
            self.ended = true;
            self.silent = true;
        }
        arrival
    }

    fn take_in(&mut self, bytes: Bytes, arrival: &mut Arrival) {
        if bytes.is_empty() || self.abandoned {
            return;
        }
        self.inbox.extend_from_slice(&bytes);
        arrival.bytes.push(bytes);
    }

    /// Whatever is under way arrives at `latest`, if it would arrive later.
    pub(crate) fn hurry(&mut self, now: u64, latest: u64) {
        self.busy_until = self.busy_until.min(now);
        self.last_at = self.last_at.min(latest);
        for flying in &mut self.flying {
            flying.at = flying.at.min(latest);
        }
    }

    /// Nothing more is damaged; whether something was held up.
    pub(crate) fn forget_damage(&mut self, now: u64) -> bool {
        self.placed.clear();
        self.outage = None;
        let held = self.stalled_until > now;
        self.stalled_until = self.stalled_until.min(now);
        held
    }

    /// Nothing arrives any more.
    pub(crate) fn clear(&mut self) {
        self.flying.clear();
        self.under_way = 0;
        self.placed.clear();
    }

    /// The reader takes at most `limit` bytes; `None` if there is nothing to tell yet.
    pub(crate) fn read(&mut self, into: &mut BytesMut, limit: usize) -> Option<usize> {
        if self.inbox.is_empty() {
            return self.ended.then_some(0);
        }
        let count = limit.min(self.inbox.len());
        into.extend_from_slice(&self.inbox[..count]);
        self.inbox.advance(count);
        Some(count)
    }

    /// Whether the reader has taken all that has come.
    pub(crate) fn is_taken(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Bytes that were written and that the reader has not taken.
    pub(crate) fn held(&self) -> u64 {
        self.under_way + self.inbox.len() as u64
    }
}
