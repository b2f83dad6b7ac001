//! One node: its handlers, its load, and what is seen of it from outside. It knows no runtime
//! but the one it is given.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gridmux_tokio::auth::SharedSecret;
use gridmux_tokio::builder::{BuildError, Builder};
use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::sleep;
use gridmux_tokio::handle::{Context, Grid, Input, Output};
use gridmux_tokio::link::LinkState;
use gridmux_tokio::node::authority;
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::timings::Timings;
use serde::{Deserialize, Serialize};

use crate::homes::Kind;
use crate::load::{Progress, Scene, Witness};
use crate::locks::{self, Locks, Table};
use crate::outcome::{Counts, Outcomes};
use crate::routes::{ASK, Answer, ECHO, Heard, Question, Said, TALK, WALK};
use crate::walk::{Digest, Walk, WalkItem};

/// How long running calls may go on when a node is stopped.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// How often and how far apart a port that is still taken is tried again.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// What a node is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// All nodes, this one among them.
    pub(crate) names: Vec<String>,
    /// Peers that serve nothing but echoes.
    pub(crate) guests: Vec<String>,
    pub(crate) secret: SharedSecret,
    pub(crate) runtime: Kind,
    /// What this node lets others walk through.
    pub(crate) dir: PathBuf,
    /// Whether the others walk through the very same directory.
    pub(crate) shares_directory: bool,
    pub(crate) locks: u16,
    pub(crate) seed: u64,
}

/// What is seen of a running node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) counts: Counts,
    pub(crate) reconnects: u64,
    pub(crate) links_up: usize,
    pub(crate) links: usize,
    /// Peers and guests to which no link has been up in this life of the node.
    pub(crate) unmet: BTreeSet<String>,
    /// Of the slowest link.
    pub(crate) round_trip_nanos: Option<u64>,
    /// Streams that are open now, opened here or served here.
    pub(crate) streams: usize,
    /// Locks that are held here now.
    pub(crate) held: usize,
    pub(crate) stopping: bool,
}

/// A node at work.
pub(crate) struct Node<R: Runtime> {
    grid: Grid<R>,
    runtime: R,
    outcomes: Outcomes,
    progress: Arc<Progress>,
}

impl<R: Runtime> Node<R> {
    /// Starts the node and its load. Its holds are told to the witness.
    pub(crate) async fn start(
        runtime: R,
        plan: Plan,
        witness: Witness,
    ) -> Result<Self, BuildError> {
        let table = Arc::new(Mutex::new(Table::new(runtime.instant(), None)));
        let grid = open(&runtime, &plan, &table).await?;
        let names = grid.peers().iter().map(|peer| peer.name().to_owned()).collect();
        let (outcomes, progress) = (Outcomes::default(), Arc::new(Progress::new(names)));
        let (guests, peers): (Vec<_>, Vec<_>) =
            grid.peers().into_iter().partition(|peer| plan.guests.iter().any(|g| g == peer.name()));
        let locks = Locks::new(runtime.clone(), table, peers.clone(), outcomes.clone(), None);
        let scene = Scene {
            runtime: runtime.clone(),
            plan,
            locks,
            outcomes: outcomes.clone(),
            witness,
            progress: progress.clone(),
        };
        scene.play(&peers, &guests);
        Ok(Self { grid, runtime, outcomes, progress })
    }

    pub(crate) fn view(&self) -> View {
        let stats = self.grid.stats();
        let peers = self.grid.peers();
        for peer in peers.iter().filter(|peer| peer.state() == LinkState::Connected) {
            self.progress.meet(peer.name());
        }
        View {
            counts: self.outcomes.counts(),
            reconnects: stats.reconnects,
            links_up: stats.links_up,
            links: peers.len(),
            unmet: self.progress.unmet(),
            round_trip_nanos: stats
                .round_trip
                .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            streams: stats.outgoing_streams + stats.incoming_streams,
            held: self.progress.held(),
            stopping: self.progress.is_stopping(),
        }
    }

    /// Begins nothing new and waits, within reason, until everything begun is over: locks are
    /// given back while that is still possible.
    pub(crate) async fn quiesce(&self) {
        self.outcomes.drain();
        self.progress.stop();
        let until = self.runtime.instant().after(GRACE);
        let busy = || self.progress.workers() > 0 || !self.outcomes.is_quiet();
        while busy() && self.runtime.instant() < until {
            sleep(&self.runtime, Duration::from_millis(5)).await;
        }
    }

    /// Leaves the grid; what is still running may go on for the grace period.
    pub(crate) async fn shutdown(&self) {
        self.grid.shutdown(GRACE).await;
    }
}

/// Starts the grid of a node; a port that is still taken may become free.
async fn open<R: Runtime>(
    runtime: &R,
    plan: &Plan,
    table: &Arc<Mutex<Table>>,
) -> Result<Grid<R>, BuildError> {
    let mut tries = 1;
    loop {
        let builder = Grid::builder_on(runtime.clone(), &plan.name)
            .peers(plan.names.iter().chain(&plan.guests).cloned())
            .auth(plan.secret.clone())
            // Frequent, so that there is a round-trip time to show.
            .timings(Timings { ping_interval: Duration::from_secs(1), ..Timings::default() });
        let address = authority(&plan.name).unwrap_or_default();
        match serve(builder, runtime, plan, table).bind(address).await {
            Err(BuildError::Listen { .. }) if tries < BIND_TRIES => {
                sleep(runtime, BIND_PAUSE).await;
            }
            opened => return opened,
        }
        tries += 1;
    }
}

/// Adds all handlers of a node.
fn serve<R: Runtime>(
    builder: Builder<R>,
    runtime: &R,
    plan: &Plan,
    table: &Arc<Mutex<Table>>,
) -> Builder<R> {
    let by = plan.name.clone();
    let answer = move |question: Question, context: Context| {
        let (by, to) = (by.clone(), context.caller().to_owned());
        async move { Ok::<_, Infallible>(Answer { id: question.id, by, to, text: question.text }) }
    };
    let dir = plan.dir.clone();
    let walk = move |NoPayload, output: Output<WalkItem>, _: Context| walk(dir.clone(), output);
    let echo = |payload: Payload, _: Context| async { Ok::<_, Infallible>(payload) };
    let builder = builder
        .serve(ASK, answer)
        .serve(ECHO, echo)
        .serve_stream(WALK, walk)
        .serve_two_way(TALK, |NoPayload, input, output, _: Context| listen(input, output));
    locks::serve(builder, runtime, &plan.name, table)
}

async fn walk(dir: PathBuf, mut output: Output<WalkItem>) -> Result<(), String> {
    let mut digest = Digest::default();
    for entry in Walk::new(&dir) {
        digest.add(&entry);
        output.send(WalkItem::Entry(entry)).await.map_err(|error| error.to_string())?;
    }
    let summary = WalkItem::Summary(digest.summary());
    output.send(summary).await.map_err(|error| error.to_string())
}

async fn listen(mut input: Input<Said>, mut output: Output<Heard>) -> Result<(), String> {
    while let Some(said) = input.try_next().await.map_err(|error| error.to_string())? {
        output.send(Heard::of(&said)).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
