//! What is to be simulated, and how it is to be attacked and judged.

use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gridmux_core::limits::Limits;
use gridmux_core::timings::Timings;

use super::context::{NodeContext, NodeError};
use super::engine::Engine;
use super::report::{Batch, Report};
use super::view::View;
use crate::keyed::{Keyed, Purpose};
use crate::parallel::in_order;
use crate::script::{Deed, Fault, NodeKind, Script, ScriptError};
use crate::swarm::{Draw, FaultKind, draw_faults, draw_knobs};
use crate::world::Knobs;

/// What every process of a node runs.
pub(super) type Main<N> = Arc<
    dyn Fn(NodeContext<N>) -> Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send>>
        + Send
        + Sync,
>;

type Judgement<N> = Box<dyn Fn(&View<'_, N>) -> Result<(), String> + Send + Sync>;

/// Something that must be true.
pub(super) struct Check<N> {
    pub(super) name: &'static str,
    pub(super) judge: Judgement<N>,
    /// Only when the run is over.
    pub(super) at_end: bool,
}

/// A script that this simulation cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// It cannot be read.
    Script(ScriptError),
    /// It has a line that only scripted applications know, which the text names: a call, a
    /// `twin`, a `remove`, or a node that is not `ours`.
    Foreign(String),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(error) => error.fmt(f),
            Self::Foreign(line) => write!(f, "not for the simulation of a cluster: `{line}`"),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Script(error) => Some(error),
            Self::Foreign(_) => None,
        }
    }
}

impl From<ScriptError> for ReplayError {
    fn from(error: ScriptError) -> Self {
        Self::Script(error)
    }
}

/// A cluster to be simulated: its nodes, what attacks them, and what must be true of them.
///
/// The first page of [this module](super) shows a whole one.
pub struct Simulation<N = ()> {
    nodes: usize,
    pub(super) main: Main<N>,
    pub(super) checks: Vec<Check<N>>,
    pub(super) timings: Timings,
    pub(super) limits: Limits,
    knobs: Option<Knobs>,
    faults: RangeInclusive<u64>,
    kinds: Vec<FaultKind>,
    chaos: RangeInclusive<Duration>,
    pub(super) calm: Option<Duration>,
    pub(super) every: Duration,
    pub(super) traced: bool,
}

impl<N> std::fmt::Debug for Simulation<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// What coded applications do themselves, if they do it at all.
const fn is_of_scripts(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Twin | FaultKind::Remove | FaultKind::Panic)
}

impl<N: Send + 'static> Simulation<N> {
    /// So many nodes, 2 to 256 (others are taken for the nearest), each of which runs `main`
    /// whenever its process starts: at the beginning, after a crash, after it was asked to end.
    ///
    /// When `main` returns, its process ends, as does one whose `main` function has: all of its
    /// tasks are gone. Until it is asked to end ([`NodeContext::stopped`]) a node that has
    /// anything to serve should not. An error is a failure of the run.
    pub fn new<F, Fut>(nodes: usize, main: F) -> Self
    where
        F: Fn(NodeContext<N>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        Self {
            nodes: nodes.clamp(2, 256),
            main: Arc::new(move |context| Box::pin(main(context))),
            checks: Vec::new(),
            timings: Timings::default(),
            limits: Limits::default(),
            knobs: None,
            faults: 8..=16,
            kinds: FaultKind::ALL.into_iter().filter(|kind| !is_of_scripts(*kind)).collect(),
            chaos: Duration::from_secs(8)..=Duration::from_secs(30),
            calm: None,
            every: Duration::from_millis(200),
            traced: false,
        }
    }

    // ---- what is simulated ----

    /// The timings of all grids; the protocol's, unless set.
    #[must_use]
    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The limits of all grids; the usual ones, unless set.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What machines and network are like; unless set, each seed has its own, from calm to
    /// dreadful.
    #[must_use]
    pub fn knobs(mut self, knobs: Knobs) -> Self {
        self.knobs = Some(knobs);
        self
    }

    // ---- what attacks it ----

    /// How many faults a seed has; 8 to 16, unless set.
    #[must_use]
    pub const fn faults(mut self, count: RangeInclusive<u64>) -> Self {
        self.faults = count;
        self
    }

    /// Only faults of these kinds.
    #[must_use]
    pub fn only(mut self, kinds: &[FaultKind]) -> Self {
        self.kinds.retain(|kind| kinds.contains(kind));
        self
    }

    /// No faults of these kinds. [`FaultKind::Twin`], [`FaultKind::Remove`] and
    /// [`FaultKind::Panic`] never come.
    #[must_use]
    pub fn without(mut self, kinds: &[FaultKind]) -> Self {
        self.kinds.retain(|kind| !kinds.contains(kind));
        self
    }

    /// How long faults come, of simulated time; 8 to 30 s, unless set. At least 2 s.
    #[must_use]
    pub const fn chaos(mut self, time: RangeInclusive<Duration>) -> Self {
        self.chaos = time;
        self
    }

    /// How long it is calm after that. Unless set, 10 s longer than all links need at most to be
    /// up again with these timings: some 50 s.
    #[must_use]
    pub const fn calm(mut self, time: Duration) -> Self {
        self.calm = Some(time);
        self
    }

    // ---- what must be true ----

    /// Something that must be true at any time: it is asked at intervals, and when the run is
    /// over. A check that fails ends the run. Names should differ: a failure is told by it.
    #[must_use]
    pub fn check(
        mut self,
        name: &'static str,
        check: impl Fn(&View<'_, N>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check { name, judge: Box::new(check), at_end: false });
        self
    }

    /// Something that must be true of a whole run: it is asked once all processes have ended.
    #[must_use]
    pub fn judge(
        mut self,
        name: &'static str,
        judge: impl Fn(&View<'_, N>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check { name, judge: Box::new(judge), at_end: true });
        self
    }

    /// The simulated time between two rounds of checks; 200 ms, unless set. At least 1 ms.
    #[must_use]
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.every = interval.max(Duration::from_millis(1));
        self
    }

    /// Reports have a trace, of which [`Report::html`] makes a picture; it costs memory.
    #[must_use]
    pub const fn traced(mut self, traced: bool) -> Self {
        self.traced = traced;
        self
    }
}

impl<N: Clone + Send + 'static> Simulation<N> {
    /// What a seed does to the nodes: its faults, and what machines and network are like.
    pub fn script(&self, seed: u64) -> Script {
        let draw = Draw::new(Keyed::new(seed), Purpose::Script).of("cluster");
        let mut script = Script::new(seed, self.nodes);
        script.knobs = self.knobs.clone().unwrap_or_else(|| draw_knobs(draw.of("knobs")));
        let (shortest, longest) = (nanos(*self.chaos.start()), nanos(*self.chaos.end()));
        script.heal = draw.range("heal", shortest, longest).max(2_000_000_000);
        let count = draw.range("count", *self.faults.start(), *self.faults.end());
        script.lines = draw_faults(draw.of("faults"), &script, count, &self.kinds);
        script
    }

    /// Runs a seed. The same seed gives the same run, event by event, as long as the nodes' code
    /// draws its randomness and reads its time from the context, spawns its tasks there, and
    /// blocks on nothing.
    pub fn run(&self, seed: u64) -> Report<N> {
        self.run_script(&self.script(seed))
    }

    /// Runs many seeds, on as many threads as there are processors; each run has one.
    pub fn many(&self, seeds: Range<u64>) -> Batch<N> {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut batch = Batch::default();
        in_order(
            seeds,
            threads,
            |seed| self.run(seed),
            |_, report| {
                batch.add(report);
                ControlFlow::Continue(())
            },
        );
        batch
    }

    /// Runs a script: the text of [`Report::script`], as it was or edited. Its format is
    /// [here](crate::script).
    ///
    /// # Errors
    /// The text is no script, or has lines that are for [`run`](crate::run) only.
    pub fn replay(&self, text: &str) -> Result<Report<N>, ReplayError> {
        let script: Script = text.parse()?;
        if let Some(node) = script.nodes.iter().position(|kind| *kind != NodeKind::Ours) {
            return Err(ReplayError::Foreign(format!("node n{node}")));
        }
        let foreign = |deed: &Deed| match deed {
            Deed::Fault(fault) => {
                matches!(fault, Fault::Twin { .. } | Fault::Remove { .. } | Fault::Panic { .. })
            }
            Deed::Call(_) | Deed::Cancel(_) => true,
        };
        match script.lines.iter().find(|line| foreign(&line.deed)) {
            Some(line) => Err(ReplayError::Foreign(line.to_string())),
            None => Ok(self.run_script(&script)),
        }
    }

    pub(super) fn run_script(&self, script: &Script) -> Report<N> {
        Engine::new(self, script).run()
    }

    /// The shortest script that was found to fail in the same way as a report's, by
    /// [`minimise`](crate::minimise): faults, nodes and what makes the network bad are left out as
    /// long as the first check that failed still does. Its report, after `most` runs at the most. A
    /// good one is given back.
    pub fn minimise(&self, report: Report<N>, most: u64) -> Report<N> {
        super::minimise::least(self, report, most)
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
