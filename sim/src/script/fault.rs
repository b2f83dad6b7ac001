//! What befalls nodes and paths.

use crate::world::{Damage, Death, DialFate};

/// A row of the fault table.
pub type Row = &'static str;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection of two nodes breaks; the second learns it `late` nanoseconds after the
    /// first, and goes on receiving what is under way.
    Reset {
        /// Who learns it at once.
        one: usize,
        /// Who learns it later.
        other: usize,
        /// Nanoseconds.
        late: u64,
    },
    /// Something happens to what one node sends another next.
    Damage {
        /// Who sends.
        from: usize,
        /// Who receives.
        to: usize,
        /// What happens.
        damage: Damage,
    },
    /// Nothing that one sends the other arrives for a while, on the connection that they have.
    Stall {
        /// Who sends.
        from: usize,
        /// Who receives.
        to: usize,
        /// Nanoseconds.
        lasts: u64,
    },
    /// Nothing gets from any node of one group to any of the other for a while; both ways.
    Partition {
        /// One group; the other one is everybody else.
        group: Vec<usize>,
        /// Nanoseconds.
        lasts: u64,
        /// Whether what the group sends gets through.
        one_way: bool,
    },
    /// What becomes of dials for a while.
    Dial {
        /// Who dials.
        from: usize,
        /// Who is dialled.
        to: usize,
        /// What becomes of it.
        fate: DialFate,
        /// Nanoseconds.
        lasts: u64,
    },
    /// The path gets slow and its buffers small, for a while.
    Squeeze {
        /// Who sends.
        from: usize,
        /// Who receives.
        to: usize,
        /// Bytes a second.
        rate: u64,
        /// Nanoseconds.
        lasts: u64,
    },
    /// The path gets so slow, and holds so much, that a full one takes longer than a silence may last.
    Narrow {
        /// Who sends.
        from: usize,
        /// Who receives.
        to: usize,
        /// Bytes a second.
        rate: u64,
        /// Bytes that writer and reader of a connection hold.
        buffer: u64,
        /// Nanoseconds.
        lasts: u64,
    },
    /// Everything is lost between two nodes for a while, both ways, on the connection that they have. It is
    /// sent again as TCP does: each time after twice the time, so that bytes move only some time after the
    /// end.
    Outage {
        /// One.
        one: usize,
        /// The other.
        other: usize,
        /// Nanoseconds.
        lasts: u64,
    },
    /// A node dies, and starts again.
    Crash {
        /// Which.
        node: usize,
        /// How its connections end.
        how: Death,
        /// Nanoseconds until it starts again; `None`: it stays dead.
        back: Option<u64>,
    },
    /// A process is stopped for a while.
    Pause {
        /// Which.
        node: usize,
        /// Nanoseconds.
        lasts: u64,
    },
    /// A monotonic clock jumps ahead.
    Jump {
        /// Whose.
        node: usize,
        /// Nanoseconds.
        ahead: u64,
    },
    /// A wall clock is moved.
    Skew {
        /// Whose.
        node: usize,
        /// Nanoseconds, ahead or back.
        by: i64,
    },
    /// A monotonic clock runs at so many millionths for a while.
    Rate {
        /// Whose.
        node: usize,
        /// Millionths.
        rate: u64,
        /// Nanoseconds.
        lasts: u64,
    },
    /// A node shuts down gracefully, and starts again as another process.
    Shutdown {
        /// Which.
        node: usize,
        /// Nanoseconds.
        grace: u64,
        /// Nanoseconds from the end of the shutdown until it starts again; `None`: never.
        back: Option<u64>,
    },
    /// A second process of a node's name dials those that the node dials, for a while.
    Twin {
        /// Whose name.
        node: usize,
        /// Nanoseconds.
        lasts: u64,
    },
    /// The machine of a node's link panics once, as after a bug of ours: it costs that link, and
    /// nothing else.
    Panic {
        /// Whose.
        node: usize,
        /// The link with this one.
        peer: usize,
        /// In what an application does next, not in what drives the link.
        using: bool,
    },
    /// A node takes a peer out of its grid, and adds it again after a while.
    Remove {
        /// Who.
        node: usize,
        /// Whom.
        peer: usize,
        /// Nanoseconds.
        lasts: u64,
    },
}

/// A point of the protocol: a byte of the how-manieth message of an op on a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Who sends the message.
    pub from: usize,
    /// Who is to receive it.
    pub to: usize,
    /// Its op by name, as PROTOCOL.md writes it; `Head` for the HTTP upgrade, `Any` for any.
    pub op: String,
    /// The how-manieth on this way, from 1.
    pub nth: u64,
    /// The byte of the WebSocket message, from 0, that the damage comes in front of.
    pub byte: u64,
}

/// Times that are equally far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Nanoseconds from one to the next, not 0.
    pub apart: u64,
    /// The first of them, in nanoseconds.
    pub first: u64,
    /// None comes after this.
    pub last: u64,
}

impl Times {
    /// So many are the most that a script may have.
    pub const MOST: u64 = 10_000;

    /// How many they are.
    pub const fn count(self) -> u64 {
        (self.last.saturating_sub(self.first) / self.apart).saturating_add(1)
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = u64> {
        (0..self.count()).map(move |n| self.first + n * self.apart)
    }
}

/// When a fault comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At a time, in nanoseconds.
    At(u64),
    /// Again and again; no call does that.
    Every(Times),
    /// At a point of the protocol.
    When(Point),
}

impl Fault {
    /// Its row in the fault table.
    pub const fn row(&self) -> Row {
        match self {
            Self::Reset { late: 0, .. } | Self::Damage { damage: Damage::Reset, .. } => "B4",
            Self::Reset { .. } => "B6",
            Self::Damage { damage: Damage::End, .. } => "B5",
            Self::Damage { damage: Damage::Silence, .. } => "B3",
            Self::Damage { damage: Damage::Stall(_), .. } | Self::Stall { .. } => "B2",
            Self::Damage { .. } => "B7",
            // Half-open links with a return.
            Self::Partition { .. } => "B3",
            Self::Dial { .. } => "D4",
            Self::Squeeze { .. } => "B8",
            Self::Narrow { .. } => "B12",
            Self::Outage { .. } => "B13",
            Self::Crash { back: None, .. } => "N7",
            Self::Crash { back: Some(back), .. } if *back < 1_000_000 => "N2",
            Self::Crash { .. } => "N1",
            Self::Pause { .. } => "N3",
            Self::Jump { .. } | Self::Skew { .. } => "C1",
            Self::Rate { .. } => "C2",
            Self::Shutdown { .. } => "D7",
            Self::Twin { .. } => "D3",
            Self::Remove { .. } => "A7",
            Self::Panic { .. } => "N9",
        }
    }
}

impl Fault {
    /// The nodes that it is about, and how long it lasts, in nanoseconds.
    pub fn extent(&self) -> (Vec<usize>, u64) {
        match self {
            Self::Reset { one, other, late } => (vec![*one, *other], *late),
            Self::Outage { one, other, lasts } => (vec![*one, *other], *lasts),
            Self::Damage { from, to, .. } => (vec![*from, *to], 0),
            Self::Stall { from, to, lasts }
            | Self::Dial { from, to, lasts, .. }
            | Self::Squeeze { from, to, lasts, .. }
            | Self::Narrow { from, to, lasts, .. } => (vec![*from, *to], *lasts),
            Self::Partition { group, lasts, .. } => (group.clone(), *lasts),
            Self::Crash { node, back, .. } => (vec![*node], back.unwrap_or(0)),
            Self::Pause { node, lasts }
            | Self::Rate { node, lasts, .. }
            | Self::Twin { node, lasts } => (vec![*node], *lasts),
            Self::Jump { node, .. } | Self::Skew { node, .. } => (vec![*node], 0),
            Self::Shutdown { node, grace, .. } => (vec![*node], *grace),
            Self::Remove { node, peer, lasts } => (vec![*node, *peer], *lasts),
            Self::Panic { node, peer, .. } => (vec![*node, *peer], 0),
        }
    }
}
