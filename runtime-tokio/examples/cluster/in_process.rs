//! Nodes in this process, each in a home of its own: to kill one is to end its home.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::cluster::{Cluster, Failure};
use crate::homes::{self, Resident};
use crate::ledger::{HoldEvent, Ledger};
use crate::load::Witness;
use crate::node::{Plan, View};
use crate::report::Lives;

/// A node while it runs.
struct Running {
    resident: Box<dyn Resident>,
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
        let place = |plan: Plan| {
            let lives = Lives::new(plan.name.clone(), plan.runtime);
            Place { plan, lives, running: None }
        };
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

    /// Ends a node's home, and says what was last seen of it.
    async fn reap(&self, running: Running) -> Result<View, Failure> {
        let view = running.resident.end().await?;
        self.ledger().gone(running.holder, clock::now());
        Ok(view)
    }
}

impl Cluster for InProcess {
    async fn kill(&mut self, node: usize) -> Result<(), Failure> {
        let Some(running) = self.places[node].running.take() else { return Ok(()) };
        let view = self.reap(running).await?;
        let lives = &mut self.places[node].lives;
        lives.see(view);
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
        let resident = homes::start(plan, witness).await?;
        place.running = Some(Running { resident, holder });
        Ok(())
    }

    fn look(&mut self) -> Result<(), Failure> {
        for place in &mut self.places {
            if let Some(running) = &place.running {
                place.lives.see(running.resident.view());
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
        let quiesce: Vec<_> = nodes().map(|running| running.resident.quiesce()).collect();
        for quiet in quiesce {
            quiet.await?;
        }
        let shutdown: Vec<_> = nodes().map(|running| running.resident.shutdown()).collect();
        for down in shutdown {
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
