//! A stream that always has an item would keep its task's thread from all other tasks.

use std::task::{Context, Poll};

/// Items that are taken in a row before other tasks get their turn.
const ITEMS: u8 = 128;

/// Counts items that were there at once.
#[derive(Debug, Default)]
pub(super) struct Turns(u8);

impl Turns {
    /// Pending, and the task is woken, once enough items were taken in a row.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.0 == ITEMS {
            self.0 = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.0 += 1;
        Poll::Ready(())
    }

    /// There was nothing to take: other tasks have their turn now.
    pub(super) const fn end(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn other_tasks_get_their_turn_after_so_many_items_in_a_row() {
        let cx = Context::from_waker(Waker::noop());
        let mut turns = Turns::default();
        let taken =
            |turns: &mut Turns| (0..1000).take_while(|_| turns.poll_next(&cx).is_ready()).count();
        assert_eq!([taken(&mut turns), taken(&mut turns)], [128, 128]);
        assert!(turns.poll_next(&cx).is_ready());
        turns.end();
        assert_eq!(taken(&mut turns), 128, "a wait begins anew");
    }
}
