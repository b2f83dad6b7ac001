//! Work on several threads whose results come in order, whatever thread is faster.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// Does `work` for every number on so many threads, and hands the results to `take` in the order
/// of the numbers, one at a time, on the calling thread. After a `Break`, `take` is not called
/// again, and no further number is begun; the work under way is waited for.
///
/// # Panics
///
/// If `work` or `take` panics.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::ops::ControlFlow;
///
/// let mut squares = Vec::new();
/// let threads = NonZeroUsize::new(3).unwrap();
/// gridmux_sim::parallel::in_order(0..100, threads, |n| n * n, |n, square| {
///     squares.push(square);
///     if n == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// ```
pub fn in_order<T: Send>(
    numbers: Range<u64>,
    threads: NonZeroUsize,
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let next = AtomicU64::new(numbers.start);
    let stop = AtomicBool::new(false);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            let (sender, next, stop, work) = (sender.clone(), &next, &stop, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let after = |number| (number < numbers.end).then(|| number + 1);
                    let taken = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
                    let Ok(number) = taken else { return };
                    if sender.send((number, work(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = numbers.start;
        for (number, result) in results {
            early.insert(number, result);
            while let Some(result) = early.remove(&due) {
                if take(due, result).is_break() {
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
                due += 1;
            }
        }
    });
}

/// As many threads as the machine has cores.
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::ops::ControlFlow;
    use std::sync::mpsc;

    use super::in_order;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn a_late_result_comes_before_those_that_overtook_it() {
        let (done, overtaken) = mpsc::channel();
        let overtaken = std::sync::Mutex::new(overtaken);
        let mut order = Vec::new();
        let work = |number| match number {
            0 => assert_eq!(overtaken.lock().unwrap().recv(), Ok(1)),
            1 => done.send(number).unwrap(),
            _ => {}
        };
        in_order(0..50, threads(2), work, |number, ()| {
            order.push(number);
            ControlFlow::Continue(())
        });
        assert!(order.into_iter().eq(0..50));
    }

    #[test]
    fn the_numbers_end_at_the_greatest_one() {
        let mut taken = Vec::new();
        let end = u64::MAX;
        in_order(
            end - 3..end,
            threads(8),
            |number| number,
            |_, number| {
                taken.push(number);
                // Numbers that began again at 0 would never end.
                if taken.len() > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(taken, [end - 3, end - 2, end - 1]);
    }

    #[test]
    fn no_number_is_begun_after_the_end() {
        let begun = std::sync::atomic::AtomicU64::new(0);
        let count = |_| begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        in_order(7..10, threads(8), count, |_, _| ControlFlow::Continue(()));
        assert_eq!(begun.into_inner(), 3);
    }
}
