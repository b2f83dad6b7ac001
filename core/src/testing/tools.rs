//! Time and tasks on any runtime.

use std::future::Future;
use std::time::Duration;

use futures::channel::oneshot;

use crate::driver::runtime::Runtime;
use crate::driver::time::{sleep, timeout};

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

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

/// Waits until `reached` says so: for what has no event of its own, such as a counter.
///
/// # Panics
/// If it does not within ten seconds, with `what` as the text.
pub async fn eventually<R: Runtime>(runtime: &R, what: &str, mut reached: impl FnMut() -> bool) {
    let looking = async {
        while !reached() {
            sleep(runtime, LOOK_EVERY).await;
        }
    };
    within(runtime, Duration::from_secs(10), what, looking).await;
}

/// Runs `future` as a task; the result is its output.
///
/// # Panics
/// If the task has panicked.
pub fn spawn<R, F>(runtime: &R, future: F) -> impl Future<Output = F::Output> + Send + use<R, F>
where
    R: Runtime,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let (done, output) = oneshot::channel();
    runtime.spawn(async move {
        let _ = done.send(future.await);
    });
    async move { output.await.expect("the task has panicked") }
}
