//! What befalls nodes and paths: the faults of a script come at their moments, act, and end, at
//! the latest at the healing. Whoever the nodes belong to, it is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::recorder::{Recorder, Then};
use super::troubles::Relief;
use crate::census::FaultId;
use crate::keyed::{Keyed, Purpose, mix, name_key};
use crate::oracle::Fired;
use crate::script::{Deed, Fault, Line, Moment, Script};
use crate::trace::Happening;
use crate::world::{Cue, Death, Shared};

const SECOND: u64 = 1_000_000_000;

/// The processes of the nodes, as faults see them.
pub(crate) trait Victims {
    /// Whether a process of this node runs.
    fn is_running(&self, node: usize) -> bool;
    /// Starts a node's process, unless it runs.
    fn start(&mut self, node: usize);
    /// Has a node start, whose first process has only listened so far.
    fn open_gate(&mut self, _node: usize) {}
    /// Ends a node's process, if it runs.
    fn kill(&mut self, node: usize, how: Death);
    /// Asks a node that runs to end in order within `grace` nanoseconds, and has the world cue
    /// `done` once it has.
    fn shut_down(&mut self, node: usize, grace: u64, done: Cue);
    /// Starts a second process of a node's name.
    fn start_twin(&mut self, node: usize);
    /// Ends it.
    fn kill_twin(&mut self, node: usize);
    /// Has the machine of a link panic; whether there is one.
    fn panic(&mut self, node: usize, peer: usize, using: bool) -> bool;
    /// A node takes a peer out of its grid.
    fn remove_peer(&mut self, node: usize, peer: usize);
    /// It adds that peer again.
    fn add_peer(&mut self, node: usize, peer: usize);
}

/// What a cue stands for.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A node boots.
    Start(usize),
    /// A node that only listens is to start.
    OpenGate(usize),
    /// The moment of a line has come.
    Line(usize),
    /// A fault is over.
    Relief(Relief),
    /// Whoever runs the world looks at it.
    Tick,
}

/// What is left to do for whoever runs the world, after a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// This line, which is no fault.
    Line(usize),
    /// To look at the world.
    Tick,
}

/// The faults of a run.
pub(crate) struct Chaos<'a> {
    pub(crate) script: &'a Script,
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    acts: Vec<Act>,
    /// What the lines' cues are drawn with: their text, and how often it stood there before.
    keys: Vec<u64>,
    /// What lifts faults that last still.
    active: BTreeSet<usize>,
    /// By line.
    faults: Vec<Option<FaultId>>,
    healed: bool,
    pub(crate) fired: Vec<Fired>,
}

impl<'a> Chaos<'a> {
    /// Schedules the start of every node, and every line.
    pub(crate) fn new(script: &'a Script, shared: &Arc<Shared>, recorder: &Recorder) -> Self {
        let mut chaos = Self {
            script,
            shared: shared.clone(),
            recorder: recorder.clone(),
            acts: Vec::new(),
            keys: line_keys(script),
            active: BTreeSet::new(),
            faults: Vec::new(),
            healed: false,
            fired: Vec::new(),
        };
        chaos.read_script();
        chaos
    }

    fn read_script(&mut self) {
        for node in 0..self.script.nodes.len() {
            // Nodes boot within half a second of each other.
            let key = [node as u64, 0, 9];
            let at = Keyed::new(self.script.seed).below(Purpose::Clock, key, SECOND / 2);
            self.schedule(at, Act::Start(node));
            let gates = self.script.gates.iter().filter(|(gated, _)| *gated == node);
            for (_, wait) in gates {
                self.schedule(at + wait, Act::OpenGate(node));
            }
        }
        for (index, line) in self.script.lines.iter().enumerate() {
            let fault = match &line.deed {
                Deed::Fault(fault) => Some(self.shared.world().census.place(fault.row())),
                Deed::Call(_) | Deed::Cancel(_) | Deed::Do(_) => None,
            };
            self.faults.push(fault);
            match &line.moment {
                Moment::At(at) => {
                    self.schedule(*at, Act::Line(index));
                }
                Moment::Every(times) => {
                    for at in times.each() {
                        self.schedule(at, Act::Line(index));
                    }
                }
                Moment::When(point) => {
                    let then = match (&line.deed, fault) {
                        (Deed::Fault(Fault::Damage { damage, .. }), Some(fault)) => {
                            Then::Damage(*damage, fault)
                        }
                        _ => Then::Cue(self.unscheduled(Act::Line(index))),
                    };
                    self.recorder.wait_for(index, point.clone(), then);
                }
            }
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.shared.world().now
    }

    // ---- acts ----

    /// An act whose cue somebody else gives.
    fn unscheduled(&mut self, act: Act) -> Cue {
        self.acts.push(act);
        self.cue_of(self.acts.len() - 1)
    }

    fn cue_of(&self, number: usize) -> Cue {
        let key = match &self.acts[number] {
            Act::Start(node) => name_key("start") ^ *node as u64,
            Act::OpenGate(node) => name_key("gate") ^ *node as u64,
            Act::Line(index) => self.keys[*index],
            Act::Relief(relief) => name_key(&format!("{relief:?}")),
            Act::Tick => name_key("tick"),
        };
        Cue { number: number as u64, key }
    }

    pub(crate) fn schedule(&mut self, at: u64, act: Act) -> Cue {
        let cue = self.unscheduled(act);
        self.shared.world().cue(at, cue);
        cue
    }

    /// Lifts a fault after a while.
    pub(super) fn later(&mut self, wait: u64, relief: Relief) {
        let at = self.now().saturating_add(wait);
        let cue = self.schedule(at, Act::Relief(relief));
        self.active.insert(cue.number as usize);
    }

    /// A node shuts down gracefully, and comes back as another process.
    pub(super) fn shut_down(
        &mut self,
        node: usize,
        grace: u64,
        back: Option<u64>,
        id: FaultId,
        victims: &mut impl Victims,
    ) {
        if !victims.is_running(node) {
            return;
        }
        self.shared.world().census.felt(id);
        let cue = self.unscheduled(Act::Relief(Relief::ShutDown { node, back }));
        self.active.insert(cue.number as usize);
        victims.shut_down(node, grace, cue);
    }

    /// Does what a cue stands for, as far as it is about faults.
    pub(crate) fn act(&mut self, number: u64, victims: &mut impl Victims) -> Left {
        match self.acts[number as usize].clone() {
            Act::Start(node) => self.start(node, victims),
            Act::OpenGate(node) => victims.open_gate(node),
            Act::Line(index) => match &self.script.lines[index].deed {
                Deed::Fault(fault) => self.come(index, fault, victims),
                Deed::Call(_) | Deed::Cancel(_) | Deed::Do(_) => return Left::Line(index),
            },
            Act::Relief(relief) => {
                if self.active.remove(&(number as usize)) {
                    self.relieve(&relief, victims);
                }
            }
            Act::Tick => return Left::Tick,
        }
        Left::Nothing
    }

    /// The same act comes again.
    pub(crate) fn again(&self, number: u64, at: u64) {
        self.shared.world().cue(at, self.cue_of(number as usize));
    }

    fn come(&mut self, index: usize, fault: &Fault, victims: &mut impl Victims) {
        if self.healed {
            return;
        }
        let Some(id) = self.faults[index] else { return };
        let (at, (nodes, lasts)) = (self.now(), fault.extent());
        let text = fault.to_string();
        self.recorder.note(at, Happening::Fault { row: fault.row(), text, nodes, lasts });
        let until = at.saturating_add(lasts).min(self.script.heal.max(at));
        self.fired.push(Fired { line: index, at, until });
        self.strike(fault, id, victims);
    }

    /// Notes the damage that has been done since this was asked last.
    pub(crate) fn note_points(&mut self) {
        for (line, at) in self.recorder.take_points() {
            self.fired.push(Fired { line, at, until: at });
        }
    }

    pub(crate) fn start(&mut self, node: usize, victims: &mut impl Victims) {
        if !victims.is_running(node) {
            victims.start(node);
            self.recorder.note(self.now(), Happening::Born { node });
        }
    }

    pub(crate) fn kill(&mut self, node: usize, how: Death, victims: &mut impl Victims) {
        victims.kill(node, how);
        self.recorder.note(self.now(), Happening::Died { node });
    }

    // ---- the healing ----

    pub(crate) const fn has_healed(&self) -> bool {
        self.healed
    }

    pub(crate) fn is_core(&self, node: usize) -> bool {
        self.script.core.contains(&node)
    }

    /// After the healing, nodes outside the core stay as they are.
    pub(super) fn is_lost(&self, node: usize) -> bool {
        self.healed && !self.is_core(node)
    }

    pub(super) fn is_cut_for_good(&self, from: usize, to: usize) -> bool {
        self.is_lost(from) || self.is_lost(to)
    }

    /// Ends all faults between the nodes of the core and starts those that are down; the others
    /// are dead or cut off for good.
    pub(crate) fn heal(&mut self, victims: &mut impl Victims) {
        self.healed = true;
        self.recorder.forget_points();
        self.shared.world().forget_damage();
        for number in std::mem::take(&mut self.active) {
            let Act::Relief(relief) = self.acts[number].clone() else { continue };
            if matches!(relief, Relief::ShutDown { .. }) {
                // It goes on by itself.
                self.active.insert(number);
            } else if relief.is_inside(|node| self.is_core(node)) {
                self.relieve(&relief, victims);
            }
        }
        for node in 0..self.script.nodes.len() {
            if self.is_core(node) {
                self.start(node, victims);
                self.shared.world().tamper(node, None, |hands| hands.set_skew(0));
                continue;
            }
            if self.shared.is_paused(node) || self.is_to_die(node) {
                victims.kill(node, Death::Silent);
            } else {
                self.cut_off(node);
            }
        }
    }

    /// Nodes outside the core are dead from the healing on, or cut off from everybody.
    fn is_to_die(&self, node: usize) -> bool {
        Keyed::new(self.script.seed).chance(Purpose::Swarm, [node as u64, 77, 0], 500_000)
    }

    fn cut_off(&self, node: usize) {
        for other in (0..self.script.nodes.len()).filter(|other| *other != node) {
            let mut world = self.shared.world();
            world.block(node, other, true, None);
            world.block(other, node, true, None);
        }
    }
}

fn line_keys(script: &Script) -> Vec<u64> {
    let mut before = BTreeMap::new();
    let key = |line: &Line| {
        let text = line.to_string();
        let key = name_key(&text);
        let count = before.entry(text).or_insert(0_u64);
        *count += 1;
        mix(key ^ *count)
    };
    script.lines.iter().map(key).collect()
}
