//! What is to happen, in order of time, and in random order within one instant.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::executor::TaskId;
use super::network::{ConnId, End};
use super::timers::Alarm;

/// Something that is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A task that was woken runs.
    Poll(TaskId),
    /// A task that has yielded its turn of this number has another one.
    Resume(TaskId, u64),
    /// A timer is due.
    Timer(Alarm),
    /// Bytes, or the end, arrive at this end of a connection.
    Arrive(ConnId, End),
    /// This end of a connection learns that it is broken.
    Break(ConnId, End),
    /// Whoever runs the world wants to be asked; the number is theirs.
    Cue(u64),
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    tie: u64,
    seq: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at, other.tie, other.seq).cmp(&(self.at, self.tie, self.seq))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The future.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    seq: u64,
}

impl Queue {
    /// `tie` orders what happens at the same time.
    pub(crate) fn push(&mut self, at: u64, tie: u64, event: Event) {
        self.seq += 1;
        self.heap.push(Entry { at, tie, seq: self.seq, event });
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Whether a task is to run.
    pub(crate) fn has_polls(&self) -> bool {
        self.heap.iter().any(|entry| matches!(entry.event, Event::Poll(_)))
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Queue};

    #[test]
    fn time_goes_first_then_the_tie_then_the_order_of_asking() {
        let mut queue = Queue::default();
        for (at, tie, cue) in [(5, 0, 1), (4, 9, 2), (4, 1, 3), (4, 1, 4)] {
            queue.push(at, tie, Event::Cue(cue));
        }
        assert_eq!(queue.next_at(), Some(4));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let cue = |at, cue| (at, Event::Cue(cue));
        assert_eq!(order, [cue(4, 3), cue(4, 4), cue(4, 2), cue(5, 1)]);
    }
}
