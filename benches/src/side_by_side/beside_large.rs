//! What a small call waits for while large ones are on the same connection, and what they lose by
//! it.

use std::io;
use std::time::Duration;

use super::Running;
use crate::work::{LARGE, Shape, Workload};

/// The name of this measurement, on the command line.
pub const BESIDE_LARGE: &str = "beside-large";

const SMALL_CALL: Workload = Workload { name: "small", shape: Shape::Unary, size: 100, callers: 1 };
const LARGE_CALLS: Workload =
    Workload { name: "large", shape: Shape::Unary, size: LARGE, callers: 4 };

/// One caller of a 100-byte echo and four of a 1 MiB echo, apart and together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BesideLarge {
    /// The median latency of the small call, alone.
    pub small_alone: Duration,
    /// The same, beside the large ones.
    pub small_beside: Duration,
    /// Large calls per second, alone.
    pub large_alone: f64,
    /// The same, beside the small one.
    pub large_beside: f64,
}

impl BesideLarge {
    pub(super) async fn measure(system: &dyn Running, duration: Duration) -> io::Result<Self> {
        let small_alone = system.run(&SMALL_CALL, duration).await?;
        let large_alone = system.run(&LARGE_CALLS, duration).await?;
        let (small_beside, large_beside) = futures::try_join!(
            system.run(&SMALL_CALL, duration),
            system.run(&LARGE_CALLS, duration)
        )?;
        Ok(Self {
            small_alone: small_alone.p50,
            small_beside: small_beside.p50,
            large_alone: large_alone.per_second,
            large_beside: large_beside.per_second,
        })
    }
}
