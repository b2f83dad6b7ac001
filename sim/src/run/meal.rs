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
    /// The longest message that was read.
    longest: u64,
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
            self.longest = self.longest.max(end - self.begun);
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
    /// being read it may have room for as much again as has come of it; or, in the memory of a
    /// former one, for all of it and a quarter more.
    pub(super) fn offered(&self, room: u64) -> Option<u64> {
        // The memory of a message may have grown to twice its length.
        let kept = 2 * self.longest;
        // It may be for a fragment. How long a message is that is not written whole, nobody knows.
        let fits = self.ends.front().map(|end| (end - self.begun) / 4 * 5);
        let used_again = fits.map_or(kept, |fits| fits.min(kept)) + PIECE;
        let bound = READ_BUFFER.max(self.taken - self.begun + PIECE).max(used_again);
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
        assert_eq!(meal.offered(3_000_000), None, "the next may be longer");
        let twice = 3_000_000 + super::PIECE;
        assert_eq!(meal.offered(4_000_000), Some(twice), "nothing has come of it");
        meal.comes(2_000_000);
        assert_eq!(meal.offered(600_000), None, "but one as long has come before it");
        let a_quarter_more = 500_000 + 125_000 + super::PIECE;
        assert_eq!(meal.offered(900_000), Some(a_quarter_more));
        meal.falsified();
        assert_eq!(meal.offered(1_000_000), None, "whose messages have other lengths");
    }
}
