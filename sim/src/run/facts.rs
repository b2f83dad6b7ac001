//! All that is known of a run when it is over.

use crate::effects::{WireCounts, WorldCounts};
use crate::oracle::Evidence;

/// All that is known of a run.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the oracles judge by.
    pub evidence: Evidence,
    /// What the simulated machines did.
    pub world_counts: WorldCounts,
    /// What came of messages on the wire.
    pub wire_counts: WireCounts,
}
