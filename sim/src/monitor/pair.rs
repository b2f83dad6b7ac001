//! All that passes between two nodes.

use std::collections::{BTreeMap, VecDeque};

use super::decode::{Body, Kind, Message, Role, Seen, Tap};
use super::judge::{Around, Judge};
use super::report::{GRAMMAR, Place, Report, Violation};
use super::rules::Generations;
use super::settings::{Conduct, Settings};

/// One connection: what is read of it, and what is under way.
#[derive(Debug)]
struct Connection {
    taps: [Tap; 2],
    judge: Judge,
    /// By sender: what is whole and not delivered.
    under_way: [VecDeque<Seen>; 2],
}

/// Watches the connections between two nodes, of which one always dials the other.
///
/// It is told of every byte when that is written, and when the other end has handled it; from
/// this it knows what each side can know. It judges only nodes that [are ours](Conduct::Ours).
///
/// ```
/// use gridmux_sim::monitor::{Kind, Monitor, Role, Settings};
///
/// let mut monitor = Monitor::new(Settings::new());
/// let connection = monitor.connect();
/// let upgrade = b"GET /minio/grid/v1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
/// let mut end = 0;
/// monitor.written(connection, Role::Dialler, upgrade, |seen| {
///     assert_eq!(seen.kind, Kind::Head(None));
///     end = seen.end;
/// });
/// monitor.delivered(connection, Role::Dialler, end);
/// monitor.flushed(connection, Role::Acceptor);
/// assert!(monitor.violations().is_empty());
/// ```
#[derive(Debug)]
pub struct Monitor {
    settings: Settings,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    generations: Generations,
    report: Report,
    /// Reused.
    seen: Vec<Seen>,
}

impl Monitor {
    /// For two nodes that have not met.
    pub fn new(settings: Settings) -> Self {
        Self {
            report: Report::new(settings.conduct),
            settings,
            connections: BTreeMap::new(),
            next: 0,
            generations: Generations::default(),
            seen: Vec::new(),
        }
    }

    /// The dialler opens a connection; later ones have higher numbers.
    pub fn connect(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        let connection = Connection {
            taps: Role::BOTH.map(Tap::new),
            judge: Judge::new(number),
            under_way: Default::default(),
        };
        self.connections.insert(number, connection);
        number
    }

    /// A side writes bytes, in any pieces. `each` is shown what they complete.
    pub fn written(
        &mut self,
        connection: u64,
        from: Role,
        bytes: &[u8],
        mut each: impl FnMut(&Seen),
    ) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        open.taps[from.index()].feed(bytes, &mut self.seen);
        let mut around = Around {
            settings: &self.settings,
            generations: &mut self.generations,
            report: &mut self.report,
        };
        for seen in self.seen.drain(..) {
            judge(&mut open.judge, connection, from, &seen, &mut around);
            each(&seen);
            open.under_way[from.index()].push_back(seen);
        }
    }

    /// The other end has handled all bytes that `from` has sent, up to this offset.
    pub fn delivered(&mut self, connection: u64, from: Role, offset: u64) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        let under_way = &mut open.under_way[from.index()];
        while let Some(seen) = under_way.pop_front_if(|seen| seen.end <= offset) {
            if let Kind::Message(message) = &seen.kind {
                open.judge.on_delivered(from, message);
            }
        }
    }

    /// One side has written all that it had queued on this connection, and has nothing received
    /// that it has not handled. Rules about what a node may no longer send hold from here, so it
    /// should be told often; without it they are not judged.
    pub fn flushed(&mut self, connection: u64, side: Role) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.judge.on_flushed(side);
        }
    }

    /// Whether it has to know now if a side is [flushed](Self::flushed), to be strict in what follows.
    pub fn is_in_doubt(&self, connection: u64) -> bool {
        self.connections.get(&connection).is_some_and(|open| open.judge.is_in_doubt())
    }

    /// What `from` sends from now on does not arrive as it was sent: the other side is judged by
    /// the form of its messages alone.
    pub fn distrust(&mut self, connection: u64, from: Role) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.judge.distrusted[from.index()] = true;
        }
    }

    /// The connection is closed at both ends: nothing of it will be written or delivered.
    pub fn closed(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// The application at `side` takes an item of a stream that `caller` has opened.
    pub fn taken(&mut self, connection: u64, side: Role, caller: Role, mux: u64) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.judge.on_taken(side, caller, mux);
        }
    }

    /// The callee of a stream takes no more input: credits go back for what arrives.
    pub fn input_dropped(&mut self, connection: u64, caller: Role, mux: u64) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.judge.on_input_dropped(caller, mux);
        }
    }

    /// What ours have done wrong so far, at most 256.
    pub fn violations(&self) -> &[Violation] {
        &self.report.violations
    }

    /// How many violations there were beyond those kept.
    pub const fn more_violations(&self) -> u64 {
        self.report.uncounted
    }

    /// Rules that nodes other than ours have broken, and how often.
    pub const fn oddities(&self) -> &BTreeMap<&'static str, u64> {
        &self.report.oddities
    }

    /// What would have been a violation but for the reason named, and how often.
    pub const fn excuses(&self) -> &BTreeMap<&'static str, u64> {
        &self.report.excuses
    }

    /// Muxes that either end may still send something on, for which the monitor keeps state.
    pub fn open_muxes(&self) -> usize {
        self.connections.values().map(|open| open.judge.open_muxes()).sum()
    }
}

fn judge(judge: &mut Judge, connection: u64, from: Role, seen: &Seen, around: &mut Around<'_>) {
    let place = Place { connection, from, offset: seen.start };
    match &seen.kind {
        Kind::Message(message) => {
            if around.settings.conduct[from.index()] == Conduct::Ours
                && let Some(id) = instance(message)
            {
                around.generations.on_instance(from, id);
            }
            judge.on_sent(from, message, seen.start, around);
        }
        Kind::Control(8) => judge.on_close_frame(from),
        Kind::Head(_) | Kind::Control(_) => {}
        Kind::Text => {
            around.report.broken(GRAMMAR, "text message", place, 0, String::new);
        }
        Kind::Broken(damage) => {
            around
                .report
                .broken(GRAMMAR, "bytes that are no message", place, 0, || format!("{damage:?}"));
        }
    }
}

/// The process that a handshake message names.
fn instance(message: &Message) -> Option<[u8; 16]> {
    match message.body.as_deref() {
        Some(Body::Connect { id, .. } | Body::ConnectResponse { id, .. }) => Some(*id),
        _ => None,
    }
}
