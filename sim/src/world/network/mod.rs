//! The network between the nodes: names, paths, connections.

mod pipe;
mod transport;

use std::collections::VecDeque;
use std::task::Waker;

use super::lives::LifeId;
use crate::census::FaultId;

pub use self::pipe::Damage;
pub(crate) use self::pipe::{Piece, Pipe, Placed, WINDOW};
pub(crate) use self::transport::{
    Dialling, SimListener, SimTransport, accept_transport, open_transport,
};

/// A connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Who has dialled.
    Dialler,
    /// Who has accepted.
    Acceptor,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// What becomes of dials on a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialFate {
    /// They come through.
    #[default]
    Works,
    /// They fail at once, as if nobody listened.
    Refused,
    /// They never end.
    Hangs,
    /// They take so many nanoseconds, and come through.
    Takes(u64),
}

/// The way from one node to another; the way back is another one.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// How long bytes travel, at least and at most, in nanoseconds.
    pub(crate) latency: (u64, u64),
    /// Bytes a second; 0 for any number.
    pub(crate) rate: u64,
    pub(crate) rate_fault: Option<FaultId>,
    /// It is felt by what waits so many nanoseconds for its turn.
    pub(crate) rate_felt: u64,
    /// How many bytes writer and reader of a connection hold.
    pub(crate) buffer: u64,
    /// Nothing comes through.
    pub(crate) blocked: bool,
    pub(crate) block_fault: Option<FaultId>,
    pub(crate) dial: DialFate,
    pub(crate) dial_fault: Option<FaultId>,
    /// Connections that were dialled on it.
    pub(crate) dialled: u64,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) dialler: LifeId,
    pub(crate) acceptor: LifeId,
    /// Node numbers, by end.
    pub(crate) nodes: [usize; 2],
    /// The how-manieth of its path.
    pub(crate) ordinal: u64,
    /// By the end that writes.
    pub(crate) pipes: [Pipe; 2],
    /// Whether the end still holds its transport.
    pub(crate) open: [bool; 2],
}

impl Conn {
    /// What `end` writes into.
    pub(crate) fn out(&mut self, end: End) -> &mut Pipe {
        &mut self.pipes[end as usize]
    }

    /// What `end` reads from.
    pub(crate) fn into(&mut self, end: End) -> &mut Pipe {
        &mut self.pipes[end.other() as usize]
    }

    pub(crate) fn node(&self, end: End) -> usize {
        self.nodes[end as usize]
    }

    pub(crate) fn life(&self, end: End) -> LifeId {
        match end {
            End::Dialler => self.dialler,
            End::Acceptor => self.acceptor,
        }
    }

    /// What its choices are drawn with, together with an offset.
    pub(crate) fn key(&self, end: End) -> u64 {
        let (from, to) = (self.nodes[0] as u64, self.nodes[1] as u64);
        (from << 40) | (to << 24) | (self.ordinal << 1) | end as u64
    }

    pub(crate) fn is_over(&self) -> bool {
        self.open == [false; 2]
    }
}

/// A port that a life listens on.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) life: LifeId,
    pub(crate) backlog: VecDeque<ConnId>,
    pub(crate) waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    paths: Vec<Path>,
    conns: Vec<Conn>,
    /// By node.
    pub(crate) listening: Vec<Option<Listening>>,
}

impl Network {
    pub(crate) fn new(nodes: usize, path: &Path) -> Self {
        Self {
            nodes,
            paths: vec![path.clone(); nodes * nodes],
            conns: Vec::new(),
            listening: (0..nodes).map(|_| None).collect(),
        }
    }

    pub(crate) fn path(&self, from: usize, to: usize) -> &Path {
        &self.paths[from * self.nodes + to]
    }

    pub(crate) fn path_mut(&mut self, from: usize, to: usize) -> &mut Path {
        &mut self.paths[from * self.nodes + to]
    }

    pub(crate) fn conn(&mut self, id: ConnId) -> &mut Conn {
        &mut self.conns[id.0 as usize]
    }

    /// How many of the bytes that an end has written the other one has read; `None` if that cannot
    /// be told.
    pub(crate) fn taken(&mut self, id: ConnId, end: End) -> Option<u64> {
        let pipe = self.conn(id).out(end);
        (!pipe.silent).then(|| pipe.taken())
    }

    /// The connections on a path, with the ends that it leads to.
    pub(crate) fn on_path(&self, from: usize, to: usize) -> Vec<(ConnId, End)> {
        let on_path = |(id, conn): (ConnId, &Conn)| {
            let leads = |end: &End| conn.node(*end) == to && conn.node(end.other()) == from;
            Some((id, End::BOTH.into_iter().find(leads)?))
        };
        self.conns().filter_map(on_path).collect()
    }

    fn conns(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        let id = |(index, conn)| (ConnId(u32::try_from(index).unwrap_or(u32::MAX)), conn);
        self.conns.iter().enumerate().map(id)
    }

    /// Nothing is damaged or held up any more; where something may arrive now.
    pub(crate) fn forget_damage(&mut self, now: u64) -> Vec<(ConnId, End)> {
        let mut late = Vec::new();
        for (index, conn) in self.conns.iter_mut().enumerate() {
            let id = ConnId(u32::try_from(index).unwrap_or(u32::MAX));
            for end in End::BOTH {
                if conn.into(end).forget_damage(now) {
                    late.push((id, end));
                }
            }
        }
        late
    }

    /// The newest connection of two nodes that is open at an end, whoever has dialled.
    pub(crate) fn between(&self, one: usize, other: usize) -> Option<ConnId> {
        let ours = |conn: &Conn| conn.nodes == [one, other] || conn.nodes == [other, one];
        let newest = self.conns.iter().rposition(|conn| ours(conn) && !conn.is_over())?;
        Some(ConnId(u32::try_from(newest).unwrap_or(u32::MAX)))
    }

    pub(crate) fn connect(
        &mut self,
        dialler: LifeId,
        from: usize,
        acceptor: LifeId,
        to: usize,
    ) -> ConnId {
        let (there, back) = (self.path(from, to).buffer, self.path(to, from).buffer);
        let path = self.path_mut(from, to);
        path.dialled += 1;
        let ordinal = path.dialled;
        self.conns.push(Conn {
            dialler,
            acceptor,
            nodes: [from, to],
            ordinal,
            pipes: [Pipe::new(there), Pipe::new(back)],
            open: [true; 2],
        });
        ConnId(u32::try_from(self.conns.len() - 1).unwrap_or(u32::MAX))
    }
}
