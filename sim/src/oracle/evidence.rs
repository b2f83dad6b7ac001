//! Everything that the oracles judge by: plain data that a run leaves behind.

use gridmux_core::limits::Limits;
use gridmux_core::timings::Timings;

use super::inside::{Farewell, Inside, Wire};
use crate::history::{CallId, Entry};
use crate::script::{Fault, Script};

/// What a run has left behind. All times are simulated nanoseconds, but for those that are called
/// `clock`, which are what a node's own monotonic clock showed.
///
/// From [`Phases::heal`] on, no fault of the script acts between nodes of the core any more, save
/// for what was done to connections before: these may stay silent or stalled. Faults that were
/// tied to a point of the protocol which has not come by then never come. A path that is
/// squeezed still holds 256 bytes at least.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What was to happen. The number of a call is its place among [`Script::calls`].
    pub script: Script,
    /// The durations that all nodes have run with.
    pub timings: Timings,
    /// The limits that all nodes have run with.
    pub limits: Limits,
    /// What the applications have seen, in order. Of a node that is not [`NodeKind::Ours`]
    /// nothing need be here.
    ///
    /// [`NodeKind::Ours`]: crate::script::NodeKind::Ours
    pub entries: Vec<Entry>,
    /// The faults that have come, in any order.
    pub fired: Vec<Fired>,
    /// By node, its lives in order: [`Entry::life`] is the place in it. A second process of a
    /// node's name is a life, too.
    pub lives: Vec<Vec<NodeLife>>,
    /// The connections between the nodes, in the order in which they were made.
    pub connections: Vec<ConnectionLife>,
    /// What the nodes knew of their links, in order.
    pub views: Vec<LinkView>,
    /// All attempts to connect, in order.
    pub dials: Vec<DialAttempt>,
    /// When the parts of the run began.
    pub phases: Phases,
    /// The pairs of nodes of the core at [`Phases::quiet`], each once.
    pub pairs: Vec<PairState>,
    /// The living nodes of the core at [`Phases::quiet`], each once.
    pub gauges: Vec<Gauge>,
    /// By node, what its wall clock is ahead of the right time after the healing, in nanoseconds.
    pub walls: Vec<i64>,
    /// Calls whose cancel has left in the same message as the call itself.
    pub stillborn: Vec<CallId>,
    /// The links that nodes of ours have given up because they missed a sign of life.
    pub silences: Vec<Silence>,
    /// The links that nodes of ours have given up because their writes stood still.
    pub stalls: Vec<Stall>,
    /// The times of more than 3 s in which nodes of ours wanted to write on their links, found no room,
    /// and nothing moved.
    pub standstills: Vec<Standstill>,
    /// The pings of links between nodes of ours, in the order in which they were dealt with.
    pub pings: Vec<LinkPing>,
    /// What came of what was read, by connection and end, of nodes of ours.
    pub intakes: Vec<Intake>,
    /// The calls that nodes of ours have read cancels of, by connection and end, in the order of the
    /// muxes, with what they have sent for them all the same.
    pub needless: Vec<Needless>,
    /// The credits that callers have written for items, by call and time, in the order of the
    /// times, as far as the call was known by its opening message.
    pub credits: Vec<(CallId, u64)>,
    /// The beginnings of what nodes of ours have written, by connection and end, if they were kept.
    pub streams: Vec<Stream>,
    /// When there was nothing left to happen before the run was over.
    pub starved_at: Option<u64>,
    /// What the machines have shown, to the end.
    pub inside: Inside,
    /// How the end went.
    pub farewell: Farewell,
    /// What the monitors of the wire have found, to the end.
    pub wire: Wire,
}

/// A fault that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The place of its line in [`Script::lines`].
    pub line: usize,
    /// When it came; damage may meet its bytes later.
    pub at: u64,
    /// When it was taken back: its own end, or the healing if that was earlier. For a crash or a
    /// shutdown, when the node was started again; [`u64::MAX`] for never. As `at` for what is
    /// done in a moment.
    pub until: u64,
}

/// One life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLife {
    /// When its process started.
    pub born: u64,
    /// When its grid was started, from which on it dials and is dialled.
    pub started: Option<u64>,
    /// When it ended, if it has.
    pub died: Option<u64>,
}

/// One connection, as the network saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLife {
    /// Who has dialled, and who has accepted.
    pub nodes: [usize; 2],
    /// The how-manieth lives of the two.
    pub lives: [u64; 2],
    /// When it was made, before any byte of it.
    pub opened_at: u64,
    /// When the acceptor wrote the ConnectResponse that makes it a link.
    pub accepted_at: Option<u64>,
    /// When the dialler had read that.
    pub agreed_at: Option<u64>,
    /// When the acceptor wrote a ConnectResponse that refuses it.
    pub refused_at: Option<u64>,
    /// When each end dropped it or was told that it is broken, in the order of `nodes`; an end
    /// whose process has died, when that was.
    pub broken_at: [Option<u64>; 2],
}

/// A change of what `PeerHandle::watch` says at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Whose view it is.
    pub node: usize,
    /// The how-manieth life of it.
    pub life: u64,
    /// The other node.
    pub peer: usize,
    /// When it was seen.
    pub at: u64,
    /// What the node's clock showed.
    pub clock: u64,
    /// Whether the link is up.
    pub up: bool,
}

/// A node has tried to connect: `Connector::connect` was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialAttempt {
    /// Who has dialled.
    pub from: usize,
    /// The how-manieth life of it.
    pub life: u64,
    /// Whom.
    pub to: usize,
    /// When.
    pub at: u64,
    /// What the dialler's clock showed.
    pub clock: u64,
    /// When it failed or was given up without a connection; `None` if there is one.
    pub over: Option<u64>,
}

/// A moment at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Simulated time.
    pub at: u64,
    /// What the node's clock showed.
    pub clock: u64,
}

/// A sign of life that a link must show (PROTOCOL.md section 7.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Any byte.
    Bytes,
    /// An answer to a ping.
    Pongs,
}

/// A node has given a link up because it missed a sign of life of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Who.
    pub node: usize,
    /// Of whom.
    pub peer: usize,
    /// What.
    pub missed: Missed,
    /// When it gave up.
    pub at: Mark,
    /// When it had taken the last such sign, at an instant before; if there was none, the first
    /// bytes of the connection.
    pub last: Mark,
    /// Something of what had come was not what was sent.
    pub falsified: bool,
}

/// A node has given a link up because its writes stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Who.
    pub node: usize,
    /// Of whom.
    pub peer: usize,
    /// When.
    pub at: u64,
    /// When its socket had taken bytes last, at an instant before, or the peer's system had acknowledged
    /// some.
    pub moved: u64,
}

/// A time in which a node wanted to write and nothing moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// Who.
    pub node: usize,
    /// To whom.
    pub peer: usize,
    /// When bytes had moved last, or it had read some, or had found no room.
    pub from: u64,
    /// When bytes moved again, or the connection ended.
    pub until: u64,
    /// The longest time before on this connection in which nothing it had written moved.
    pub longest_before: u64,
}

/// A ping of a link that has come to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPing {
    /// Who was to answer.
    pub node: usize,
    /// Whom.
    pub peer: usize,
    /// When it had read the ping.
    pub asked: u64,
    /// When it had written a pong; `None` if it had written all that it had, and no pong.
    pub answered: Option<u64>,
    /// WebSocket messages which it began to write at a later instant, ahead of the pong; pings and pongs
    /// are not counted.
    pub behind: u64,
}

/// What a node has sent for a call whose caller takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needless {
    /// Who.
    pub node: usize,
    /// Whom.
    pub peer: usize,
    /// When it had read the cancel.
    pub at: u64,
    /// Messages over 16 KiB which it began to write at a later instant.
    pub messages: u64,
}

/// What an end of a connection has taken in, and what it has made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Whose end.
    pub node: usize,
    /// Who is at the other one.
    pub peer: usize,
    /// The most bytes that the node had room for in a buffer that it reads into, counted beyond
    /// those that had come.
    pub room: u64,
    /// The bytes that had come on the connection by then.
    pub came: u64,
    /// All bytes that came on it.
    pub bytes: u64,
    /// Messages that came, those that were merged one by one.
    pub heard: u64,
    /// Messages that the node has sent because of others, or of ends of its own calls.
    pub replies: u64,
    /// Calls that it has made.
    pub opened: u64,
    /// Something of what had come was not what was sent.
    pub falsified: bool,
}

/// The beginning of what a node has written on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Who.
    pub node: usize,
    /// To whom.
    pub peer: usize,
    /// The place of the connection in [`Evidence::connections`].
    pub connection: usize,
    /// Whether the node has dialled.
    pub dialled: bool,
    /// The bytes, from the head of the upgrade on.
    pub bytes: Vec<u8>,
}

impl Stream {
    /// What follows the head of the upgrade, if all of that is there.
    pub(super) fn frames(&self) -> Option<&[u8]> {
        const END: &[u8] = b"\r\n\r\n";
        let at = self.bytes.windows(END.len()).position(|window| window == END)?;
        self.bytes.get(at + END.len()..)
    }
}

/// When the parts of a run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Everything heals.
    pub heal: u64,
    /// The probes are made: [`heal_bound`](super::heal_bound) after the healing, or later.
    pub probe: u64,
    /// The applications drop what they have open.
    pub drain: u64,
    /// Everything should be at rest: the states and gauges are of this time.
    pub quiet: u64,
}

/// How a pair of nodes of the core has ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairState {
    /// The two.
    pub nodes: [usize; 2],
    /// Whether each says that it is connected with the other.
    pub connected: [bool; 2],
    /// Their connections that are open at one end at least: places in
    /// [`Evidence::connections`].
    pub open: Vec<usize>,
}

/// What a node holds at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Which.
    pub node: usize,
    /// Calls that are open, in both directions, by its figures.
    pub open_calls: u64,
    /// Bytes queued to send.
    pub queued_bytes: u64,
    /// Bytes received and not taken.
    pub received_bytes: u64,
    /// Bytes of requests whose handlers run.
    pub handler_bytes: u64,
    /// Timers of its calls.
    pub call_timers: u64,
    /// Timers that it has armed with the system.
    pub system_timers: u64,
    /// Tasks of the grid and of handlers, without those of the scripted callers.
    pub tasks: u64,
    /// As many tasks there were with this number of peers and not one call.
    pub tasks_at_rest: u64,
}

impl Evidence {
    /// The faults that have come.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&Fault, Fired)> {
        self.fired.iter().filter_map(|fired| match &self.script.lines.get(fired.line)?.deed {
            crate::script::Deed::Fault(fault) => Some((fault, *fired)),
            _ => None,
        })
    }

    /// When a byte between two nodes was changed, taken out or put in.
    pub(super) fn corruptions(&self, one: usize, other: usize) -> impl Iterator<Item = u64> {
        let is_between = move |fault: &Fault| match fault {
            Fault::Damage { from, to, damage, .. } => {
                damage.is_corruption() && [(one, other), (other, one)].contains(&(*from, *to))
            }
            _ => false,
        };
        self.faults().filter(move |(fault, _)| is_between(fault)).map(|(_, fired)| fired.at)
    }

    /// When a life of a node ended.
    pub(super) fn died(&self, node: usize, life: u64) -> Option<u64> {
        self.lives.get(node)?.get(usize::try_from(life).ok()?)?.died
    }

    /// Whether a life of a node has ended at a time or before.
    pub(super) fn is_dead(&self, node: usize, life: u64, by: u64) -> bool {
        self.died(node, life).is_some_and(|died| died <= by)
    }

    /// The life that a node leads at a time: the youngest that has not ended.
    fn life_at(&self, node: usize, at: u64) -> Option<(u64, NodeLife)> {
        let lives = (0_u64..).zip(self.lives.get(node)?.iter().copied());
        lives.filter(|(_, life)| life.born <= at && life.died.is_none_or(|died| died > at)).last()
    }

    /// When the grid was started of the life that a node leads at rest.
    pub(super) fn last_start(&self, node: usize) -> u64 {
        let life = self.life_at(node, self.phases.quiet);
        life.map_or(0, |(_, life)| life.started.unwrap_or(u64::MAX))
    }

    /// The connections that this life of a node has accepted from another node, in order, with
    /// the times of that.
    pub(super) fn accepted(
        &self,
        acceptor: usize,
        life: u64,
        dialler: usize,
    ) -> Vec<(u64, &ConnectionLife)> {
        let taken = |connection: &ConnectionLife| {
            connection.nodes == [dialler, acceptor] && connection.lives[1] == life
        };
        let mut accepted: Vec<_> = self
            .connections
            .iter()
            .filter(|connection| taken(connection))
            .filter_map(|connection| Some((connection.accepted_at?, connection)))
            .collect();
        // Of those of one instant, the one that is replaced is closed at once.
        accepted.sort_by_key(|(at, one)| (*at, one.broken_at[1].unwrap_or(u64::MAX)));
        accepted
    }

    /// The connections of two nodes, with the place of the first one's end.
    pub(super) fn between(
        &self,
        node: usize,
        peer: usize,
    ) -> impl Iterator<Item = (&ConnectionLife, usize)> {
        self.connections.iter().filter_map(move |connection| match connection.nodes {
            [one, other] if (one, other) == (node, peer) => Some((connection, 0)),
            [one, other] if (one, other) == (peer, node) => Some((connection, 1)),
            _ => None,
        })
    }

    /// What a node has seen of its link with a peer.
    pub(super) fn views_of(&self, node: usize, peer: usize) -> impl Iterator<Item = &LinkView> {
        self.views.iter().filter(move |view| (view.node, view.peer) == (node, peer))
    }

    /// Whether a node's link with a peer was up at a time, as far as it had seen.
    pub(super) fn is_up(&self, node: usize, peer: usize, at: u64) -> bool {
        self.life_at(node, at).is_some_and(|(life, _)| self.was_up(node, life, peer, at))
    }

    /// The same of one life of it.
    pub(super) fn was_up(&self, node: usize, life: u64, peer: usize, at: u64) -> bool {
        let views = self.views_of(node, peer).filter(|view| view.life == life && view.at <= at);
        views.last().is_some_and(|view| view.up)
    }
}
