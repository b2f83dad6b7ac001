//! Runs a script on coded applications, phase by phase: chaos, calm, shutdown.

use std::sync::Arc;
use std::time::Duration;

use gridmux_core::auth::SharedSecret;
use gridmux_core::handle::take_bugs;

use super::board::Board;
use super::context::Common;
use super::differs::Steps;
use super::places::Places;
use super::report::{Failure, Incident, Report};
use super::simulation::{Simulation, nanos};
use super::view::{Phase, View};
use crate::run::chaos::{Act, Chaos, Left};
use crate::run::recorder::Recorder;
use crate::script::{Deed, Script};
use crate::trace::{Happening, Trace};
use crate::world::{Shared, Step};

/// What all simulated nodes share as their secret.
const SECRET: &str = "the secret of all simulated nodes";

/// How long a process may take to end when all are asked to.
const GRACE: Duration = Duration::from_secs(20);

/// A run under way.
pub(super) struct Engine<'a, N> {
    simulation: &'a Simulation<N>,
    script: &'a Script,
    shared: Arc<Shared>,
    recorder: Recorder,
    chaos: Chaos<'a>,
    board: Arc<Board<N>>,
    places: Places<N>,
    phase: Phase,
    /// The operations that nodes were told to do, in order.
    told: Vec<Incident>,
    failures: Vec<Failure>,
    /// If they are kept.
    steps: Option<Steps>,
}

impl<'a, N: Clone + Send + 'static> Engine<'a, N> {
    pub(super) fn new(simulation: &'a Simulation<N>, script: &'a Script, traced: bool) -> Self {
        let names: Vec<_> = (0..script.nodes.len()).map(|node| script.node_name(node)).collect();
        let shared = Shared::new(script.seed, names.clone(), script.knobs.clone());
        let recorder = Recorder::new(script, traced, false);
        shared.world().observer = Some(Box::new(recorder.clone()));
        let board = Board::new(names.len());
        let common = Common {
            names,
            secret: SharedSecret::new(SECRET).expect("it is long enough"),
            timings: simulation.timings.clone(),
            limits: simulation.limits.clone(),
            first_generation: script.first_generation,
        };
        let places = Places::new(&shared, &simulation.main, &board, common);
        let chaos = Chaos::new(script, &shared, &recorder);
        Self {
            simulation,
            script,
            shared,
            recorder,
            chaos,
            board,
            places,
            phase: Phase::Chaos,
            told: Vec::new(),
            failures: Vec::new(),
            steps: None,
        }
    }

    pub(super) fn run(mut self) -> Report<N> {
        self.play();
        self.report()
    }

    /// The same, with the time of each event and the digest behind it.
    pub(super) fn run_in_steps(mut self) -> (Report<N>, Steps) {
        self.steps = Some(Vec::new());
        self.play();
        let steps = self.steps.take().unwrap_or_default();
        (self.report(), steps)
    }

    fn play(&mut self) {
        take_bugs();
        self.chaos.schedule(nanos(self.simulation.every), Act::Tick);
        self.begin(Phase::Chaos);
        self.go_until(self.script.heal, |_| false);
        if self.failures.is_empty() {
            self.begin(Phase::Calm);
            self.chaos.heal(&mut self.places);
            let calm = self.simulation.calm_of(self.script);
            self.go_until(self.chaos.now().saturating_add(calm), |_| false);
        }
        if self.failures.is_empty() {
            self.begin(Phase::Shutdown);
            self.places.stop_all(GRACE);
            let until = self.chaos.now() + nanos(GRACE);
            self.go_until(until, Places::is_empty);
        }
        self.places.kill_all();
        if self.failures.is_empty() {
            self.begin(Phase::Over);
            self.ask(true);
        }
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        let name = match phase {
            Phase::Chaos => "chaos",
            Phase::Calm => "heal",
            Phase::Shutdown => "shutdown",
            Phase::Over => "over",
        };
        self.recorder.note(self.chaos.now(), Happening::Phase(name));
    }

    /// Lets everything happen until `limit`, or until `reached` says so or something fails.
    fn go_until(&mut self, limit: u64, reached: impl Fn(&Places<N>) -> bool) {
        while self.failures.is_empty() && !reached(&self.places) {
            let step = self.shared.step(limit);
            if let (Step::Done | Step::Cue(_), Some(steps)) = (&step, &mut self.steps) {
                let world = self.shared.world();
                steps.push((world.now, world.digested()));
            }
            match step {
                Step::Done => self.look(),
                Step::Cue(number) => match self.chaos.act(number, &mut self.places) {
                    Left::Nothing => {}
                    Left::Line(index) => self.tell(index),
                    Left::Tick => {
                        self.ask(false);
                        let next = self.chaos.now() + nanos(self.simulation.every);
                        self.chaos.again(number, next);
                    }
                },
                Step::Quiet => return,
                Step::Busy => self.fail("tasks run while time stands still", String::new()),
            }
        }
    }

    /// A node is told to do something, if it runs.
    fn tell(&mut self, index: usize) {
        let Deed::Do(operation) = &self.script.lines[index].deed else { return };
        let text = match self.places.tell(operation) {
            true => operation.to_string(),
            false => format!("{operation}: n{} does not run", operation.node),
        };
        self.told.push(Incident { at: Duration::from_nanos(self.chaos.now()), text });
    }

    /// Sees which processes have ended, and what has gone wrong by itself.
    fn look(&mut self) {
        for exit in self.board.take_exits() {
            if self.places.bury(&exit) {
                let node = exit.node;
                self.recorder.note(self.chaos.now(), Happening::Died { node });
                if let Err(error) = exit.result {
                    self.fail("a node has failed", format!("n{node}: {error}"));
                }
            }
        }
        let panics = std::mem::take(&mut self.shared.world().panics);
        panics.into_iter().for_each(|panic| self.fail("a task has panicked", panic));
        let bugs = take_bugs();
        if bugs > 0 {
            self.fail("a machine of the grid has panicked", format!("{bugs} times"));
        }
        self.chaos.note_points();
    }

    fn fail(&mut self, check: &'static str, problem: String) {
        let at = Duration::from_nanos(self.chaos.now());
        self.failures.push(Failure { check, problem, at });
    }

    /// Asks the checks, and, at the end, the judges too.
    fn ask(&mut self, at_end: bool) {
        let board = self.board.clone();
        let state = board.state();
        let view = View {
            seed: self.script.seed,
            now: Duration::from_nanos(self.chaos.now()),
            phase: self.phase,
            lives: &self.places.lives,
            state: &state,
        };
        let asked = self.simulation.checks.iter().filter(|check| at_end || !check.at_end);
        let failed = asked.filter_map(|check| Some((check.name, (check.judge)(&view).err()?)));
        let failed: Vec<_> = failed.collect();
        failed.into_iter().for_each(|(name, problem)| self.fail(name, problem));
    }

    fn report(self) -> Report<N> {
        let trace = self.recorder.record().trace.take().map(|events| Trace {
            nodes: (0..self.script.nodes.len()).map(|node| format!("n{node}")).collect(),
            events,
        });
        let incidents = self.incidents();
        let world = self.shared.world();
        Report {
            seed: self.script.seed,
            script: self.script.clone(),
            failures: self.failures,
            notes: self.board.state().notes.clone(),
            incidents,
            census: world.census.tallies(),
            events: world.events,
            simulated: Duration::from_nanos(world.now),
            digest: world.digested(),
            trace,
        }
    }

    /// What befell the nodes, in order.
    fn incidents(&self) -> Vec<Incident> {
        let fault = |fired: &crate::oracle::Fired| {
            let Deed::Fault(fault) = &self.script.lines.get(fired.line)?.deed else { return None };
            Some(Incident { at: Duration::from_nanos(fired.at), text: fault.to_string() })
        };
        let mut incidents: Vec<_> = self.chaos.fired.iter().filter_map(fault).collect();
        incidents.extend(self.told.iter().cloned());
        for (node, lives) in self.places.lives.0.iter().enumerate() {
            for (number, life) in lives.iter().enumerate() {
                let text = format!("n{node} starts, life {number}");
                incidents.push(Incident { at: life.born, text });
                let ends = |at| Incident { at, text: format!("n{node} ends, life {number}") };
                incidents.extend(life.died.map(ends));
            }
        }
        incidents.sort_by_key(|incident| incident.at);
        incidents
    }
}
