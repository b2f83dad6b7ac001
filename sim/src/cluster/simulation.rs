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
use super::differs::Differs;
use super::engine::Engine;
use super::report::{Batch, Report};
use super::view::View;
use crate::keyed::{Keyed, Purpose};
use crate::oracle::heal_bound;
use crate::parallel::in_order;
use crate::script::{Deed, Fault, Line, Moment, NodeKind, Script, ScriptError, bounds, read};
use crate::swarm::{Draw, FaultKind, draw_faults, draw_knobs};
use crate::world::Knobs;

/// What every process of a node runs.
pub(super) type Main<N> = Arc<
    dyn Fn(NodeContext<N>) -> Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send>>
        + Send
        + Sync,
>;

/// What the calm lasts beyond the time that links may need.
const REST: Duration = Duration::from_secs(10);

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
    /// A line, which the text names, comes when the calm that follows the faults is over.
    Late(String),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(error) => error.fmt(f),
            Self::Foreign(line) => write!(f, "not for the simulation of a cluster: `{line}`"),
            Self::Late(line) => write!(f, "nothing is done after the calm: `{line}`"),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Script(error) => Some(error),
            Self::Foreign(_) | Self::Late(_) => None,
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
    calm: Option<Duration>,
    pub(super) every: Duration,
    traced: bool,
    operations: Vec<&'static str>,
    told: Vec<Line>,
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
    /// So many nodes, 2 to 64 (others are taken for the nearest), each of which runs `main`
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
            nodes: nodes.clamp(2, *bounds::NODES.end() as usize),
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
            operations: Vec::new(),
            told: Vec::new(),
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

    // ---- what nodes are told ----

    /// The operations that lines of a script can tell nodes to do: `at 2s do lock n1 key=a`. A
    /// node takes them by [`NodeContext::operation`] and does what they mean to it.
    ///
    /// Names are made of letters, digits, `-`, `_` and `.`; what stands behind the node are keys and
    /// values of any kind without blanks. `at`, `every` and `when` are as with faults
    /// ([`script`](crate::script)).
    ///
    /// ```
    /// use gridmux_sim::cluster::{NodeContext, Simulation};
    ///
    /// let simulation = Simulation::new(2, |context: NodeContext<(usize, u64)>| async move {
    ///     let mut sum = 0;
    ///     loop {
    ///         let operation = context.operation().await;
    ///         sum += operation.get("by").unwrap_or("1").parse::<u64>()?;
    ///         context.note((context.node(), sum));
    ///     }
    /// })
    /// .operations(&["add"])
    /// .chaos(std::time::Duration::from_secs(3)..=std::time::Duration::from_secs(5));
    ///
    /// // In a script of its own…
    /// let text = "\
    /// gridmux-sim 1
    /// nodes 2
    /// at 1s do add n0 by=5
    /// at 2s do add n0
    /// at 3s do add n1
    /// heal 4s
    /// ";
    /// let report = simulation.replay(text)?;
    /// let noted: Vec<_> = report.notes.iter().map(|note| note.event).collect();
    /// assert_eq!(noted, [(0, 5), (0, 6), (1, 1)]);
    ///
    /// // … or in that of every seed, whose faults then come on top.
    /// let attacked = simulation.tell("every 500ms 1s..3s do add n0 by=2\nat 2s do add n1")?;
    /// assert!(attacked.script(7).lines.len() > 2);
    /// # Ok::<(), gridmux_sim::cluster::ReplayError>(())
    /// ```
    #[must_use]
    pub fn operations(mut self, names: &[&'static str]) -> Self {
        self.operations.extend_from_slice(names);
        self
    }

    /// Lines with operations for the scripts of all seeds, beside the faults that these draw. To be
    /// called behind [`operations`](Self::operations).
    ///
    /// # Errors
    /// A line that is no operation that is known; lines are counted from 1 in this text.
    pub fn tell(mut self, lines: &str) -> Result<Self, ReplayError> {
        const BEFORE: [&str; 2] = ["gridmux-sim 1", "nodes"];
        let text = format!("{}\n{} {}\n{lines}", BEFORE[0], BEFORE[1], self.nodes);
        let script = read(&text, &self.operations).map_err(|error| ScriptError {
            line: error.line.saturating_sub(BEFORE.len()),
            ..error
        })?;
        match script.lines.iter().find(|line| !matches!(line.deed, Deed::Do(_))) {
            Some(line) => Err(ReplayError::Foreign(line.to_string())),
            None => {
                self.told.extend(script.lines);
                Ok(self)
            }
        }
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
        script.lines.extend_from_slice(&self.told);
        script
    }

    /// Runs a seed. The same seed gives the same run, event by event, as long as the nodes' code
    /// draws its randomness and reads its time from the context, spawns its tasks there, and
    /// blocks on nothing.
    pub fn run(&self, seed: u64) -> Report<N> {
        self.run_script(&self.script(seed))
    }

    /// Runs a seed twice, to see that both runs are the same: a run that is not cannot be replayed or
    /// minimised. [What makes them differ](super#what-makes-a-run-the-same-again) is in the nodes'
    /// code. The report has a trace.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use std::time::Duration;
    ///
    /// use gridmux_sim::cluster::{NodeContext, Simulation};
    ///
    /// // The order of a `HashSet` is another one in each of them.
    /// let simulation = Simulation::new(2, |context: NodeContext<u64>| async move {
    ///     for millis in HashSet::from([1, 20, 300, 4000]) {
    ///         context.sleep(Duration::from_millis(millis)).await;
    ///         context.note(millis);
    ///     }
    ///     Ok(())
    /// });
    /// // Of five seeds, one at the least.
    /// let differs = (0..5).find_map(|seed| simulation.run_twice(seed).err());
    /// println!("{}", differs.expect("they are not the same"));
    /// ```
    ///
    /// # Errors
    /// The first event after which the runs differ.
    pub fn run_twice(&self, seed: u64) -> Result<Report<N>, Differs> {
        let script = self.script(seed);
        let run = || Engine::new(self, &script, true).run_in_steps();
        let (one, other) = (run(), run());
        match Differs::between(seed, [&one, &other]) {
            None => Ok(one.0),
            Some(differs) => Err(differs),
        }
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
    /// The text is no script, names operations that are not known, or has lines that are for
    /// [`run`](crate::run) only or come too late.
    pub fn replay(&self, text: &str) -> Result<Report<N>, ReplayError> {
        let script = self.read(text)?;
        if let Some(node) = script.nodes.iter().position(|kind| *kind != NodeKind::Ours) {
            return Err(ReplayError::Foreign(format!("node n{node}")));
        }
        let foreign = |deed: &Deed| match deed {
            Deed::Fault(fault) => {
                matches!(fault, Fault::Twin { .. } | Fault::Remove { .. } | Fault::Panic { .. })
            }
            Deed::Call(_) | Deed::Cancel(_) => true,
            Deed::Do(_) => false,
        };
        if let Some(line) = script.lines.iter().find(|line| foreign(&line.deed)) {
            return Err(ReplayError::Foreign(line.to_string()));
        }
        let end = script.heal.saturating_add(self.calm_of(&script));
        let late = |line: &&Line| match &line.moment {
            Moment::At(at) => *at > end,
            Moment::Every(times) => times.last > end,
            Moment::When(_) => false,
        };
        match script.lines.iter().find(late) {
            Some(line) => Err(ReplayError::Late(line.to_string())),
            None => Ok(self.run_script(&script)),
        }
    }

    /// The script of a text with operations of this simulation.
    pub(super) fn read(&self, text: &str) -> Result<Script, ScriptError> {
        read(text, &self.operations)
    }

    /// How long it is calm behind the faults of a script, in nanoseconds.
    pub(super) fn calm_of(&self, script: &Script) -> u64 {
        let links = || heal_bound(script, &self.timings).saturating_add(nanos(REST));
        self.calm.map_or_else(links, nanos)
    }

    pub(super) fn run_script(&self, script: &Script) -> Report<N> {
        Engine::new(self, script, self.traced).run()
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
