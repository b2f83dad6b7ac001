//! Who waits for what, and those who are to be woken once the lock is released.

use std::sync::Arc;
use std::task::Waker;

use super::shared::{Shared, State};
use crate::mux::IncomingKey;

/// Any number of waiters, each of whom can leave: a future that is dropped leaves nothing behind.
///
/// In the order of arrival, so that the first to wait is the first to be woken. Those who have left
/// keep an empty place until half of the places are empty.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    /// By ticket, which only grows.
    places: Vec<(u64, Option<Waker>)>,
    waiting: usize,
    last: u64,
}

/// A waiter's ticket in one list; 0 is none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl WaitList {
    /// Waits, under the ticket that the waiter has or under a new one; gives the waker that is
    /// not needed any more.
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        if let Some((_, Some(current))) = self.find(*ticket) {
            return match current.will_wake(waker) {
                true => None,
                false => Some(std::mem::replace(current, waker.clone())),
            };
        }
        self.last += 1;
        *ticket = Ticket(self.last);
        self.places.push((self.last, Some(waker.clone())));
        self.waiting += 1;
        None
    }

    /// Waits no more; gives the waker.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let left = self.find(ticket)?.1.take()?;
        self.waiting -= 1;
        if self.waiting <= self.places.len() / 2 {
            self.places.retain(|(_, waker)| waker.is_some());
        }
        Some(left)
    }

    /// Everyone is to be woken, and waits no more.
    #[inline]
    pub(crate) fn wake_all(&mut self, wake: &mut impl Wakers) {
        if !self.places.is_empty() {
            self.wake_some(wake);
        }
    }

    fn wake_some(&mut self, wake: &mut impl Wakers) {
        self.waiting = 0;
        let woken = if planted!(WakeOneOfMany, self.places.len() > 1) { 1 } else { usize::MAX };
        let waiting = self.places.drain(..).filter_map(|(_, waker)| waker);
        waiting.take(woken).for_each(|waker| wake.add(waker));
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut (u64, Option<Waker>)> {
        let at = self.places.binary_search_by_key(&ticket.0, |(ticket, _)| *ticket).ok()?;
        self.places.get_mut(at)
    }
}

/// The lists that a waiter can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// For room in the send queue.
    Queue,
    /// For the link's state to change.
    State,
    /// For a credit of a served stream.
    Output(IncomingKey),
    /// For a call to be cancelled.
    Cancelled(IncomingKey),
}

/// A place in a list. Whoever has one gives it back with [`Shared::leave`]; [`Waiting`] does so by
/// itself.
#[derive(Debug)]
pub(crate) struct Place {
    list: List,
    ticket: Ticket,
}

impl Place {
    pub(crate) const fn new(list: List) -> Self {
        Self { list, ticket: Ticket(0) }
    }

    /// From now on the task of this waker is woken, once.
    pub(crate) fn wait(&mut self, state: &mut State, waker: &Waker) {
        if let Some(list) = state.list(self.list)
            && let Some(old) = list.wait(&mut self.ticket, waker)
        {
            state.drop_later(old);
        }
    }

    /// Whether there may be something to give back.
    pub(crate) fn is_taken(&self) -> bool {
        self.ticket != Ticket::default()
    }

    pub(crate) fn leave(&mut self, state: &mut State) {
        let ticket = std::mem::take(&mut self.ticket);
        if let Some(old) = state.list(self.list).and_then(|list| list.leave(ticket)) {
            state.drop_later(old);
        }
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    place: Place,
}

impl Waiting {
    pub(crate) const fn new(shared: Arc<Shared>, list: List) -> Self {
        Self { shared, place: Place::new(list) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Looks at the machine, and waits if what it saw says so.
    pub(crate) fn look<T>(
        &mut self,
        waker: &Waker,
        look: impl FnOnce(&mut State) -> (T, bool),
    ) -> T {
        let place = &mut self.place;
        self.shared.look(|state| {
            let (seen, wait) = look(state);
            if wait {
                place.wait(state, waker);
            }
            seen
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.leave([&mut self.place]);
    }
}

/// Wakers of one user operation: seldom more than two, so that no memory is asked for.
#[derive(Debug, Default)]
pub(crate) struct WakeList {
    first: [Option<Waker>; 2],
    more: Vec<Waker>,
}

/// Where wakers are collected.
pub(crate) trait Wakers {
    fn add(&mut self, waker: Waker);
}

impl Wakers for Vec<Waker> {
    fn add(&mut self, waker: Waker) {
        self.push(waker);
    }
}

impl Wakers for WakeList {
    fn add(&mut self, waker: Waker) {
        match self.first.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(waker),
            None => self.more.push(waker),
        }
    }
}

impl WakeList {
    /// Wakes everyone. Never under the lock.
    pub(crate) fn wake(self) {
        let [first, second] = self.first;
        if let Some(waker) = first {
            waker.wake();
        }
        if let Some(waker) = second {
            waker.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}

/// Puts a waker where one may be already; gives the one that is not needed any more.
pub(crate) fn set(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match slot {
        Some(current) if current.will_wake(waker) => None,
        slot => slot.replace(waker.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    struct Noone;

    impl Wake for Noone {
        fn wake(self: Arc<Self>) {}
    }

    fn waker() -> Waker {
        Arc::new(Noone).into()
    }

    #[test]
    fn those_who_have_left_keep_no_place() {
        let mut list = WaitList::default();
        let mut tickets = [Ticket::default(); 100];
        for ticket in &mut tickets {
            assert!(list.wait(ticket, &waker()).is_none());
        }
        for ticket in &tickets[..99] {
            assert!(list.leave(*ticket).is_some());
            assert!(list.leave(*ticket).is_none(), "one leaves once");
        }
        assert_eq!(list.len(), 1);
        assert!(list.places.len() <= 2);
    }

    #[test]
    fn a_waiter_has_one_place_and_its_newest_waker() {
        let mut list = WaitList::default();
        let mut ticket = Ticket::default();
        let (first, second) = (waker(), waker());
        assert!(list.wait(&mut ticket, &first).is_none());
        assert!(list.wait(&mut ticket, &first).is_none());
        assert!(list.wait(&mut ticket, &second).is_some_and(|old| old.will_wake(&first)));
        assert_eq!(list.len(), 1);
        let mut woken = Vec::new();
        list.wake_all(&mut woken);
        assert!(woken.len() == 1 && woken[0].will_wake(&second));
        assert!(list.leave(ticket).is_none(), "whoever was woken waits no more");
        assert!(list.wait(&mut ticket, &first).is_none());
        assert_eq!(list.len(), 1);
    }
}
