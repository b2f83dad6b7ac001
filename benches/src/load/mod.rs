//! A load harness for any system under test: callers in a closed loop, their rate, their
//! latency and the processor time they cost.

mod histogram;
mod rate;

use std::io;
use std::time::{Duration, Instant};

use gridmux_core::driver::runtime::Runtime;
use gridmux_core::driver::time::sleep;
use gridmux_tokio::Tokio;
use tokio::sync::oneshot;

pub use self::histogram::Histogram;
pub use self::rate::{Rate, cpu_time};

/// One caller of the system under test.
///
/// Any closure that returns a future is one; a type of its own may also let the future borrow
/// from it, which spares the system under test a handle per call:
///
/// ```
/// use std::io;
/// use gridmux_benches::load::Caller;
///
/// struct Sum(Vec<u64>);
///
/// impl Caller for Sum {
///     async fn call(&mut self) -> io::Result<()> {
///         let _ = std::hint::black_box(self.0.iter().sum::<u64>());
///         Ok(())
///     }
/// }
/// ```
pub trait Caller: Send + 'static {
    /// Makes one call. A caller whose call fails makes no more.
    fn call(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

impl<F, Fut> Caller for F
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send,
{
    fn call(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self()
    }
}

/// Calls in a loop from `callers` tasks on the current tokio runtime, each with a clone of `call`;
/// see [`closed_loop_on`].
///
/// ```
/// use std::time::Duration;
/// use gridmux_benches::load::closed_loop;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rate = closed_loop(2, Duration::from_millis(50), || async {
///     tokio::task::yield_now().await;
///     Ok(())
/// })
/// .await;
/// assert!(rate.calls > 0 && rate.failed == 0);
/// # }
/// ```
pub async fn closed_loop<C: Caller + Clone>(callers: usize, duration: Duration, call: C) -> Rate {
    closed_loop_on(&Tokio::default(), std::iter::repeat_n(call, callers), duration).await
}

/// Calls in a loop, each of `callers` on a task of its own and its next call right after the last,
/// and measures for `duration`, after warming up for a fifth of it (at most one second).
///
/// The callers run on `runtime`, in the same process as the system under test: the rate includes
/// what they cost.
pub async fn closed_loop_on<R: Runtime, C: Caller>(
    runtime: &R,
    callers: impl IntoIterator<Item = C>,
    duration: Duration,
) -> Rate {
    let warm_up = (duration / 5).min(Duration::from_secs(1));
    let start = Instant::now() + warm_up;
    let end = start + duration;
    let callers = spawn_all(runtime, callers, |call| call_until(call, start, end));
    sleep(runtime, warm_up).await;
    let cpu_before = cpu_time();
    sleep(runtime, duration).await;
    let cpu = cpu_before.zip(cpu_time()).map(|(before, after)| after.saturating_sub(before));

    let mut latencies = Histogram::default();
    let mut failed = 0;
    for caller in callers {
        match caller.await {
            Ok((counted, result)) => {
                latencies.merge(&counted);
                failed += u64::from(result.is_err());
            }
            Err(_panic) => failed += 1,
        }
    }
    Rate::new(&latencies, failed, duration, cpu)
}

/// Has each of `callers`, on a task of its own, make `calls` calls one after the other; how long
/// that took in all.
///
/// # Errors
///
/// The first call that failed.
pub async fn fixed_calls<R: Runtime, C: Caller>(
    runtime: &R,
    callers: impl IntoIterator<Item = C>,
    calls: u64,
) -> io::Result<Duration> {
    let start = Instant::now();
    let callers = spawn_all(runtime, callers, |mut caller| async move {
        for _ in 0..calls {
            caller.call().await?;
        }
        Ok(())
    });
    for caller in callers {
        caller.await.unwrap_or_else(|_| Err(io::Error::other("a caller panicked")))?;
    }
    Ok(start.elapsed())
}

/// A task for each of `callers`, and where it tells its result; a panic closes that.
fn spawn_all<R: Runtime, C, Fut>(
    runtime: &R,
    callers: impl IntoIterator<Item = C>,
    run: impl Fn(C) -> Fut,
) -> Vec<oneshot::Receiver<Fut::Output>>
where
    Fut: Future<Output: Send> + Send + 'static,
{
    let spawn = |caller| {
        let (done, result) = oneshot::channel();
        let task = run(caller);
        runtime.spawn(async move {
            // Nobody waits for the result of a measurement that was given up.
            let _ = done.send(task.await);
        });
        result
    };
    callers.into_iter().map(spawn).collect()
}

/// Calls until `end`, and counts the calls that end between `start` and `end`. The clock is read
/// once a call: the end of one is the beginning of the next.
async fn call_until<C: Caller>(
    mut caller: C,
    start: Instant,
    end: Instant,
) -> (Histogram, io::Result<()>) {
    let mut latencies = Histogram::default();
    let mut before = Instant::now();
    loop {
        if let Err(error) = caller.call().await {
            return (latencies, Err(error));
        }
        let now = Instant::now();
        if now >= end {
            return (latencies, Ok(()));
        }
        if now >= start {
            latencies.record(now - before);
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn counts_only_what_succeeds() {
        let mut left = 3;
        let rate = closed_loop(2, Duration::from_millis(20), move || {
            left -= 1;
            std::future::ready(if left > 0 { Ok(()) } else { Err(io::Error::other("no")) })
        })
        .await;
        // Two calls of each caller succeed; where the machine is slow, they are counted.
        assert_eq!(rate.failed, 2);
        assert!(rate.calls <= 4, "{}", rate.calls);
    }

    #[tokio::test]
    async fn every_caller_makes_its_calls() {
        let made = Arc::new(AtomicU64::new(0));
        let caller = || {
            let made = Arc::clone(&made);
            move || {
                let before = made.fetch_add(1, Ordering::Relaxed);
                std::future::ready(if before < 30 { Ok(()) } else { Err(io::Error::other("no")) })
            }
        };
        let runtime = Tokio::default();
        fixed_calls(&runtime, [caller(), caller(), caller()], 10).await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 30);
        assert_eq!(fixed_calls(&runtime, [caller()], 1).await.unwrap_err().to_string(), "no");
    }
}
