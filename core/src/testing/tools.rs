//! Tasks on any runtime.

use std::future::Future;

use futures::channel::oneshot;

use crate::driver::runtime::Runtime;

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
