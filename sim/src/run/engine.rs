//! Runs a script, phase by phase: boot, chaos, heal, probe, drain, quiesce, shutdown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gridmux_core::handle::take_bugs;
use gridmux_core::link::LinkState;

use super::facts::Facts;
use super::nodes::Nodes;
use super::recorder::{Recorder, Then};
use super::troubles::Relief;
use super::{Options, bounds};
use crate::app::{self, Stage, Witness};
use crate::census::FaultId;
use crate::history::CallId;
use crate::keyed::{Keyed, Purpose, name_key};
use crate::script::{Call, Deed, Fault, Line, Moment, Script};
use crate::trace::Happening;
use crate::world::{Death, Shared, Step};

/// Nothing takes so long: what is left then is stuck.
const QUIET_WITHIN: u64 = 100_000_000_000;
const SHUTDOWN_WITHIN: u64 = 20_000_000_000;
const GRACE: Duration = Duration::from_secs(1);
const SECOND: u64 = 1_000_000_000;

/// What a cue stands for.
#[derive(Clone, Debug)]
enum Act {
    Start(usize),
    Line(usize),
    Relief(Relief),
    Tick,
}

/// A run under way.
pub(crate) struct Engine<'a> {
    pub(crate) script: &'a Script,
    options: &'a Options,
    pub(crate) shared: Arc<Shared>,
    stage: Arc<Stage>,
    pub(crate) nodes: Nodes,
    pub(crate) recorder: Recorder,
    acts: Vec<Act>,
    /// What lifts faults that last still.
    active: BTreeSet<usize>,
    faults: Vec<Option<FaultId>>,
    calls: Vec<Option<CallId>>,
    healed: bool,
    pub(crate) facts: Facts,
    pub(crate) checkpoints: Vec<u64>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(script: &'a Script, options: &'a Options) -> Self {
        let names = (0..script.nodes.len()).map(|node| script.node_name(node)).collect();
        let shared = Shared::new(script.seed, names, script.knobs.clone());
        let stage = Stage::new(Keyed::new(script.seed));
        let recorder = Recorder::new(options.traced);
        shared.world().observer = Some(Box::new(recorder.clone()));
        let nodes = Nodes::new(&shared, &stage, script);
        let mut engine = Self {
            script,
            options,
            shared,
            stage,
            nodes,
            recorder,
            acts: Vec::new(),
            active: BTreeSet::new(),
            faults: Vec::new(),
            calls: Vec::new(),
            healed: false,
            facts: Facts::default(),
            checkpoints: Vec::new(),
        };
        engine.read_script();
        engine
    }

    /// Schedules every line.
    fn read_script(&mut self) {
        for node in 0..self.script.nodes.len() {
            // Nodes boot within half a second of each other.
            let key = [node as u64, 0, 9];
            let at = Keyed::new(self.script.seed).below(Purpose::Clock, key, SECOND / 2);
            self.schedule(at, Act::Start(node));
        }
        for (index, line) in self.script.lines.iter().enumerate() {
            let (fault, call) = match &line.deed {
                Deed::Fault(fault) => (Some(self.shared.world().census.place(fault.row())), None),
                Deed::Call(call) => (None, Some(self.stage.add(call.clone()))),
                Deed::Cancel(_) => (None, None),
            };
            self.faults.push(fault);
            self.calls.push(call);
            match &line.moment {
                Moment::At(at) => {
                    self.schedule(*at, Act::Line(index));
                }
                Moment::When(point) => {
                    let then = match (&line.deed, fault) {
                        (Deed::Fault(Fault::Damage { damage, .. }), Some(fault)) => {
                            Then::Damage(*damage, fault)
                        }
                        _ => {
                            self.acts.push(Act::Line(index));
                            Then::Cue(self.acts.len() as u64 - 1)
                        }
                    };
                    self.recorder.wait_for(point.clone(), then);
                }
            }
        }
    }

    fn schedule(&mut self, at: u64, act: Act) -> usize {
        self.acts.push(act);
        let number = self.acts.len() - 1;
        self.shared.world().cue(at, number as u64);
        number
    }

    /// Lifts a fault after a while.
    pub(crate) fn later(&mut self, wait: u64, relief: Relief) {
        let at = self.now().saturating_add(wait);
        let number = self.schedule(at, Act::Relief(relief));
        self.active.insert(number);
    }

    pub(crate) fn now(&self) -> u64 {
        self.shared.world().now
    }

    /// Runs everything, and leaves what is known of it in the facts.
    pub(crate) fn run(&mut self) {
        take_bugs();
        self.schedule(SECOND, Act::Tick);
        self.phase("chaos");
        self.go_until(self.script.heal);
        self.heal();
        self.probe();
        self.drain();
        self.shut_all_down();
        self.collect();
    }

    fn phase(&self, name: &'static str) {
        self.recorder.note(self.now(), Happening::Phase(name));
    }

    // ---- time ----

    /// Lets everything happen until `limit`.
    fn go_until(&mut self, limit: u64) {
        self.go_until_that(limit, |_| false);
    }

    /// Lets everything happen until `limit`, or until `reached` says so, which is asked at each
    /// turn of the clock's second; whether it has.
    fn go_until_that(&mut self, limit: u64, reached: impl Fn(&Self) -> bool) -> bool {
        loop {
            if self.facts.busy_at.is_some() {
                return false;
            }
            match self.shared.step(limit) {
                Step::Done => self.inspect(),
                Step::Cue(number) => {
                    let ticks = self.act(number as usize);
                    if ticks && reached(self) {
                        return true;
                    }
                }
                Step::Quiet => return reached(self),
                Step::Busy => {
                    self.facts.busy_at = Some(self.now());
                    return false;
                }
            }
        }
    }

    /// Looks into the machines, in those runs that have time for it.
    fn inspect(&mut self) {
        let events = {
            let world = self.shared.world();
            if world.events % 1024 == 0 {
                let digest = world.digested();
                drop(world);
                self.checkpoints.push(digest);
                return;
            }
            world.events
        };
        if self.options.invariants && events % 4 == 0 {
            self.check_invariants();
        }
    }

    fn check_invariants(&mut self) {
        if let Err(problem) = self.nodes.check_invariants()
            && self.facts.invariant.is_none()
        {
            self.facts.invariant = Some((self.now(), problem));
        }
    }

    /// Does what a cue stands for; whether it was the tick of a second.
    fn act(&mut self, number: usize) -> bool {
        match self.acts[number].clone() {
            Act::Start(node) => self.start(node),
            Act::Line(index) => self.line(index),
            Act::Relief(relief) => {
                if self.active.remove(&number) {
                    self.relieve(&relief);
                }
            }
            Act::Tick => {
                self.measure();
                let next = self.now() + SECOND / 5;
                // The same act again: ticks are many.
                self.shared.world().cue(next, number as u64);
                return true;
            }
        }
        false
    }

    fn measure(&mut self) {
        for gauge in self.nodes.gauges() {
            let peaks = &mut self.facts.peaks;
            match peaks.iter_mut().find(|peak| (peak.node, peak.peer) == (gauge.node, gauge.peer)) {
                None => peaks.push(gauge),
                Some(peak) => {
                    peak.outgoing = peak.outgoing.max(gauge.outgoing);
                    peak.incoming = peak.incoming.max(gauge.incoming);
                    peak.queued = peak.queued.max(gauge.queued);
                    peak.received = peak.received.max(gauge.received);
                }
            }
        }
    }

    // ---- lines ----

    fn line(&mut self, index: usize) {
        let Line { deed, .. } = &self.script.lines[index];
        match deed {
            Deed::Call(call) => {
                if let Some(id) = self.calls[index] {
                    self.call(id, call);
                }
            }
            Deed::Cancel(name) => {
                let named = |line: &Line| matches!(&line.deed, Deed::Call(call) if call.name == *name);
                if let Some(line) = self.script.lines.iter().position(named)
                    && let Some(id) = self.calls[line]
                {
                    self.stage.cancel(id);
                }
            }
            Deed::Fault(fault) => {
                if !self.healed
                    && let Some(id) = self.faults[index]
                {
                    self.note_fault(fault);
                    self.strike(fault, id);
                }
            }
        }
    }

    fn call(&mut self, id: CallId, call: &Call) {
        let Some(running) = self.nodes.get(call.from) else { return };
        let Some(Some(peer)) = running.peers.get(call.to) else { return };
        let witness = Witness::of_caller(&self.stage, &running.runtime, id);
        let performance = app::perform(witness, Arc::new(call.clone()), peer.clone());
        running.runtime.spawn_keyed(name_key(&call.name), performance);
    }

    pub(crate) fn start(&mut self, node: usize) {
        self.nodes.start(node);
        self.recorder.note(self.now(), Happening::Born { node });
    }

    pub(crate) fn note_death(&self, node: usize) {
        self.recorder.note(self.now(), Happening::Died { node });
    }

    fn note_fault(&self, fault: &Fault) {
        let (nodes, lasts) = fault.extent();
        let text = format!("{fault:?}");
        self.recorder.note(self.now(), Happening::Fault { row: fault.row(), text, nodes, lasts });
    }

    /// A node shuts down gracefully, and comes back as another process.
    pub(crate) fn shut_down(&mut self, node: usize, grace: u64, back: Option<u64>, id: FaultId) {
        let Some(running) = self.nodes.get(node) else { return };
        self.shared.world().census.felt(id);
        let (grid, shared) = (running.grid.clone(), self.shared.clone());
        let number = self.acts.len() as u64;
        self.acts.push(Act::Relief(Relief::ShutDown { node, back }));
        self.active.insert(number as usize);
        running.runtime.spawn_keyed(name_key("shutdown"), async move {
            grid.shutdown(Duration::from_nanos(grace)).await;
            let mut world = shared.world();
            let now = world.now;
            world.cue(now, number);
        });
    }

    // ---- phases ----

    pub(crate) const fn has_healed(&self) -> bool {
        self.healed
    }

    pub(crate) fn is_core(&self, node: usize) -> bool {
        self.script.core.contains(&node)
    }

    /// After the healing, nodes outside the core stay as they are.
    pub(crate) fn is_lost(&self, node: usize) -> bool {
        self.healed && !self.is_core(node)
    }

    pub(crate) fn is_cut_for_good(&self, from: usize, to: usize) -> bool {
        self.is_lost(from) || self.is_lost(to)
    }

    fn heal(&mut self) {
        self.phase("heal");
        self.facts.phases.heal = self.now();
        self.healed = true;
        self.recorder.forget_points();
        self.shared.world().forget_damage();
        for number in std::mem::take(&mut self.active) {
            let Act::Relief(relief) = self.acts[number].clone() else { continue };
            if matches!(relief, Relief::ShutDown { .. }) {
                // It goes on by itself.
                self.active.insert(number);
            } else if relief.is_inside(|node| self.is_core(node)) {
                self.relieve(&relief);
            }
        }
        for node in 0..self.script.nodes.len() {
            if self.is_core(node) {
                self.start(node);
                self.shared.world().tamper(node, None, |hands| hands.set_skew(0));
            } else if Keyed::new(self.script.seed).chance(Purpose::Swarm, [node as u64, 77, 0], 500_000) {
                self.nodes.kill(node, Death::Silent);
            } else {
                self.cut_off(node);
            }
        }
        let bound = self.facts.phases.heal + bounds::healing(self.script, &self.nodes.timings);
        let connected = self.go_until_that(bound, Self::is_connected);
        self.facts.phases.connected = connected.then(|| self.now());
    }

    fn cut_off(&mut self, node: usize) {
        for other in (0..self.script.nodes.len()).filter(|other| *other != node) {
            let mut world = self.shared.world();
            world.block(node, other, true, None);
            world.block(other, node, true, None);
        }
    }

    fn core_pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<'_> {
        let core = &self.script.core;
        let pair = |from: usize| core.iter().map(move |to| (from, *to));
        core.iter().flat_map(move |from| pair(*from)).filter(|(from, to)| from != to)
    }

    fn is_connected(&self) -> bool {
        self.core_pairs().all(|(from, to)| {
            let peer = self.nodes.get(from).and_then(|running| running.peers[to].as_ref());
            peer.is_some_and(|peer| peer.state() == LinkState::Connected)
        })
    }

    /// One call and one stream each way on every pair of the core, which must succeed.
    fn probe(&mut self) {
        self.phase("probe");
        self.facts.phases.probe = self.now();
        if self.facts.phases.connected.is_none() {
            return;
        }
        let pairs: Vec<_> = self.core_pairs().collect();
        for (from, to) in pairs {
            for call in super::probes(from, to) {
                let id = self.stage.add(call.clone());
                self.call(id, &call);
            }
        }
        let until = self.now() + bounds::probe(self.script);
        let first = self.calls.iter().flatten().count();
        self.go_until_that(until, |engine| {
            engine.stage.running().iter().all(|id| *id < first)
        });
    }

    /// Applications drop what they still have; afterwards nothing may be left of any call.
    fn drain(&mut self) {
        self.phase("drain");
        self.facts.phases.drain = self.now();
        for id in self.stage.running() {
            self.stage.cancel(id);
        }
        let until = self.now() + QUIET_WITHIN;
        let quiet = self.go_until_that(until, Self::is_quiet);
        self.facts.phases.quiet = quiet.then(|| self.now());
        self.facts.gauges = self.nodes.gauges();
        self.check_invariants();
    }

    fn is_quiet(&self) -> bool {
        let quiet = |(_, running): (usize, &super::nodes::Running)| {
            let mut peers = running.peers.iter().flatten();
            peers.all(|peer| peer.inspect(|peer| peer.is_quiescent()))
        };
        self.stage.running().is_empty() && self.nodes.alive().all(quiet)
    }

    fn shut_all_down(&mut self) {
        self.phase("shutdown");
        self.facts.phases.shutdown = self.now();
        let down: Arc<std::sync::Mutex<BTreeSet<usize>>> = Arc::default();
        let mut alive = BTreeSet::new();
        for (node, running) in self.nodes.alive() {
            alive.insert(node);
            let (grid, down) = (running.grid.clone(), down.clone());
            running.runtime.spawn_keyed(name_key("the end"), async move {
                grid.shutdown(GRACE).await;
                down.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(node);
            });
        }
        let until = self.now() + SHUTDOWN_WITHIN;
        let is_down = |_: &Self| {
            down.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len() == alive.len()
        };
        self.go_until_that(until, is_down);
        let down = down.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        self.facts.not_shut_down = alive.difference(&down).copied().collect();
        let grids = self.nodes.take_all();
        drop(grids);
        self.go_until(self.now() + 2 * SECOND);
        self.facts.tasks_left = self.shared.world().tasks();
        if self.facts.tasks_left > 0 { eprintln!("{:?}", self.shared.world().task_names()); }
        self.facts.phases.end = self.now();
    }

    fn collect(&mut self) {
        let facts = &mut self.facts;
        facts.history = self.stage.history.entries();
        facts.calls = self.stage.calls().iter().map(|call| (**call).clone()).collect();
        facts.links = self.nodes.links();
        facts.lives = std::mem::take(&mut self.nodes.lives);
        facts.bugs = take_bugs();
        let mut record = self.recorder.record();
        facts.connections = std::mem::take(&mut record.lives);
        facts.dials = std::mem::take(&mut record.dials);
        facts.panics = std::mem::take(&mut self.shared.world().panics);
    }
}
