//! A cluster from its operator's side: started, shown, broken and stopped, wherever its nodes run.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::chaos::Chaos;
use crate::outcome::Counts;
use crate::report::{Display, Lives, Summary};

/// Whatever goes wrong outside of the grid.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Between two looks at the nodes.
const TICK: Duration = Duration::from_millis(100);

/// Between two lines about a node.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Nodes that can be killed and started again.
pub(crate) trait Cluster {
    /// Kills a node: no goodbye, no last words.
    fn kill(&mut self, node: usize) -> impl Future<Output = Result<(), Failure>>;

    /// Starts a node that is not running.
    fn start(&mut self, node: usize) -> impl Future<Output = Result<(), Failure>>;

    /// Looks at every node.
    fn look(&mut self) -> Result<(), Failure>;

    /// The nodes that run here, as last looked at.
    fn nodes(&self) -> Vec<Lives>;

    /// Holds that overlapped, and holds at all.
    fn overlaps(&self) -> (u64, u64);

    /// Drains and ends all nodes.
    fn stop(&mut self) -> impl Future<Output = Result<(), Failure>>;
}

/// Runs the cluster for so long, or until Ctrl-C, with or without chaos.
pub(crate) async fn run<C: Cluster>(
    mut cluster: C,
    seconds: Option<u64>,
    mut chaos: Option<Chaos>,
) -> Result<Summary, Failure> {
    let interrupt = interrupts();
    let begun = Instant::now();
    let end = seconds.map(Duration::from_secs);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut display = Display::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = interrupt.notified() => break,
        }
        if end.is_some_and(|end| begun.elapsed() >= end) {
            break;
        }
        if let Some(chaos) = &mut chaos {
            chaos.step(&mut cluster).await?;
        }
        cluster.look()?;
        display.refresh(&cluster.nodes(), SHOW_EVERY);
    }
    let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    display.note("draining");
    tokio::select! {
        stopped = cluster.stop() => stopped?,
        () = interrupt.notified() => return Err("interrupted while draining".into()),
    }
    display.refresh(&cluster.nodes(), Duration::ZERO);
    let nodes = cluster.nodes();
    let (mut counts, mut reconnects) = (Counts::NONE, 0);
    for (one, its_reconnects) in nodes.iter().map(Lives::totals) {
        counts += one;
        reconnects += its_reconnects;
    }
    let (overlaps, holds) = cluster.overlaps();
    display.note(&format!("{holds} holds of locks, {overlaps} pairs of them at odds"));
    counts.wrong += overlaps;
    let kills = chaos.map_or(0, |chaos| chaos.kills());
    Ok(Summary { nodes: nodes.len(), seconds, counts, reconnects, kills })
}

/// Told of every Ctrl-C, whatever is going on when it comes.
fn interrupts() -> Arc<Notify> {
    let notify = Arc::new(Notify::new());
    let interrupt = notify.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            interrupt.notify_one();
        }
    });
    notify
}
