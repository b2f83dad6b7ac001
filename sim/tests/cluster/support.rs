//! A toy application: a replicated counter, which counts twice if it is told to be careless.

use std::collections::BTreeSet;
use std::time::Duration;

use gridmux_core::route::Unary;
use gridmux_sim::cluster::{NodeContext, NodeError, Simulation};

pub(crate) const ADD: Unary<u64, u64> = Unary::new(1, "add");

/// A replica, which survives crashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub(crate) count: usize,
    seen: BTreeSet<u64>,
}

/// Something to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted(pub(crate) u64);

async fn node(context: NodeContext<Wanted>, careful: bool) -> Result<(), NodeError> {
    let replica = context.disk::<Replica>();
    let add = move |id: u64| {
        replica.write(|replica| {
            if replica.seen.insert(id) || !careful {
                replica.count += 1;
            }
            replica.count as u64
        })
    };
    let serve = add.clone();
    let builder = context.builder().serve_inline(ADD, move |id, _| Ok::<_, String>(serve(id)));
    let grid = builder.bind(context.address()).await?;
    for n in 0.. {
        let id = context.random("id", n);
        context.note(Wanted(id));
        add(id);
        for peer in grid.peers() {
            while !context.is_stopping()
                && peer.call(ADD, &id).timeout(Duration::from_secs(1)).await.is_err()
            {
                context.sleep(Duration::from_millis(100)).await;
            }
        }
        if context.is_stopping() {
            break;
        }
        context.sleep(Duration::from_millis(50)).await;
    }
    grid.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

pub(crate) const TWICE: &str = "nothing is counted twice";

/// Three replicas under attack.
pub(crate) fn counter(careful: bool) -> Simulation<Wanted> {
    Simulation::new(3, move |context| node(context, careful))
        .chaos(Duration::from_secs(3)..=Duration::from_secs(6))
        .calm(Duration::from_secs(3))
        .check(TWICE, |view| {
            let wanted = view.notes().len();
            let counts = (0..view.nodes()).filter_map(|node| view.disk::<Replica>(node));
            match counts.map(|replica| replica.count).max() {
                Some(count) if count > wanted => Err(format!("{count} of {wanted}")),
                _ => Ok(()),
            }
        })
}
