//! Follows the memory into which an end of a connection reads: it grows as bytes come, and is given
//! back (part of oracle O13).

use std::collections::VecDeque;

use crate::world::READ_BUFFER;

/// Room that a reader has beyond what has come of a message, for the next piece of it.
const PIECE: u64 = 4 << 10;

/// What one end reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Meal {
    /// Where the messages that are under way end.
    ends: VecDeque<u64>,
    /// Where the message begins that is being read.
    begun: u64,
    taken: u64,
    falsified: bool,
}

impl Meal {
    /// A message that ends there is under way.
    pub(super) fn comes(&mut self, end: u64) {
        self.ends.push_back(end);
    }

    /// So much is read by now.
    pub(super) fn taken(&mut self, offset: u64) {
        self.taken = offset;
        while let Some(end) = self.ends.pop_front_if(|end| *end <= offset) {
            self.begun = end;
        }
    }

    /// What comes is not what was sent.
    pub(super) fn falsified(&mut self) {
        self.falsified = true;
    }

    pub(super) fn is_falsified(&self) -> bool {
        self.falsified
    }

    /// The reader has so much room; how much it may have, if that is less. Of a message that is
    /// being read it may have room for as much again as has come of it.
    pub(super) fn offered(&self, room: u64) -> Option<u64> {
        let bound = READ_BUFFER.max(self.taken - self.begun + PIECE);
        (room > bound && !self.falsified).then_some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::Meal;
    use crate::world::READ_BUFFER;

    #[test]
    fn room_grows_with_what_has_come_of_a_message() {
        let mut meal = Meal::default();
        assert_eq!(meal.offered(READ_BUFFER), None);
        assert_eq!(meal.offered(READ_BUFFER + 1), Some(READ_BUFFER));
        meal.taken(1_000_000);
        assert_eq!(meal.offered(1_000_000), None);
        meal.comes(1_500_000);
        meal.taken(1_500_000);
        assert_eq!(meal.offered(1_000_000), Some(READ_BUFFER), "nothing has come of the next");
        meal.falsified();
        assert_eq!(meal.offered(1_000_000), None, "whose messages have other lengths");
    }
}
