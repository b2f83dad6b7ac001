//! Time on any runtime.

use std::future::Future;
use std::time::Duration;

use crate::driver::runtime::Runtime;
pub use crate::driver::time::sleep;
use crate::driver::time::timeout;

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long [`eventually`] looks.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `future` for at most `limit`.
///
/// # Panics
/// If it takes longer, with `what` as the text.
pub async fn within<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    what: &str,
    future: F,
) -> F::Output {
    let done = timeout(runtime, limit, future).await;
    done.unwrap_or_else(|_| panic!("{what}: not done within {limit:?}"))
}

/// Waits until `reached` says so, which is asked every 2 ms: for what has no event of its own, such
/// as a counter.
///
/// # Panics
/// If it does not within ten seconds, with `what` as the text.
pub async fn eventually<R: Runtime>(runtime: &R, what: &str, mut reached: impl FnMut() -> bool) {
    let looking = async {
        while !reached() {
            sleep(runtime, LOOK_EVERY).await;
        }
    };
    within(runtime, PATIENCE, what, looking).await;
}
