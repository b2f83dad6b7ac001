//! Items of a stream that were received and not yet taken.

use std::collections::VecDeque;

use bytes::Bytes;

/// Queues that are kept for the next streams, and how long one may be for that.
const KEPT: usize = 64;
const LONGEST: usize = 64;

/// First in, first out. The one to be taken next is in here itself: a stream whose items are taken as
/// they come asks for no other memory, and touches none.
#[derive(Debug, Default)]
pub(super) struct Items {
    next: Option<Bytes>,
    /// None while there is no next one.
    later: VecDeque<Bytes>,
}

impl Items {
    pub(super) fn len(&self) -> usize {
        usize::from(self.next.is_some()) + self.later.len()
    }

    pub(super) fn push(&mut self, item: Bytes, memory: &mut ItemMemory) {
        if self.next.is_none() {
            self.next = Some(item);
            return;
        }
        if self.later.capacity() == 0 {
            self.later = memory.queues.pop().unwrap_or_default();
        }
        self.later.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let item = self.next.take();
        if !self.later.is_empty() {
            self.next = self.later.pop_front();
        }
        item
    }

    /// The stream is over, and its items are taken: others can use the memory.
    pub(super) fn give_back(&mut self, memory: &mut ItemMemory) {
        let queue = std::mem::take(&mut self.later);
        let fits = (1..=LONGEST).contains(&queue.capacity());
        if queue.is_empty() && fits && memory.queues.len() < KEPT {
            memory.queues.push(queue);
        }
    }
}

/// Empty queues of streams that are over.
#[derive(Debug, Default)]
pub(crate) struct ItemMemory {
    queues: Vec<VecDeque<Bytes>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u8) -> Bytes {
        vec![number].into()
    }

    #[test]
    fn items_come_out_in_their_order_however_they_alternate() {
        let (mut items, mut memory) = (Items::default(), ItemMemory::default());
        let (mut pushed, mut popped) = (0, 0);
        for (pushes, pops) in [(1, 1), (3, 1), (1, 2), (2, 3), (0, 0), (2, 1), (1, 2)] {
            for _ in 0..pushes {
                items.push(item(pushed), &mut memory);
                pushed += 1;
            }
            for _ in 0..pops {
                assert_eq!(items.pop(), Some(item(popped)));
                popped += 1;
            }
            assert_eq!(items.len(), usize::from(pushed - popped));
        }
        assert_eq!((pushed, items.pop()), (10, None));
    }

    #[test]
    fn items_that_are_taken_as_they_come_need_no_memory() {
        let (mut items, mut memory) = (Items::default(), ItemMemory::default());
        for number in 0..4 {
            items.push(item(number), &mut memory);
            items.pop();
        }
        assert_eq!(items.later.capacity(), 0);
    }

    #[test]
    fn the_next_stream_has_the_memory_of_one_that_is_over() {
        let mut memory = ItemMemory::default();
        let mut stream = |count: u8| {
            let mut items = Items::default();
            (0..count).for_each(|number| items.push(item(number), &mut memory));
            let room = items.later.capacity();
            while items.pop().is_some() {}
            items.give_back(&mut memory);
            (room, memory.queues.len())
        };
        assert_eq!(stream(1), (0, 0), "it had none");
        let (room, kept) = stream(20);
        assert_eq!((room >= 19, kept), (true, 1));
        assert_eq!(stream(2), (room, 1));
        assert_eq!(stream(200).1, 0, "what is long is not kept");
    }
}
