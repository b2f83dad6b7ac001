//! Which tokens were shown before.

use std::collections::BTreeSet;

use super::AuthError;

/// The beginning of a token's MAC, which tells it from any other.
pub(super) type TokenId = [u8; 16];

/// Remembers good tokens until they have expired.
///
/// Bounded: where there is no room, the one that expires first is forgotten, and from then on every token
/// that expires as early is refused unseen. So no token is ever taken twice, and those that nodes with
/// good clocks have just issued, which expire last, are taken whatever was shown before.
#[derive(Debug)]
pub(super) struct Replays {
    capacity: usize,
    /// By expiry.
    shown: BTreeSet<(i64, TokenId)>,
    /// Some token that expires then was forgotten; none that expires later.
    forgotten: Option<i64>,
}

impl Replays {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, shown: BTreeSet::new(), forgotten: None }
    }

    /// A token that is good otherwise is shown. `kept_since`: those that expired earlier are refused
    /// for that, even if the clock is set back a little, and need not be remembered.
    pub(super) fn show(
        &mut self,
        id: TokenId,
        expiry: i64,
        kept_since: i64,
    ) -> Result<(), AuthError> {
        while self.shown.first().is_some_and(|(expiry, _)| *expiry < kept_since) {
            self.shown.pop_first();
        }
        self.forgotten = self.forgotten.filter(|forgotten| *forgotten >= kept_since);
        if self.shown.contains(&(expiry, id)) {
            return Err(AuthError::Replayed);
        }
        if self.forgotten.is_some_and(|forgotten| expiry <= forgotten) {
            return Err(AuthError::TooManyShown);
        }
        self.shown.insert((expiry, id));
        if self.shown.len() > self.capacity
            && let Some((expiry, _)) = self.shown.pop_first()
        {
            self.forgotten = self.forgotten.max(Some(expiry));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_once_until_it_is_forgotten_for_being_old() {
        let mut replays = Replays::new(10);
        assert_eq!(replays.show([1; 16], 100, 0), Ok(()));
        assert_eq!(replays.show([1; 16], 100, 0), Err(AuthError::Replayed));
        assert_eq!(replays.show([2; 16], 100, 100), Ok(()), "another that expires then");
        assert_eq!(replays.show([1; 16], 100, 100), Err(AuthError::Replayed));
        assert_eq!(replays.show([3; 16], 300, 101), Ok(()));
        assert_eq!(replays.shown.len(), 1, "only those are kept that may still be good");
    }

    #[test]
    fn without_room_no_token_is_taken_twice_and_the_newest_are_still_taken() {
        let mut replays = Replays::new(3);
        for n in 0..100_u8 {
            assert_eq!(replays.show([n; 16], 100 + i64::from(n), 0), Ok(()), "{n}");
            assert!(replays.shown.len() <= 3);
            for earlier in 0..=n {
                let again = replays.show([earlier; 16], 100 + i64::from(earlier), 0);
                again.expect_err("it was shown");
            }
        }
        assert_eq!(replays.show([200; 16], 196, 0), Err(AuthError::TooManyShown));
        assert_eq!(replays.show([200; 16], 197, 0), Ok(()), "it takes the place of the first");
        assert_eq!(replays.show([97; 16], 197, 0), Err(AuthError::TooManyShown));
        assert_eq!(replays.show([200; 16], 197, 0), Err(AuthError::Replayed));
        assert_eq!(
            replays.show([201; 16], 198, 199),
            Ok(()),
            "nothing that is still good was forgotten"
        );
    }
}
