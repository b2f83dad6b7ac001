//! Nodes in this process, each on a tokio runtime of its own: to kill one is to stop its runtime,
//! so that its tasks vanish where they are and its sockets close without a goodbye.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridmux_tokio::Tokio;
use tokio::runtime::Runtime;

use crate::clock;
use crate::cluster::{Cluster, Failure};
use crate::ledger::{HoldEvent, Ledger};
use crate::load::Witness;
use crate::node::{Node, Plan};
use crate::report::Lives;

/// How long the threads of a killed node may take to notice.
const REAP: Duration = Duration::from_secs(2);

/// Where a node is, while it runs.
struct Running {
    runtime: Runtime,
    node: Arc<Node<Tokio>>,
    /// The number of this life of it, which the ledger knows its holds by.
    holder: u64,
}

struct Place {
    plan: Plan,
    lives: Lives,
    running: Option<Running>,
}

/// The nodes of this process: all of a cluster, or one.
pub(crate) struct InProcess {
    places: Vec<Place>,
    ledger: Arc<Mutex<Ledger>>,
    holders: u64,
}

impl InProcess {
    /// Starts one node for each plan.
    pub(crate) async fn start_all(plans: Vec<Plan>) -> Result<Self, Failure> {
        let place =
            |plan: Plan| Place { lives: Lives::new(plan.name.clone()), plan, running: None };
        let places: Vec<_> = plans.into_iter().map(place).collect();
        let mut cluster = Self { places, ledger: Arc::default(), holders: 0 };
        for node in 0..cluster.places.len() {
            cluster.start(node).await?;
        }
        Ok(cluster)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn witness(&self, holder: u64) -> Witness {
        let ledger = self.ledger.clone();
        Arc::new(move |event: HoldEvent| {
            ledger.lock().unwrap_or_else(PoisonError::into_inner).record(holder, event);
        })
    }

    /// Ends a node's runtime and waits until all its tasks are gone.
    ///
    /// The node itself is dropped after that only: earlier, its grid would say goodbye.
    async fn reap(&self, running: Running) -> Result<(), Failure> {
        let Running { runtime, node, holder } = running;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(REAP)).await?;
        self.ledger().gone(holder, clock::now());
        drop(node);
        Ok(())
    }
}

impl Cluster for InProcess {
    async fn kill(&mut self, node: usize) -> Result<(), Failure> {
        let Some(running) = self.places[node].running.take() else { return Ok(()) };
        let body = running.node.clone();
        self.reap(running).await?;
        let lives = &mut self.places[node].lives;
        lives.see(body.view());
        lives.die();
        Ok(())
    }

    async fn start(&mut self, node: usize) -> Result<(), Failure> {
        self.holders += 1;
        let holder = self.holders;
        let witness = self.witness(holder);
        let place = &mut self.places[node];
        let mut plan = place.plan.clone();
        plan.seed = plan.seed.wrapping_add(holder);
        // Workers of the node, its load included; the other nodes have theirs.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("node")
            .enable_all()
            .build()?;
        match runtime
            .spawn(async { Node::start(Tokio::default(), plan, witness).await })
            .await
            .map_err(Failure::from)
        {
            Ok(Ok(node)) => {
                place.running = Some(Running { runtime, node: Arc::new(node), holder });
                Ok(())
            }
            failed => {
                // A runtime must not be dropped where others run.
                runtime.shutdown_background();
                failed?.map(drop).map_err(Failure::from)
            }
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        for place in &mut self.places {
            if let Some(running) = &place.running {
                place.lives.see(running.node.view());
            }
        }
        Ok(())
    }

    fn nodes(&self) -> Vec<Lives> {
        self.places.iter().map(|place| place.lives.clone()).collect()
    }

    fn overlaps(&self) -> (u64, u64) {
        let ledger = self.ledger();
        (ledger.overlaps(), ledger.holds())
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        let nodes = || self.places.iter().filter_map(|place| place.running.as_ref());
        let quiesce = nodes().map(|running| {
            let node = running.node.clone();
            running.runtime.spawn(async move { node.quiesce().await })
        });
        for quiet in quiesce.collect::<Vec<_>>() {
            quiet.await?;
        }
        let shutdown = nodes().map(|running| {
            let node = running.node.clone();
            running.runtime.spawn(async move { node.shutdown().await })
        });
        for down in shutdown.collect::<Vec<_>>() {
            down.await?;
        }
        self.look()?;
        for index in 0..self.places.len() {
            if let Some(running) = self.places[index].running.take() {
                self.reap(running).await?;
                self.places[index].lives.end();
            }
        }
        Ok(())
    }
}
