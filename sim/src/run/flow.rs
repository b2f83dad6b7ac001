//! Follows whether bytes move on a connection, and for how long those who have more to write find no room.

use crate::oracle::{Stall, Standstill};

/// Shorter times are not kept.
const KEPT: u64 = 3_000_000_000;

/// One end of a connection.
#[derive(Debug, Default)]
struct Side {
    /// Since when it has more to write than there is room for.
    wants_since: Option<u64>,
    /// When bytes that it has written moved last, and when before that instant.
    moved: Option<u64>,
    before: Option<u64>,
    /// When it has read something last.
    heard: u64,
    /// The longest time so far that it wanted to write and nothing moved.
    longest: u64,
    /// Where such times began and ended, with the longest one before.
    stood: Vec<(u64, u64, u64)>,
}

impl Side {
    /// It stood still until now, if it did.
    fn note(&mut self, at: u64) {
        let Some(since) = self.wants_since else { return };
        let from = self.moved.map_or(since, |moved| moved.max(since));
        let gap = at.saturating_sub(from);
        if at.saturating_sub(from.max(self.heard)) > KEPT {
            self.stood.push((from.max(self.heard), at, self.longest));
        }
        self.longest = self.longest.max(gap);
    }

    fn moves(&mut self, at: u64) {
        self.note(at);
        if self.moved.is_some_and(|moved| moved < at) {
            self.before = self.moved;
        }
        self.moved = Some(at);
    }
}

/// What moves on one connection, by end.
#[derive(Debug, Default)]
pub(super) struct Flow {
    sides: [Side; 2],
}

impl Flow {
    /// An end has got rid of bytes, or some that it has written were acknowledged.
    pub(super) fn moves(&mut self, at: u64, end: usize) {
        self.sides[end].moves(at);
    }

    /// An end has read something.
    pub(super) fn hears(&mut self, at: u64, end: usize) {
        let side = &mut self.sides[end];
        side.note(at);
        side.heard = at;
    }

    /// An end has more to write than there is room for, or has that no more.
    pub(super) fn wants(&mut self, at: u64, end: usize, wants: bool) {
        let side = &mut self.sides[end];
        if wants {
            side.wants_since.get_or_insert(at);
        } else {
            side.note(at);
            side.wants_since = None;
        }
    }

    /// An end has let go of the connection.
    pub(super) fn ends(&mut self, at: u64, end: usize) {
        self.wants(at, end, false);
    }

    /// An end has given the connection up because its writes stood still.
    pub(super) fn given_up(&self, at: u64, end: usize, [node, peer]: [usize; 2]) -> Option<Stall> {
        let side = &self.sides[end];
        let moved = side.moved.filter(|moved| *moved < at).or(side.before)?;
        Some(Stall { node, peer, at, moved })
    }

    /// The times in which an end wanted to write and nothing moved.
    pub(super) fn stood(&self, end: usize, [node, peer]: [usize; 2]) -> Vec<Standstill> {
        let stood = self.sides[end].stood.iter().copied();
        let standstill =
            |(from, until, before)| Standstill { node, peer, from, until, longest_before: before };
        stood.map(standstill).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, KEPT};
    use crate::oracle::{Stall, Standstill};

    const LONG: u64 = KEPT + 1;

    #[test]
    fn who_wants_to_write_stands_still_from_the_last_move_on() {
        let mut flow = Flow::default();
        flow.wants(5, 0, true);
        flow.moves(7, 0);
        flow.moves(7 + LONG, 0);
        flow.moves(8 + LONG, 0);
        flow.ends(9 + LONG, 0);
        let (from, until) = (7, 7 + LONG);
        let stood = Standstill { node: 3, peer: 4, from, until, longest_before: 2 };
        assert_eq!(flow.stood(0, [3, 4]), [stood]);
        assert_eq!(flow.stood(1, [4, 3]), []);
    }

    #[test]
    fn what_is_read_shows_that_the_peer_is_there() {
        let mut flow = Flow::default();
        flow.wants(5, 0, true);
        flow.hears(5 + KEPT, 0);
        flow.ends(5 + 2 * KEPT, 0);
        assert_eq!(flow.stood(0, [3, 4]), []);
    }

    #[test]
    fn who_has_nothing_to_write_does_not_stand_still() {
        let mut flow = Flow::default();
        flow.moves(5, 0);
        flow.wants(2 * LONG, 0, true);
        flow.wants(2 * LONG + 1, 0, false);
        flow.ends(9 * LONG, 0);
        assert_eq!(flow.stood(0, [3, 4]), []);
    }

    #[test]
    fn what_moves_in_the_instant_of_the_end_comes_too_late() {
        let mut flow = Flow::default();
        assert_eq!(flow.given_up(9, 0, [3, 4]), None, "nothing has moved at all");
        flow.moves(5, 0);
        flow.moves(9, 0);
        assert_eq!(flow.given_up(9, 0, [3, 4]), Some(Stall { node: 3, peer: 4, at: 9, moved: 5 }));
    }
}
