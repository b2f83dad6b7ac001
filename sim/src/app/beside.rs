//! The two halves of a stream, side by side.

use futures::future::Either;
use futures::stream::{FuturesUnordered, StreamExt as _};

/// Both, each polled when it is woken itself: a half whose own wake-up is lost stays asleep, however
/// often the other one is woken.
pub(crate) async fn beside(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let mut halves = FuturesUnordered::new();
    halves.push(Either::Left(one));
    halves.push(Either::Right(other));
    while halves.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::beside;

    #[test]
    fn who_is_not_woken_is_not_polled() {
        let (polled, sleeps) = (Cell::new(0), Cell::new(0));
        let busy = poll_fn(|cx| {
            polled.set(polled.get() + 1);
            cx.waker().wake_by_ref();
            if polled.get() == 5 { Poll::Ready(()) } else { Poll::Pending }
        });
        let asleep = poll_fn(|_| {
            sleeps.set(sleeps.get() + 1);
            Poll::<()>::Pending
        });
        let mut both = pin!(beside(busy, asleep));
        for _ in 0..9 {
            assert!(both.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!((polled.get(), sleeps.get()), (5, 1));
    }
}
