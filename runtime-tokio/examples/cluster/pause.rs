//! Sleeping and time limits on whatever runtime a node runs on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;

/// Sleeps for `duration`.
pub(crate) async fn sleep<R: Runtime>(runtime: &R, duration: Duration) {
    let mut timer = runtime.timer();
    let until = runtime.instant().after(duration);
    poll_fn(|cx| timer.poll_until(until, cx)).await;
}

/// What `future` gives, or `None` if it takes longer than `limit`.
pub(crate) async fn within<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut timer = runtime.timer();
    let until = runtime.instant().after(limit);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_until(until, cx).map(|()| None),
    })
    .await
}
