//! Runs a script, phase by phase: boot, chaos, heal, probe, drain, quiesce, shutdown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gridmux_core::driver::runtime::Clock as _;
use gridmux_core::error::LinkError;
use gridmux_core::handle::take_bugs;
use gridmux_core::websocket::CloseCode;
use gridmux_core::wire::DecodeError;

use super::chaos::{Act, Chaos, Left};
use super::facts::Facts;
use super::nodes::Nodes;
use super::recorder::Recorder;
use super::{CHECKPOINT, Options, StepDigest};
use crate::app::{self, Stage, Witness};
use crate::history::CallId;
use crate::keyed::{Keyed, name_key};
use crate::oracle::{
    ConnectionLife, Evidence, Farewell, Inside, Mark, Missed, PairState, Peak, Phases, Wire,
    heal_bound,
};
use crate::script::{Call, Deed, Line, Moment, NodeKind, Script};
use crate::trace::Happening;
use crate::verdict::OracleId;
use crate::world::{ConnId, End, Shared, Step};

/// What is left and has got no less for so long is stuck.
const QUIET_WITHIN: u64 = 100_000_000_000;
/// No slow path takes so long for what it still carries.
const DRAINED_WITHIN: u64 = 36_000 * SECOND;
const SHUTDOWN_WITHIN: u64 = 20_000_000_000;
const GRACE: Duration = Duration::from_secs(1);
const PROBED_WITHIN: u64 = 20_000_000_000;
/// A machine is ticked after so many events, in those runs that have time for it.
const TICKED: u64 = 128;
const SECOND: u64 = 1_000_000_000;
/// Moments that are tried for one at which nothing is there for anybody.
const LOOKS: u64 = 20;

/// A run under way.
pub(crate) struct Engine<'a> {
    pub(crate) script: &'a Script,
    options: &'a Options,
    pub(crate) shared: Arc<Shared>,
    stage: Arc<Stage>,
    pub(crate) nodes: Nodes,
    pub(crate) recorder: Recorder,
    chaos: Chaos<'a>,
    calls: Vec<Option<CallId>>,
    /// The script, and the probes behind it.
    played: Script,
    phases: Phases,
    pub(crate) inside: Inside,
    farewell: Farewell,
    pub(crate) checkpoints: Vec<u64>,
    pub(crate) steps: Vec<StepDigest>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(script: &'a Script, options: &'a Options) -> Self {
        let names = (0..script.nodes.len()).map(|node| script.node_name(node)).collect();
        let shared = Shared::new(script.seed, names, script.knobs.clone());
        let stage = Stage::new(Keyed::new(script.seed));
        let recorder = Recorder::new(script, options.traced, options.invariants);
        shared.world().observer = Some(Box::new(recorder.clone()));
        let nodes = Nodes::new(&shared, &stage, script);
        let calls = calls(script, &stage);
        let chaos = Chaos::new(script, &shared, &recorder);
        Self {
            script,
            options,
            shared,
            stage,
            nodes,
            recorder,
            chaos,
            calls,
            played: script.clone(),
            phases: Phases::default(),
            inside: Inside::default(),
            farewell: Farewell::default(),
            checkpoints: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.shared.world().now
    }

    /// Runs everything; all that is known of it then.
    pub(crate) fn run(&mut self) -> Facts {
        take_bugs();
        self.chaos.schedule(SECOND, Act::Tick);
        self.phase("chaos");
        self.go_until(self.script.heal);
        self.heal();
        self.probe();
        self.drain();
        let evidence = self.evidence();
        self.shut_all_down();
        self.collect(evidence)
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
            if self.inside.busy_at.is_some() {
                return false;
            }
            let step = self.shared.step(limit);
            self.note_bugs();
            if matches!(step, Step::Done | Step::Cue(_)) {
                self.keep_digest();
            }
            match step {
                Step::Done => self.inspect(),
                Step::Cue(number) => {
                    let ticks = self.act(number);
                    if ticks && reached(self) {
                        return true;
                    }
                }
                Step::Quiet => return reached(self),
                Step::Busy => {
                    self.inside.busy_at = Some(self.now());
                    return false;
                }
            }
        }
    }

    /// Keeps when machines have panicked.
    fn note_bugs(&mut self) {
        for _ in 0..take_bugs() {
            self.inside.bugs.push(self.now());
        }
    }

    /// Keeps the digest after every 1,024 events, and after those that are asked for.
    fn keep_digest(&mut self) {
        let world = self.shared.world();
        let number = world.events;
        let kept = number.is_multiple_of(CHECKPOINT);
        let asked = self.options.steps.contains(&number);
        if !kept && !asked {
            return;
        }
        let (at, digest) = (world.now, world.digested());
        drop(world);
        if kept {
            self.checkpoints.push(digest);
        }
        if asked {
            self.steps.push(StepDigest { number, at, digest });
        }
    }

    /// Looks into the machines, in those runs that have time for it.
    fn inspect(&mut self) {
        let events = self.shared.world().events;
        if self.options.invariants && events.is_multiple_of(4) {
            self.check_invariants();
        }
        if self.options.invariants && events.is_multiple_of(TICKED) {
            self.tick_one(events / TICKED);
        }
        if self.recorder.take_doubt() || events.is_multiple_of(16) {
            self.settle();
        }
        for (conn, end) in self.recorder.take_dropped() {
            self.note_end(conn, end);
        }
        self.chaos.note_points();
    }

    /// Notes it if a node has just let go of a connection because it missed a sign of life, or did
    /// not understand the peer.
    fn note_end(&mut self, conn: ConnId, end: End) {
        let mut world = self.shared.world();
        let of_conn = world.network.conn(conn);
        let (node, peer, life) = (of_conn.node(end), of_conn.node(end.other()), of_conn.life(end));
        let at = world.now;
        drop(world);
        let Some(running) = self.nodes.get(node) else { return };
        let Some(Some(handle)) = running.peers.get(peer) else { return };
        // A connection of a former life, or of the machine before the peer was added again.
        if running.runtime.life != life || running.left[peer] == Some(conn) {
            return;
        }
        let missed = match handle.inspect(|peer| peer.last_failure().cloned()) {
            Some(LinkError::PeerSilent) => Missed::Bytes,
            Some(LinkError::PeerDoesNotAnswer) => Missed::Pongs,
            Some(LinkError::WriteStalled) => return self.recorder.stalled(at, conn, end),
            Some(error) if is_malformed(&error) => {
                // A Go node knows nothing of our limits.
                let theirs = self.script.nodes[peer] != NodeKind::Ours;
                let hostile = matches!(self.script.nodes[peer], NodeKind::Hostile(_));
                let fits = !(theirs && is_too_long(&error));
                if !hostile && fits && self.recorder.is_orderly_link(conn, end) {
                    self.inside.misread.push((at, format!("n{node} of n{peer}: {error}")));
                }
                return;
            }
            _ => return,
        };
        let clock = running.runtime.shown().instant.as_nanos();
        self.recorder.given_up(Mark { at, clock }, conn, end, missed);
    }

    /// Tells the monitors of the wire which nodes have nothing more to write or to handle.
    fn settle(&self) {
        for (node, running) in self.nodes.alive() {
            for (peer, handle) in running.peers.iter().enumerate() {
                let Some(handle) = handle else { continue };
                let mut world = self.shared.world();
                let Some((conn, end)) = world.connection(node, peer) else { continue };
                let ours = world.network.conn(conn).life(end) == running.runtime.life;
                let settled =
                    ours && running.left[peer] != Some(conn) && world.is_settled(conn, end);
                drop(world);
                if settled && handle.is_asleep() && !handle.inspect(|peer| peer.has_transmit()) {
                    self.recorder.flushed(self.now(), conn, end);
                }
            }
        }
    }

    fn check_invariants(&mut self) {
        if let Err(problem) = self.nodes.check_invariants()
            && self.inside.broken.is_none()
        {
            self.inside.broken = Some((self.now(), problem));
        }
    }

    /// Ticks one of the machines, by number, if it has nothing to do.
    fn tick_one(&mut self, number: u64) {
        let Some(idle) = self.nodes.tick_idle(number) else { return };
        self.inside.ticked += 1;
        if let Err(which) = idle
            && self.inside.stirred.is_none()
        {
            self.inside.stirred = Some((self.now(), which));
        }
    }

    /// Does what a cue stands for; whether it was the tick of a second.
    fn act(&mut self, number: u64) -> bool {
        match self.chaos.act(number, &mut self.nodes) {
            Left::Nothing => false,
            Left::Line(index) => {
                self.line(index);
                false
            }
            Left::Tick => {
                self.measure();
                // The same act again: ticks are many.
                self.chaos.again(number, self.now() + SECOND / 5);
                true
            }
        }
    }

    fn measure(&mut self) {
        for figures in self.nodes.figures() {
            let (calls, timers) = (figures.outgoing + figures.incoming, figures.timers);
            if timers > calls && self.inside.timers.is_none() {
                let Peak { node, peer, .. } = figures;
                let detail = format!("n{node} with n{peer}: {timers} for {calls} calls");
                self.inside.timers = Some((self.now(), detail));
            }
            let peaks = &mut self.inside.peaks;
            let same = |peak: &&mut Peak| (peak.node, peak.peer) == (figures.node, figures.peer);
            match peaks.iter_mut().find(same) {
                None => peaks.push(figures),
                Some(peak) => {
                    peak.outgoing = peak.outgoing.max(figures.outgoing);
                    peak.incoming = peak.incoming.max(figures.incoming);
                    peak.queued = peak.queued.max(figures.queued);
                    peak.received = peak.received.max(figures.received);
                    peak.instances = peak.instances.max(figures.instances);
                }
            }
        }
    }

    // ---- lines ----

    /// Makes a call, or drops one.
    fn line(&mut self, index: usize) {
        let Line { deed, .. } = &self.script.lines[index];
        match deed {
            Deed::Call(call) => {
                if let Some(id) = self.calls[index] {
                    self.call(id, call);
                }
            }
            Deed::Cancel(name) => {
                let named =
                    |line: &Line| matches!(&line.deed, Deed::Call(call) if call.name == *name);
                if let Some(line) = self.script.lines.iter().position(named)
                    && let Some(id) = self.calls[line]
                {
                    self.stage.cancel(id);
                }
            }
            Deed::Fault(_) | Deed::Do(_) => {}
        }
    }

    fn call(&mut self, id: CallId, call: &Call) {
        let Some(running) = self.nodes.get(call.from) else { return };
        if let Some(foreign) = &running.foreign {
            return foreign.call(id, Arc::new(call.clone()));
        }
        if let Some(looped) = &running.looped {
            return looped.call(id, Arc::new(call.clone()));
        }
        let Some(Some(peer)) = running.peers.get(call.to) else { return };
        let witness = Witness::of_caller(&self.stage, &running.runtime, id);
        let performance = app::perform(witness, Arc::new(call.clone()), peer.clone());
        running.runtime.spawn_keyed(name_key(&call.name), performance);
    }

    // ---- phases ----

    fn heal(&mut self) {
        self.phase("heal");
        self.phases.heal = self.now();
        self.chaos.heal(&mut self.nodes);
        self.nodes.withdraw_panics();
        let bound = self.phases.heal + heal_bound(self.script, &self.nodes.timings);
        self.wait_for_links(bound);
        let connected = self.go_until_that(bound, Self::is_connected);
        self.farewell.connected = connected.then(|| self.now());
        self.go_until(bound);
    }

    /// Has the applications wait for all their links, if all nodes are to be well: they come until
    /// `bound`.
    fn wait_for_links(&self, bound: u64) {
        if self.script.core.len() < self.script.nodes.len() {
            return;
        }
        let patience = Duration::from_nanos(bound - self.now());
        for (node, running) in self.nodes.alive() {
            let Some(grid) = running.grid.clone() else { continue };
            let (shared, complaints) = (self.shared.clone(), self.nodes.complaints.clone());
            let runtime = running.runtime.clone();
            running.runtime.spawn_keyed(name_key("wait for links"), async move {
                let begun = runtime.instant();
                let Err(missing) = grid.connected(patience).await else { return };
                if runtime.instant().since(begun) < patience {
                    // It leaves the grid, or has taken a peer out.
                    return;
                }
                let rule = (OracleId(11), "a node waits in vain for its links");
                let now = shared.world().now;
                complaints.add(rule, now, [node, node], &missing.to_string());
            });
        }
    }

    fn core_pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<'_> {
        let core = &self.script.core;
        let pair = |from: usize| core.iter().map(move |to| (from, *to));
        core.iter().flat_map(move |from| pair(*from)).filter(|(from, to)| from != to)
    }

    fn is_connected(&self) -> bool {
        self.core_pairs()
            .all(|(from, to)| self.nodes.get(from).is_some_and(|running| running.is_up(to)))
    }

    /// One call and one stream each way on every pair of the core, which must succeed.
    fn probe(&mut self) {
        self.phase("probe");
        self.phases.probe = self.now();
        let pairs: Vec<_> = self.core_pairs().collect();
        let first = self.calls.iter().flatten().count();
        for (from, to) in pairs {
            for call in super::probes(from, to) {
                let id = self.stage.add(call.clone());
                self.call(id, &call);
                let moment = Moment::At(self.phases.probe);
                self.played.lines.push(Line { moment, deed: Deed::Call(call) });
            }
        }
        // By then all have begun: applications may be lazy.
        self.go_until(self.now() + self.script.knobs.laziness);
        let until = self.now() + PROBED_WITHIN + 400 * self.turn();
        self.go_until_that(until, |engine| engine.stage.running().iter().all(|id| *id < first));
    }

    /// The longest that an answer may take on the network.
    fn turn(&self) -> u64 {
        let knobs = &self.script.knobs;
        2 * knobs.latency.1 + knobs.laziness + knobs.slack
    }

    /// Applications drop what they still have; afterwards nothing may be left of any call.
    fn drain(&mut self) {
        self.look_again("a call", |engine| engine.stage.history.len());
        self.phase("drain");
        self.phases.drain = self.now();
        for id in self.stage.running() {
            self.stage.cancel(id);
        }
        let quiet = self.wait_for_quiet();
        self.farewell.quiet = quiet.then(|| self.now());
        // Whatever was on its way has come, and links' tasks have sent home the workers that wait.
        let rest = if self.script.knobs.workers { 2 * SECOND } else { 0 };
        self.go_until(self.now() + SECOND / 2 + rest + 2 * self.turn());
        self.phases.quiet = self.now();
        self.check_invariants();
    }

    /// Waits until nothing is left of any call, or what is left stays; whether nothing is.
    fn wait_for_quiet(&mut self) -> bool {
        let last = self.now() + DRAINED_WITHIN;
        let mut queued = u64::MAX;
        while self.now() < last {
            let left = self.nodes.queued_bytes();
            if left >= queued {
                return false;
            }
            queued = left;
            if self.go_until_that(self.now() + QUIET_WITHIN, Self::is_quiet) {
                return true;
            }
        }
        false
    }

    fn is_quiet(&self) -> bool {
        self.stage.running().is_empty() && self.nodes.alive().all(|(_, running)| running.is_quiet())
    }

    /// Has everybody who waits look again, at a moment when nothing is there for anybody: who goes
    /// on then has missed a wake-up.
    fn look_again(&mut self, whose: &'static str, progress: impl Fn(&Self) -> usize) {
        for _ in 0..LOOKS {
            self.go_until(self.now());
            if self.shared.world().is_waiting() {
                let before = progress(self);
                self.shared.wake_all();
                self.go_until(self.now());
                if progress(self) > before {
                    self.inside.lost_wakes.push((self.now(), whose));
                }
                return;
            }
            self.go_until(self.now() + SECOND / 100);
        }
    }

    fn shut_all_down(&mut self) {
        self.phase("shutdown");
        let down: Arc<std::sync::Mutex<BTreeMap<usize, (u64, u64)>>> = Arc::default();
        let mut alive = BTreeSet::new();
        for (node, running) in self.nodes.alive() {
            let Some(ending) = running.shut_down(GRACE) else { continue };
            alive.insert(node);
            let (down, runtime) = (down.clone(), running.runtime.clone());
            running.runtime.spawn_keyed(name_key("the end"), async move {
                ending.await;
                let (now, _, life) = runtime.whereabouts();
                let mut down = down.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                down.insert(node, (now, life));
            });
        }
        let until = self.now() + SHUTDOWN_WITHIN;
        let down = || down.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let is_down = |_: &Self| down().len() == alive.len();
        if !self.go_until_that(until, is_down) {
            self.look_again("a shutdown", |_| down().len());
        }
        // Whoever dials still does within the longest time between two attempts.
        self.go_until(self.now() + 3 * SECOND);
        let down = down();
        let dials = self.recorder.record().dials.clone();
        let is_late = |node: &usize| {
            let Some((at, life)) = down.get(node).copied() else { return false };
            dials.iter().any(|dial| (dial.from, dial.life) == (*node, life) && dial.at > at)
        };
        self.farewell.dialled_after = alive.iter().copied().filter(is_late).collect();
        self.farewell.not_shut_down =
            alive.into_iter().filter(|node| !down.contains_key(node)).collect();
        self.nodes.kill_foreign();
        let grids = self.nodes.take_all();
        drop(grids);
        self.go_until(self.now() + 2 * SECOND);
        self.farewell.tasks_left = self.shared.world().tasks();
        self.farewell.end = self.now();
    }

    /// The states of the core at rest.
    fn pairs(&self) -> Vec<PairState> {
        let is_up =
            |from: usize, to: usize| self.nodes.get(from).is_some_and(|running| running.is_up(to));
        let record = self.recorder.record();
        let pair = |(one, other): (usize, usize)| {
            let ours =
                |life: &ConnectionLife| life.nodes == [one, other] || life.nodes == [other, one];
            let is_open = |life: &ConnectionLife| life.broken_at.iter().any(Option::is_none);
            let lives = record.lives.iter().enumerate();
            let open = lives.filter(|(_, life)| ours(life) && is_open(life));
            PairState {
                nodes: [one, other],
                connected: [is_up(one, other), is_up(other, one)],
                open: open.map(|(number, _)| number).collect(),
            }
        };
        self.core_pairs().filter(|(one, other)| one < other).map(pair).collect()
    }

    /// What is to be judged, as of now, at rest.
    pub(crate) fn evidence(&self) -> Evidence {
        let record = self.recorder.record();
        let (connections, dials) = (record.lives.clone(), record.dials.clone());
        let stillborn = record.stillborn.iter().filter_map(|mark| self.stage.find(*mark)).collect();
        let (silences, pings) = (record.silences.clone(), record.pings.clone());
        let (intakes, needless) = (record.intakes(), record.needless());
        let (stalls, standstills) = (record.stalls.clone(), record.standstills());
        let credits = record.credits().into_iter();
        let credits = credits.filter_map(|(mark, at)| Some((self.stage.find(mark)?, at))).collect();
        drop(record);
        let world = self.shared.world();
        let walls = (0..self.script.nodes.len()).map(|node| world.wall_skew(node)).collect();
        let starved = world.is_starved().then_some(world.now);
        drop(world);
        let core = &self.script.core;
        Evidence {
            script: self.played.clone(),
            timings: self.nodes.timings.clone(),
            limits: self.nodes.limits.clone(),
            entries: self.stage.history.entries(),
            fired: self.chaos.fired.clone(),
            lives: self.nodes.lives.clone(),
            connections,
            views: self.nodes.links(),
            dials,
            phases: self.phases,
            pairs: self.pairs(),
            gauges: core.iter().filter_map(|node| self.nodes.gauge(*node)).collect(),
            walls,
            stillborn,
            silences,
            stalls,
            standstills,
            pings,
            intakes,
            needless,
            credits,
            streams: Vec::new(),
            starved_at: starved,
            inside: Inside::default(),
            farewell: Farewell::default(),
            wire: Wire::default(),
        }
    }

    /// All that is known, once it is over.
    fn collect(&mut self, mut evidence: Evidence) -> Facts {
        self.note_bugs();
        let inside = &mut evidence.inside;
        *inside = std::mem::take(&mut self.inside);
        inside.struck = self.nodes.struck();
        inside.tried = std::mem::take(&mut self.nodes.tried);
        inside.complaints = self.nodes.complaints.take();
        inside.panics = std::mem::take(&mut self.shared.world().panics);
        let world_counts = self.shared.world().counts;
        let mut record = self.recorder.record();
        inside.hoards = std::mem::take(&mut record.hoards);
        evidence.streams = record.streams();
        let wire = &mut evidence.wire;
        wire.messages = record.messages;
        for (nodes, monitor) in std::mem::take(&mut record.monitors) {
            wire.violations.extend(monitor.violations().iter().map(|one| (nodes, one.clone())));
            for (excuse, count) in monitor.excuses() {
                *wire.excuses.entry(*excuse).or_default() += count;
            }
        }
        evidence.farewell = std::mem::take(&mut self.farewell);
        Facts { evidence, world_counts, wire_counts: record.watch.counts }
    }
}

/// Whether a link was given up for what the peer's bytes mean.
fn is_malformed(error: &LinkError) -> bool {
    match error {
        LinkError::Malformed(_) => true,
        LinkError::WebSocket(error) => error.close_code() == CloseCode::Protocol,
        _ => false,
    }
}

fn is_too_long(error: &LinkError) -> bool {
    matches!(error, LinkError::Malformed(DecodeError::TooLong { .. }))
}

/// Puts the calls of a script on the stage; their numbers, by line.
fn calls(script: &Script, stage: &Stage) -> Vec<Option<CallId>> {
    let call = |line: &Line| match &line.deed {
        Deed::Call(call) => Some(stage.add(call.clone())),
        Deed::Cancel(_) | Deed::Fault(_) | Deed::Do(_) => None,
    };
    script.lines.iter().map(call).collect()
}
