//! The simulated world: time, tasks and the network of all nodes, on one thread.
//!
//! Time jumps from event to event. What happens in one instant happens in an order that the seed
//! decides. Everything random is drawn by key ([`Keyed`]), so that the same seed and the same
//! deeds give the same run, event by event; a digest of everything proves it.

mod clock;
mod control;
mod executor;
mod knobs;
mod lives;
mod network;
mod queue;
mod runtime;
mod step;
mod timers;
mod traffic;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::executor::{Executor, Made, Ready, Role, TaskFuture};
use self::lives::Lives;
use self::network::{Network, Path};
use self::queue::{Event, Queue};
use self::timers::Timers;
use crate::census::Census;
use crate::effects::WorldCounts;
use crate::keyed::{Keyed, Purpose, mix};

pub(crate) use self::clock::EPOCH;
pub use self::clock::NOMINAL;
pub use self::knobs::Knobs;
pub use self::lives::{Death, LifeId};
pub use self::network::{ConnId, Damage, DialFate, End};
pub(crate) use self::network::{Dialling, Placed, SimTransport, accept_transport, open_transport};
pub use self::runtime::SimRuntime;
pub(crate) use self::step::{Step, text_of};
pub(crate) use self::traffic::{Dialled, READ_BUFFER};

/// Sees what travels, and may tamper with what was just written.
pub(crate) trait Observer: Send {
    /// A node dials; the number is that of the attempt.
    fn dialled(&mut self, dial: Dial) -> usize;
    /// An attempt has failed or was given up.
    fn dial_over(&mut self, number: usize, at: u64);
    /// A connection was made; its nodes by end.
    fn connected(&mut self, at: u64, conn: ConnId, nodes: [usize; 2], lives: [u64; 2]);
    /// An end has written bytes.
    fn wrote(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8], hits: &mut Hits);
    /// A node asks for bytes that came to this end, with a buffer of so many.
    fn asks(&mut self, conn: ConnId, end: End, room: u64);
    /// A node has taken so many bytes that came to this end; `clock` is what its own shows.
    fn taken(&mut self, at: u64, clock: u64, conn: ConnId, end: End, bytes: u64);
    /// A node has room for so many bytes where it reads what comes to this end: more than it needs
    /// at rest.
    fn offered(&mut self, at: u64, conn: ConnId, end: End, room: u64);
    /// What comes to this end is not what was sent.
    fn falsified(&mut self, conn: ConnId, end: End);
    /// Bytes have come to an end.
    fn arrived(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8]);
    /// Bytes that an end has written were acknowledged by the system of the other one.
    fn moved(&mut self, at: u64, conn: ConnId, end: End);
    /// An end has more to write than there is room for, or has that no more.
    fn wants(&mut self, at: u64, conn: ConnId, end: End, wants: bool);
    /// An end has let go of the connection, or was told that it is broken.
    fn ended(&mut self, at: u64, conn: ConnId, end: End, how: Ending);
}

/// An attempt to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial {
    pub(crate) at: u64,
    pub(crate) from: usize,
    /// The how-manieth life of the dialler.
    pub(crate) life: u64,
    pub(crate) to: usize,
    /// What the dialler's clock shows.
    pub(crate) clock: u64,
}

/// What written bytes have set off.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    /// Damage to what was written.
    pub(crate) place: Vec<Placed>,
    /// Cues that come at once.
    pub(crate) cues: Vec<Cue>,
    /// Lines whose points have come.
    pub(crate) points: Vec<usize>,
}

/// What whoever runs the world asks to be reminded of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cue {
    /// Theirs.
    pub(crate) number: u64,
    /// What its place among the events of one instant is drawn with.
    pub(crate) key: u64,
}

/// How a connection ended at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has closed its direction.
    Finished,
    /// It has dropped the connection.
    Dropped,
    /// It was told that the connection is broken.
    Broken,
}

/// The world and the list of tasks that were woken.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    ready: Arc<Ready>,
}

/// The world, to look at and to change.
pub(crate) type World<'a> = MutexGuard<'a, Inner>;

/// Everything there is.
pub(crate) struct Inner {
    pub(crate) keyed: Keyed,
    pub(crate) knobs: Knobs,
    pub(crate) names: Vec<String>,
    /// Simulated time, in nanoseconds.
    pub(crate) now: u64,
    queue: Queue,
    executor: Executor,
    timers: Timers,
    pub(crate) lives: Lives,
    pub(crate) network: Network,
    pub(crate) census: Census,
    pub(crate) counts: WorldCounts,
    pub(crate) observer: Option<Box<dyn Observer>>,
    /// Events since the beginning.
    pub(crate) events: u64,
    /// A hash over every event, every byte written and every timer.
    digest: u64,
    /// Polls in this instant.
    busy: u64,
    /// Panics that nobody caught, and bugs that the grid has caught itself.
    pub(crate) panics: Vec<String>,
}

impl Shared {
    pub(crate) fn new(seed: u64, names: Vec<String>, knobs: Knobs) -> Arc<Self> {
        let ready = Arc::new(Ready::default());
        let path = Path {
            latency: knobs.latency,
            rate: knobs.rate,
            rate_fault: None,
            rate_felt: 0,
            buffer: knobs.buffer,
            blocked: false,
            block_fault: None,
            dial: DialFate::Works,
            dial_fault: None,
            dialled: 0,
        };
        let inner = Inner {
            keyed: Keyed::new(seed),
            now: 0,
            queue: Queue::default(),
            executor: Executor::new(ready.clone()),
            timers: Timers::default(),
            lives: Lives::new(names.len()),
            network: Network::new(names.len(), &path),
            census: Census::default(),
            counts: WorldCounts::default(),
            observer: None,
            events: 0,
            digest: 0,
            busy: 0,
            panics: Vec::new(),
            names,
            knobs,
        };
        Arc::new(Self { inner: Mutex::new(inner), ready })
    }

    /// A panic of a task has poisoned nothing: tasks run without this lock.
    pub(crate) fn world(&self) -> World<'_> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) fn spawn(&mut self, life: LifeId, role: Role, key: u64, future: TaskFuture) {
        if self.lives.get(life).alive {
            self.executor.spawn(life, role, key, future);
        }
    }

    /// Has whoever runs the world asked at `at`.
    pub(crate) fn cue(&mut self, at: u64, cue: Cue) {
        let tie = self.keyed.draw(Purpose::Tie, [3, cue.key, at]);
        self.queue.push(at.max(self.now), tie, Event::Cue(cue.number));
    }

    /// What something new draws with: it is the how-manieth that the running task has made, or,
    /// outside of all tasks, that was made for the life.
    fn next_key(&mut self, life: LifeId, count: impl FnOnce(&mut Made) -> &mut u64) -> u64 {
        let (key, made) = match self.executor.running() {
            Some(task) => (task.key, &mut task.made),
            None => {
                let life = self.lives.get_mut(life);
                (life.key(), &mut life.made)
            }
        };
        let count = count(made);
        *count += 1;
        mix(key ^ mix(*count))
    }

    fn add_timer(&mut self, life: LifeId) -> u32 {
        let key = self.next_key(life, |made| &mut made.timers);
        self.timers.add(life, key)
    }

    /// What a node gets when it asks the system for random bytes.
    pub(crate) fn entropy(&mut self, life: LifeId) -> [u8; 16] {
        let key = self.next_key(life, |made| &mut made.entropy);
        let half = |half| self.keyed.draw(Purpose::Entropy, [key, half, 0]).to_le_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half(0));
        bytes[8..].copy_from_slice(&half(1));
        bytes
    }

    /// A node looks at a clock that was tampered with.
    pub(crate) fn feel_clock(&mut self, life: LifeId) {
        if let Some(fault) = self.lives.get_mut(life).clock_fault.take() {
            self.census.felt(fault);
        }
    }

    pub(crate) fn arm(&mut self, life: LifeId, timer: u32, at: u64, waker: &std::task::Waker) {
        if let Some(alarm) = self.timers.arm(timer, at, waker) {
            self.digest(&[4, self.timers.key(alarm.index()), at]);
            self.schedule(life, alarm, at);
        }
    }

    fn schedule(&mut self, life: LifeId, alarm: timers::Alarm, at: u64) {
        // A time that the clock never shows never comes.
        let Some(due) = self.lives.get(life).clock.when(at) else { return };
        let key = [self.timers.key(alarm.index()), at, 0];
        let slack = self.keyed.below(Purpose::Slack, key, self.knobs.slack + 1);
        let tie = self.keyed.draw(Purpose::Tie, key);
        self.queue.push(due.max(self.now).saturating_add(slack), tie, Event::Timer(alarm));
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.executor.live
    }

    pub(crate) fn digest(&mut self, words: &[u64]) {
        self.digest = words
            .iter()
            .fold(self.digest, |hash, word| mix(hash.wrapping_add(*word)) ^ hash.rotate_left(23));
    }

    /// The hash of everything so far.
    pub(crate) fn digested(&self) -> u64 {
        mix(self.digest ^ self.events)
    }
}
