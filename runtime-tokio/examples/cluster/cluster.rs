//! A cluster from its operator's side: started, shown, broken and stopped, wherever its nodes run.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::chaos::Chaos;
use crate::display::Display;
use crate::outcome::Counts;
use crate::report::{Lives, Summary, missed};
use crate::tell;

/// Whatever goes wrong outside of the grid.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Between two looks at the nodes.
const TICK: Duration = Duration::from_millis(100);

/// How long a run goes on beyond its time if nodes have not met yet.
const MEET_WITHIN: Duration = Duration::from_secs(5);

/// When a run ends by itself, and what it has to have shown by then.
#[derive(Debug)]
pub(crate) struct Ends {
    /// From its start; `None`: never.
    pub(crate) after: Option<Duration>,
    /// How many nodes the cluster has, here and elsewhere.
    pub(crate) size: usize,
    pub(crate) guests: Vec<String>,
}

impl Ends {
    /// Peers that were to be met and were not, in words.
    pub(crate) fn missed(&self, nodes: &[Lives]) -> Vec<String> {
        missed(nodes, self.size, &self.guests)
    }

    fn is_over(&self, elapsed: Duration, nodes: &[Lives]) -> bool {
        self.after.is_some_and(|after| {
            let late = elapsed >= after.saturating_add(MEET_WITHIN);
            elapsed >= after && (late || self.missed(nodes).is_empty())
        })
    }
}

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

/// Runs the cluster until it ends, or until SIGINT or SIGTERM, with or without chaos. Gives the
/// nodes at the end as well.
pub(crate) async fn run<C: Cluster>(
    mut cluster: C,
    signals: &Notify,
    ends: &Ends,
    mut chaos: Option<Chaos>,
) -> Result<(Summary, Vec<Lives>), Failure> {
    let begun = Instant::now();
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
        if ends.is_over(begun.elapsed(), &cluster.nodes()) {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::homes::Kind;
    use crate::node::View;

    #[test]
    fn a_run_goes_on_beyond_its_time_until_nodes_have_met_but_not_for_ever() {
        let ends = Ends { after: Some(Duration::from_secs(1)), size: 2, guests: Vec::new() };
        let mut nodes = [Lives::new("a".into(), Kind::Tokio)];
        nodes[0].see(View { unmet: BTreeSet::from(["b".into()]), ..View::default() });
        let is_over = |millis, nodes: &[Lives]| ends.is_over(Duration::from_millis(millis), nodes);
        assert!(!is_over(1000, &nodes) && !is_over(5999, &nodes) && is_over(6000, &nodes));
        nodes[0].see(View::default());
        assert!(!is_over(999, &nodes) && is_over(1000, &nodes));
        let never = Ends { after: None, size: 2, guests: Vec::new() };
        assert!(!never.is_over(Duration::MAX, &nodes));
    }
}
