//! Items of a stream that were received and not yet taken.

use std::collections::VecDeque;

use bytes::Bytes;

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

    pub(super) fn push(&mut self, item: Bytes) {
        match self.next {
            None => self.next = Some(item),
            Some(_) => self.later.push_back(item),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let item = self.next.take();
        if !self.later.is_empty() {
            self.next = self.later.pop_front();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u8) -> Bytes {
        vec![number].into()
    }

    #[test]
    fn items_come_out_in_their_order_however_they_alternate() {
        let (mut items, mut pushed, mut popped) = (Items::default(), 0, 0);
        for (pushes, pops) in [(1, 1), (3, 1), (1, 2), (2, 3), (0, 0), (2, 1), (1, 2)] {
            for _ in 0..pushes {
                items.push(item(pushed));
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
        let mut items = Items::default();
        for number in 0..4 {
            items.push(item(number));
            items.pop();
        }
        assert_eq!(items.later.capacity(), 0);
    }
}
