//! Kills nodes, one at a time, and starts them again.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Failure};

/// Milliseconds from the start of a node to the next kill.
const CALM: RangeInclusive<u64> = 1000..=6000;

/// The same where two kills are to hit one hold of a lock: the tables of a majority are lost.
const HASTE: RangeInclusive<u64> = 50..=500;

/// Milliseconds for which a killed node is down.
const DOWN: RangeInclusive<u64> = 200..=2000;

/// What happens next, and when.
#[derive(Debug)]
pub(crate) struct Chaos {
    rng: fastrand::Rng,
    nodes: usize,
    next: Instant,
    down: Option<usize>,
    kills: u64,
}

impl Chaos {
    pub(crate) fn new(mut rng: fastrand::Rng, nodes: usize) -> Self {
        let next = Instant::now() + Duration::from_millis(rng.u64(CALM));
        Self { rng, nodes, next, down: None, kills: 0 }
    }

    pub(crate) const fn kills(&self) -> u64 {
        self.kills
    }

    /// Does what is due.
    pub(crate) async fn step<C: Cluster>(&mut self, cluster: &mut C) -> Result<(), Failure> {
        if Instant::now() < self.next {
            return Ok(());
        }
        let rest = match self.down.take() {
            Some(node) => {
                cluster.start(node).await?;
                if self.rng.u32(0..3) == 0 { HASTE } else { CALM }
            }
            None => {
                let node = self.rng.usize(0..self.nodes);
                cluster.kill(node).await?;
                self.kills += 1;
                self.down = Some(node);
                DOWN
            }
        };
        self.next = Instant::now() + Duration::from_millis(self.rng.u64(rest));
        Ok(())
    }
}
