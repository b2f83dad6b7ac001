//! The two-sided harness.

use std::time::Duration;

use bytes::Bytes;

use super::joint::Joint;
use super::{End, PairBuilder, Which};
use crate::error::LinkError;
use crate::event::{CloseHow, LinkCommand, LinkId};
use crate::link::LinkState;
use crate::rng::WeakRng;
use crate::time::{Instant, Now};
use crate::wire::Timestamp;

/// How the two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Frames are handed over whole.
    Frames,
    /// Bytes through the WebSocket channel, at most so many at a time.
    Bytes(usize),
    /// Bytes in pieces of 1 to 40, by this seed.
    Split(u64),
}

/// Two nodes and virtual time.
#[derive(Debug)]
pub struct Pair {
    /// The current moment.
    pub now: Instant,
    /// The two nodes, the dialler first.
    pub ends: [End; 2],
    /// How long everything is under way.
    pub latency: Duration,
    /// The sides whose arrivals are held back.
    pub held: [bool; 2],
    /// How many bytes each side's transport takes before the other has received them; a frame
    /// goes whole or not at all.
    pub room: [usize; 2],
    /// Whether dial attempts reach the other side; otherwise they hang.
    pub reachable: bool,
    /// Steps in which the two have to come to rest.
    pub patience: u64,
    mode: Mode,
    wall_start: Timestamp,
    joints: Vec<Joint>,
    pieces: WeakRng,
    seed: u64,
}

impl Pair {
    /// Settings to begin with.
    pub fn builder() -> PairBuilder {
        PairBuilder::default()
    }

    pub(super) fn new(ends: [End; 2], now: Instant, mode: Mode, seed: u64) -> Self {
        let split = if let Mode::Split(seed) = mode { seed } else { 0 };
        Self {
            now,
            ends,
            latency: Duration::ZERO,
            held: [false; 2],
            room: [usize::MAX; 2],
            reachable: true,
            patience: 100_000_000,
            mode,
            wall_start: Timestamp { seconds: 1_795_230_600, nanos: 0 },
            joints: Vec::new(),
            pieces: WeakRng::new(split),
            seed,
        }
    }

    /// The side that dials.
    pub fn dialler(&mut self) -> &mut End {
        &mut self.ends[0]
    }

    /// The side that is dialled.
    pub fn acceptor(&mut self) -> &mut End {
        &mut self.ends[1]
    }

    /// One of the two.
    pub fn end(&mut self, which: Which) -> &mut End {
        &mut self.ends[which.index()]
    }

    /// Moves one end's wall clock, in seconds.
    pub fn shift_wall(&mut self, which: Which, seconds: i64) {
        self.ends[which.index()].wall_offset = i128::from(seconds) * 1_000_000_000;
    }

    /// Sets what the wall clock shows now.
    pub fn set_wall(&mut self, wall: Timestamp) {
        let nanos = wall.to_unix_nanos() - i128::from(self.now.as_nanos());
        self.wall_start = Timestamp::from_unix_nanos(nanos);
    }

    /// Both clocks of one end.
    pub fn clocks(&self, which: Which) -> Now {
        let nanos = self.wall_start.to_unix_nanos()
            + i128::from(self.now.as_nanos())
            + self.ends[which.index()].wall_offset;
        Now { instant: self.now, wall: Timestamp::from_unix_nanos(nanos) }
    }

    /// Opens both start gates.
    pub fn start(&mut self) {
        for which in Which::BOTH {
            let now = self.clocks(which);
            self.end(which).grid.start(now);
        }
    }

    /// Whether both ends are connected.
    pub fn is_connected(&mut self) -> bool {
        self.ends.iter_mut().all(|end| end.peer().state() == LinkState::Connected)
    }

    /// Whether nothing of any call is left at either end.
    pub fn is_quiescent(&mut self) -> bool {
        self.ends.iter_mut().all(|end| end.peer().is_quiescent())
    }

    /// Cuts all connections: both ends see it at once.
    pub fn cut(&mut self) {
        for which in Which::BOTH {
            self.fail(which);
        }
        self.joints.clear();
        self.drive();
    }

    /// Cuts all connections for one end; the other sees nothing of it.
    pub fn cut_for(&mut self, which: Which) {
        self.fail(which);
        self.drive();
    }

    fn fail(&mut self, which: Which) {
        let now = self.clocks(which);
        for joint in &mut self.joints {
            let error = LinkError::Transport("cut".into());
            joint.fail(which, &mut self.ends[which.index()], now, error);
        }
    }

    /// Begins the graceful end of one node.
    pub fn shutdown(&mut self, which: Which, grace: Duration) {
        let now = self.clocks(which);
        self.end(which).grid.shutdown(now, grace);
        self.drive();
    }

    /// Hands `frame` to one end as if the other had sent it.
    ///
    /// # Panics
    /// If there is no link.
    pub fn inject(&mut self, to: Which, frame: &[u8]) {
        let now = self.clocks(to);
        let end = self.end(to);
        let link = end.peer().link().expect("a link");
        end.peer().handle_frame(now, link, &Bytes::copy_from_slice(frame));
        self.drive();
    }

    /// Lets everything happen that can happen at this moment.
    ///
    /// # Panics
    /// If it never comes to rest.
    pub fn drive(&mut self) {
        let mut steps = 0_u64;
        while self.step() {
            steps += 1;
            assert!(steps < self.patience, "the pair never comes to rest");
        }
    }

    /// Lets `duration` pass, stopping at every arrival and wake-up.
    ///
    /// # Panics
    /// If an end wants to be woken again and again at one moment.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        self.drive();
        let mut at_this_moment = 0;
        while let Some(next) = self.next_moment().filter(|at| *at <= until) {
            at_this_moment = if next > self.now { 0 } else { at_this_moment + 1 };
            assert!(at_this_moment < 100, "an end spins: it wants to be woken now, for ever");
            self.now = self.now.max(next);
            self.wake();
            self.drive();
        }
        self.now = until;
        self.wake();
        self.drive();
    }

    /// Lets `duration` pass at once, as for processes that were stopped. What has arrived
    /// meanwhile is handed over first, or, with `timers_first`, after the wake-up.
    pub fn jump(&mut self, duration: Duration, timers_first: bool) {
        self.now = self.now.after(duration);
        if timers_first {
            self.wake();
        }
        self.drive();
        self.wake();
        self.drive();
    }

    /// Wakes both ends, whether they have asked for it or not.
    pub fn wake(&mut self) {
        for which in Which::BOTH {
            let now = self.clocks(which);
            let end = &mut self.ends[which.index()];
            end.grid.handle_timeout(now);
            for joint in &mut self.joints {
                joint.wake(which, end, now);
            }
        }
    }

    /// The next arrival or wake-up.
    pub fn next_moment(&self) -> Option<Instant> {
        let mut moments = Vec::new();
        for which in Which::BOTH {
            let end = &self.ends[which.index()];
            moments.extend(end.grid.poll_timeout(self.now).map(|(at, _)| at));
            for joint in &self.joints {
                moments.extend(joint.poll_timeout(which));
                if !self.held[which.index()] {
                    moments.extend(joint.next_arrival(which));
                }
            }
        }
        moments.into_iter().min()
    }

    fn step(&mut self) -> bool {
        let mut progress = false;
        for which in Which::BOTH {
            progress |= self.end(which).collect();
            while let Some(command) = self.end(which).peer().poll_command() {
                self.obey(which, command);
                progress = true;
            }
            let now = self.clocks(which);
            let arrival = self.now.after(self.latency);
            let index = which.index();
            for at in 0..self.joints.len() {
                let limits = (self.piece(), self.room[index]);
                let end = &mut self.ends[index];
                progress |= self.joints[at].transmit(which, end, (now, arrival), limits);
                if !self.held[index] {
                    progress |= self.joints[at].arrive(which, end, now);
                }
            }
        }
        self.joints.retain(|joint| !joint.is_over());
        progress
    }

    fn piece(&mut self) -> usize {
        match self.mode {
            Mode::Frames => usize::MAX,
            Mode::Bytes(piece) => piece,
            Mode::Split(_) => self.pieces.range(1, 40) as usize,
        }
    }

    fn obey(&mut self, which: Which, command: LinkCommand) {
        let now = self.clocks(which);
        match command {
            LinkCommand::Dial { link } => {
                self.ends[which.index()].dials.push(self.now);
                if self.reachable {
                    self.connect(link, now);
                }
            }
            LinkCommand::Close { link, how, reason } => {
                self.end(which).closed.push(reason);
                self.close(which, link, how);
            }
        }
    }

    fn connect(&mut self, link: LinkId, now: Now) {
        let joint = match self.mode {
            Mode::Frames => Joint::by_frames(&mut self.ends[0], link, now),
            Mode::Bytes(_) | Mode::Split(_) => {
                Joint::by_bytes(&mut self.ends, link, self.seed, now)
            }
        };
        self.joints.push(joint);
    }

    fn close(&mut self, which: Which, link: LinkId, how: CloseHow) {
        let now = self.clocks(which);
        let end = &mut self.ends[which.index()];
        match self.joints.iter_mut().find(|joint| joint.link(which) == Some(link)) {
            Some(joint) => joint.close(which, end, now, how),
            // It has gone already: there is nothing to close, but a drain waits for the news.
            None if how != CloseHow::Abort => {
                end.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
            }
            None => {}
        }
    }
}
