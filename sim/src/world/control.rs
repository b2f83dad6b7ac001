//! What befalls nodes and paths: births, deaths, pauses, partitions, clocks.

use std::sync::Arc;
use std::task::Waker;

use super::clock::{NOMINAL, NodeClock};
use super::executor::Task;
use super::lives::{Death, LifeId, NOBODY, Paused};
use super::network::{ConnId, Damage, DialFate, End, Placed};
use super::queue::Event;
use super::{Inner, Shared, SimRuntime};
use crate::census::FaultId;
use crate::keyed::Purpose;

/// A narrow path is felt by what waits so long for its turn: longer than a write may stand still
/// (PROTOCOL.md section 4).
const FELT: u64 = 3_000_000_000;

/// What was lost is sent again after so long and a round trip, as Linux does.
const RESENT: u64 = 200_000_000;

impl Shared {
    /// A node's process starts.
    pub(crate) fn start(self: &Arc<Self>, node: usize) -> SimRuntime {
        let mut world = self.world();
        let (keyed, knobs, now) = (world.keyed, world.knobs.clone(), world.now);
        let lives = world.lives.lives_of(node);
        let draw = |what, bound: u64| {
            keyed.below(Purpose::Clock, [node as u64, lives, what], bound.saturating_add(1))
        };
        let origin = draw(1, knobs.origin);
        let rate = NOMINAL - knobs.drift
            + keyed.below(Purpose::Clock, [node as u64, 0, 2], 2 * knobs.drift + 1);
        // The wall clock is the machine's: it outlives the process.
        let skew = keyed.below(Purpose::Clock, [node as u64, 0, 3], 2 * knobs.skew + 1);
        let skew = i64::try_from(skew).unwrap_or(0) - i64::try_from(knobs.skew).unwrap_or(0);
        let clock = NodeClock::new(now, origin, rate, knobs.grain, skew);
        let life = world.lives.begin(node, clock);
        world.digest(&[8, now, node as u64]);
        drop(world);
        let workers = knobs.workers.then(Arc::default);
        SimRuntime { shared: self.clone(), life, workers }
    }

    /// A second process of a node's name starts, which does not take the first one's place.
    pub(crate) fn start_beside(self: &Arc<Self>, node: usize) -> SimRuntime {
        let current = self.world().lives.current(node);
        let runtime = self.start(node);
        self.world().lives.set_current(node, current);
        runtime
    }

    /// A node's process ends, without a word of its own.
    pub(crate) fn kill(&self, node: usize, how: Death) {
        let life = self.world().lives.current(node);
        life.into_iter().for_each(|life| self.kill_life(life, how));
    }

    /// This process ends.
    pub(crate) fn kill_life(&self, life: LifeId, how: Death) {
        let mut world = self.world();
        let node = world.lives.get(life).node;
        world.lives.end(life, how);
        let gone: Vec<Task> = world.executor.remove_all(life);
        let listener = world.stop_listening(node, life);
        drop(world);
        // Their destructors close connections, and wake one another.
        drop((gone, listener));
    }

    /// The system stops a process; its clocks go on.
    pub(crate) fn pause(&self, node: usize, fault: Option<FaultId>) {
        let mut world = self.world();
        if let Some(life) = world.lives.current(node) {
            let life = world.lives.get_mut(life);
            life.paused.get_or_insert_default().fault = fault;
        }
    }

    /// Wakes every task, for nothing.
    pub(crate) fn wake_all(&self) {
        let wakers = self.world().executor.wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether a node's process is stopped.
    pub(crate) fn is_paused(&self, node: usize) -> bool {
        let world = self.world();
        let life = world.lives.current(node);
        life.is_some_and(|life| world.lives.get(life).paused.is_some())
    }

    /// The process goes on.
    pub(crate) fn resume(&self, node: usize) {
        let mut world = self.world();
        let Some(life) = world.lives.current(node) else { return };
        let paused = world.lives.get_mut(life).paused.take();
        let Paused { tasks, .. } = paused.unwrap_or_default();
        let now = world.now;
        for id in tasks {
            let keyed = world.keyed;
            let Some(task) = world.executor.get_mut(id) else { continue };
            let tie = keyed.draw(Purpose::Tie, task.turn_key(now));
            world.queue.push(now, tie, Event::Poll(id));
        }
    }
}

impl Inner {
    /// Nothing gets from one node to another any more, or does again.
    pub(crate) fn block(&mut self, from: usize, to: usize, blocked: bool, fault: Option<FaultId>) {
        let path = self.network.path_mut(from, to);
        path.blocked = blocked;
        path.block_fault = fault.filter(|_| blocked);
        if blocked {
            return;
        }
        let now = self.now;
        self.network
            .on_path(from, to)
            .into_iter()
            .for_each(|(id, end)| self.push_arrival(id, end, now));
    }

    /// What becomes of dials from now on.
    pub(crate) fn set_dial(
        &mut self,
        from: usize,
        to: usize,
        fate: DialFate,
        fault: Option<FaultId>,
    ) {
        let path = self.network.path_mut(from, to);
        path.dial = fate;
        path.dial_fault = fault.filter(|_| fate != DialFate::Works);
    }

    /// The connection of two nodes breaks; the second one learns it after `late` nanoseconds, and
    /// until then goes on receiving what is under way.
    pub(crate) fn reset(&mut self, one: usize, other: usize, late: u64, fault: Option<FaultId>) {
        let Some(id) = self.network.between(one, other) else { return };
        let conn = self.network.conn(id);
        let first = if conn.nodes[0] == one { End::Dialler } else { End::Acceptor };
        if conn.open[first as usize] || conn.open[first.other() as usize] {
            fault.into_iter().for_each(|fault| self.census.felt(fault));
        }
        if late > 0 {
            let now = self.now;
            let pipe = self.network.conn(id).into(first.other());
            pipe.stalled_until = now.saturating_add(late / 2);
            // Its writer is told at once; what it has written is still on its way.
            let wakers = self.break_writer_only(id, first);
            wakers.into_iter().for_each(Waker::wake);
        } else {
            self.break_end(id, first, 0);
        }
        self.break_end(id, first.other(), late);
    }

    fn break_writer_only(&mut self, id: ConnId, end: End) -> Vec<Waker> {
        let conn = self.network.conn(id);
        let kind = std::io::ErrorKind::ConnectionReset;
        conn.out(end).writer_error = Some(kind);
        conn.into(end).reader_error = Some(kind);
        conn.into(end).clear();
        let wakers = [conn.into(end).reader.take(), conn.out(end).writer.take()];
        wakers.into_iter().flatten().collect()
    }

    /// Does something to what one node sends another next, on the connection that they have.
    pub(crate) fn damage_next(
        &mut self,
        from: usize,
        to: usize,
        damage: Damage,
        fault: Option<FaultId>,
    ) {
        let Some(id) = self.network.between(from, to) else { return };
        let conn = self.network.conn(id);
        let end = if conn.nodes[0] == from { End::Dialler } else { End::Acceptor };
        let pipe = conn.out(end);
        let offset = pipe.written;
        pipe.place(Placed { offset, damage, fault });
    }

    /// Nothing that one node sends another arrives for a while, on the connection that they have.
    pub(crate) fn stall(&mut self, from: usize, to: usize, nanos: u64, fault: Option<FaultId>) {
        let until = self.now.saturating_add(nanos);
        let Some(id) = self.network.between(from, to) else { return };
        let conn = self.network.conn(id);
        let end = if conn.nodes[0] == from { End::Dialler } else { End::Acceptor };
        let pipe = conn.out(end);
        pipe.stalled_until = pipe.stalled_until.max(until);
        pipe.stall_fault = fault;
    }

    /// A path carries so many bytes a second from now on.
    pub(crate) fn squeeze(&mut self, from: usize, to: usize, rate: u64, fault: Option<FaultId>) {
        let path = self.network.path_mut(from, to);
        path.rate = rate;
        path.rate_fault = fault;
        path.rate_felt = 0;
        if fault.is_some() {
            return;
        }
        // What has waited for its turn on the path is on its way now.
        let (now, latest) = (self.now, self.network.path(from, to).latency.1);
        for (id, end) in self.network.on_path(from, to) {
            self.network.conn(id).into(end).hurry(now, now.saturating_add(latest));
            self.push_arrival(id, end, now.saturating_add(latest));
        }
    }

    /// A path carries so many bytes a second from now on, and holds so many.
    pub(crate) fn narrow(
        &mut self,
        from: usize,
        to: usize,
        (rate, buffer): (u64, u64),
        fault: Option<FaultId>,
    ) {
        self.squeeze(from, to, rate, fault);
        let path = self.network.path_mut(from, to);
        path.rate_felt = if fault.is_some() { FELT } else { 0 };
        path.buffer = buffer;
        for (id, end) in self.network.on_path(from, to) {
            let pipe = self.network.conn(id).into(end);
            pipe.capacity = buffer;
            if pipe.room() > 0 {
                pipe.writer.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// Everything is lost between two nodes for a while, on the connection that they have, and is sent
    /// again.
    pub(crate) fn lose(&mut self, one: usize, other: usize, nanos: u64, fault: Option<FaultId>) {
        let Some(id) = self.network.between(one, other) else { return };
        let now = self.now;
        let ways =
            [(one, other), (other, one)].map(|(from, to)| self.network.path(from, to).latency.1);
        let patience = ways.into_iter().fold(RESENT, u64::saturating_add);
        for end in End::BOTH {
            let pipe = self.network.conn(id).out(end);
            let late = pipe.lose_until(now, now.saturating_add(nanos), patience, fault);
            if !late.is_empty() {
                fault.into_iter().for_each(|fault| self.census.felt(fault));
            }
            late.into_iter().for_each(|at| self.push_arrival(id, end.other(), at));
        }
    }

    /// How many bytes an end has written that the other one's system has not acknowledged.
    pub(crate) fn unsent(&mut self, id: ConnId, end: End) -> u64 {
        self.network.conn(id).out(end).unsent()
    }

    /// Damage that was placed and has not happened will not happen.
    pub(crate) fn forget_damage(&mut self) {
        let now = self.now;
        let late = self.network.forget_damage(now);
        late.into_iter().for_each(|(id, end)| self.push_arrival(id, end, now));
    }

    /// What the wall clock of a node is ahead, in nanoseconds.
    pub(crate) fn wall_skew(&self, node: usize) -> i64 {
        self.lives.current(node).map_or(0, |life| self.wall_skew_of(life))
    }

    /// The same of one life of a node.
    pub(crate) fn wall_skew_of(&self, life: LifeId) -> i64 {
        self.lives.get(life).clock.skew()
    }

    /// Armed timers, and tasks of the grid and of handlers, of a node that runs.
    pub(crate) fn held_by(&self, life: LifeId) -> (usize, usize) {
        (self.timers.armed(life).len(), self.executor.count(life))
    }

    /// Whether every task waits for something that has not come: none is to run, and no timer is
    /// overdue.
    pub(crate) fn is_waiting(&self) -> bool {
        let overdue = |(life, at): (LifeId, u64)| {
            life != NOBODY && self.lives.get(life).clock.monotonic(self.now) >= at
        };
        !self.queue.has_polls() && !self.timers.all_armed().any(overdue)
    }

    /// Whether an end has nothing under way to its machine, and nothing that waits for room.
    pub(crate) fn is_settled(&mut self, id: ConnId, end: End) -> bool {
        let conn = self.network.conn(id);
        conn.into(end).is_taken() && !conn.out(end).wanting
    }

    /// The newest connection of two nodes, and the first one's end of it.
    pub(crate) fn connection(&mut self, one: usize, other: usize) -> Option<(ConnId, End)> {
        let id = self.network.between(one, other)?;
        let dialled = self.network.conn(id).nodes[0] == one;
        Some((id, if dialled { End::Dialler } else { End::Acceptor }))
    }

    /// Whether nothing will ever happen any more.
    pub(crate) fn is_starved(&self) -> bool {
        self.queue.next_at().is_none()
    }

    /// Tampers with a node's clocks, and re-arms its timers accordingly.
    pub(crate) fn tamper(
        &mut self,
        node: usize,
        fault: Option<FaultId>,
        tamper: impl FnOnce(&mut ClockHands<'_>),
    ) {
        let now = self.now;
        let Some(life) = self.lives.current(node) else { return };
        let of_life = self.lives.get_mut(life);
        of_life.clock_fault = fault;
        tamper(&mut ClockHands { clock: &mut of_life.clock, now });
        self.rearm(life);
    }

    fn rearm(&mut self, life: LifeId) {
        for (alarm, at) in self.timers.armed(life) {
            self.schedule(life, alarm, at);
        }
    }
}

/// What can be done to a node's clocks.
pub(crate) struct ClockHands<'a> {
    clock: &'a mut NodeClock,
    now: u64,
}

impl ClockHands<'_> {
    /// The monotonic clock jumps ahead by so many nanoseconds.
    pub(crate) fn jump(&mut self, ahead: u64) {
        self.clock.jump(self.now, ahead);
    }

    /// The wall clock moves by so many nanoseconds.
    pub(crate) fn skew(&mut self, by: i64) {
        self.clock.skew_by(by);
    }

    /// The wall clock is ahead by so many nanoseconds and no more.
    pub(crate) const fn set_skew(&mut self, skew: i64) {
        self.clock.set_skew(skew);
    }

    /// The monotonic clock runs at so many millionths from now on.
    pub(crate) fn rate(&mut self, rate: u64) {
        self.clock.set_rate(self.now, rate);
    }
}
