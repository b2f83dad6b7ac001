//! Time on any runtime.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use crate::driver::runtime::Runtime;

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long [`eventually`] looks.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `duration`.
pub async fn sleep<R: Runtime>(runtime: &R, duration: Duration) {
    let at = runtime.instant().after(duration);
    let mut timer = runtime.timer();
    std::future::poll_fn(|cx| timer.poll_until(at, cx)).await;
}

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
    let mut future = std::pin::pin!(future);
    let mut late = std::pin::pin!(sleep(runtime, limit));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        assert!(late.as_mut().poll(cx).is_pending(), "{what}: not done within {limit:?}");
        Poll::Pending
    })
    .await
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
