//! A cluster from its operator's side: started, shown, broken and stopped, wherever its nodes run.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::chaos::Chaos;
use crate::display::Display;
use crate::outcome::Counts;
use crate::report::{Lives, Summary};
use crate::tell;

/// Whatever goes wrong outside of the grid.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Between two looks at the nodes.
const TICK: Duration = Duration::from_millis(100);

/// Nodes that can be killed and started again.
pub(crate) trait Cluster {
    /// Kills a node: no goodbye, no last words.
    fn kill(&mut self, node: usize) -> impl Future<Output = Result<(), Failure>>;

    /// Starts a node that is not running.
    fn start(&mut self, node: usize) -> impl Future<Output = Result<(), Failure>>;

    /// Looks at every node.
    fn look(&mut self) -> Result<(), Failure>;

    /// Whether a node was asked to end by a signal of its own: then all are to end.
    fn is_asked_to_end(&self) -> bool {
        false
    }

    /// The nodes that run here, as last looked at.
    fn nodes(&self) -> Vec<Lives>;

    /// Holds that overlapped, and holds at all.
    fn overlaps(&self) -> (u64, u64);

    /// Drains and ends all nodes.
    fn stop(&mut self) -> impl Future<Output = Result<(), Failure>>;
}

/// Runs the cluster for this long, or until SIGINT or SIGTERM, with or without chaos. Gives the
/// nodes at the end as well.
pub(crate) async fn run<C: Cluster>(
    mut cluster: C,
    signals: &Notify,
    seconds: Option<u64>,
    mut chaos: Option<Chaos>,
) -> Result<(Summary, Vec<Lives>), Failure> {
    let begun = Instant::now();
    let end = seconds.map(Duration::from_secs);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut display = Display::new();
    // While the nodes drain, one more signal ends everything. The first is still on its way if a
    // node has got it earlier.
    let mut signals_to_ignore = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = signals.notified() => break,
        }
        if cluster.is_asked_to_end() {
            signals_to_ignore = 1;
            break;
        }
        if end.is_some_and(|end| begun.elapsed() >= end) {
            break;
        }
        if let Some(chaos) = &mut chaos {
            chaos.step(&mut cluster).await?;
        }
        cluster.look()?;
        display.refresh(&cluster.nodes());
    }
    let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    tell("draining");
    tokio::select! {
        stopped = cluster.stop() => stopped?,
        () = async {
            for _ in 0..=signals_to_ignore {
                signals.notified().await;
            }
        } => return Err("interrupted while draining".into()),
    }
    display.finish(&cluster.nodes());
    let nodes = cluster.nodes();
    let (mut counts, mut reconnects) = (Counts::NONE, 0);
    for (one, its_reconnects) in nodes.iter().map(Lives::totals) {
        counts += one;
        reconnects += its_reconnects;
    }
    let (overlaps, holds) = cluster.overlaps();
    tell(format_args!("{holds} holds of locks, {overlaps} pairs of them at odds"));
    counts.wrong += overlaps;
    let kills = chaos.map_or(0, |chaos| chaos.kills());
    Ok((Summary { nodes: nodes.len(), seconds, counts, reconnects, kills }, nodes))
}
