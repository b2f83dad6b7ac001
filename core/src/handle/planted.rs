//! The planted bugs of the handles, each shown as it is without the bug and as it is with it. Those
//! of the machines are in `tests/planted`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::budget::Budget;
use super::call::Call;
use super::shared::Shared;
use super::wakers::{Ticket, WaitList};
use crate::driver::runtime::{Clock, Timer};
use crate::mux::Target;
use crate::payload::Payload;
use crate::planted::{Bug, plant};
use crate::testing::{Lone, Which};
use crate::time::{Instant, Now};
use crate::wire::Timestamp;

fn seen<T>(bug: Option<Bug>, scene: impl Fn() -> T) -> T {
    plant(bug);
    let seen = scene();
    plant(None);
    seen
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn all_who_wait_for_one_thing_are_woken() {
    let scene = || {
        let counter = Arc::new(Counter::default());
        let mut list = WaitList::default();
        for _ in 0..3 {
            list.wait(&mut Ticket::default(), &counter.clone().into());
        }
        let mut woken = Vec::<Waker>::new();
        list.wake_all(&mut woken);
        woken.into_iter().for_each(Waker::wake);
        counter.0.load(Ordering::Relaxed)
    };
    assert_eq!((seen(None, scene), seen(Some(Bug::WakeOneOfMany), scene)), (3, 1));
}

struct Still;

impl Clock for Still {
    fn instant(&self) -> Instant {
        Instant::from_millis(1000)
    }

    fn now(&self) -> Now {
        Now { instant: self.instant(), wall: Timestamp { seconds: 1_795_230_600, nanos: 0 } }
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Self)
    }
}

impl Timer for Still {
    fn poll_until(&mut self, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[test]
fn a_request_that_is_dropped_is_open_no_more() {
    let scene = || {
        let node = Lone::connected(Which::Acceptor, |_| {});
        let (_, mut peers) = node.grid.into_parts();
        let peer = peers.pop().expect("the only peer");
        let (doorway, budget) = (Weak::new(), Budget::new(1 << 30));
        let shared = Arc::new(Shared::new(Arc::new(Still), peer, doorway, Arc::default(), budget));
        let request = Payload::from(vec![7]);
        let target = Target { handler: 1, subroute: None };
        let mut call = Box::pin(Call::<_, Payload>::new(shared.clone(), target, "x", &request));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(call);
        let stats = shared.look(|state| state.peer.stats(Still.instant()));
        stats.outgoing_requests
    };
    assert_eq!((seen(None, scene), seen(Some(Bug::DroppedCallGoesOn), scene)), (0, 1));
}
