//! Where the outcome of a request is laid for its caller, who takes it without the machine's lock.
//!
//! Whoever has the lock when a response comes, which is the link's task as a rule, delivers it. The
//! letters are used again: a request asks for no memory.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::sync::{self, Mutex};
use crate::error::CallError;
use crate::payload::Payload;

/// The longest payload, or text of an error, that is delivered. A longer one counts against
/// [`Limits::received_bytes`](crate::limits::Limits::received_bytes) until it is taken, and so stays
/// with the machine.
pub(super) const LONGEST: usize = 4096;

/// So many letters wait to be used again, at most.
const KEPT: usize = 1024;

type Outcome = Result<Payload, CallError>;

/// Written once, by whoever delivers; read once, by the caller.
#[derive(Debug, Default)]
pub(super) struct Letter(Mutex<Option<Outcome>>);

impl Letter {
    pub(super) fn put(&self, outcome: Outcome) {
        *sync::lock(&self.0).unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    pub(super) fn take(&self) -> Option<Outcome> {
        sync::lock(&self.0).unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Letters that were delivered. Their callers may hold them yet; the oldest hardly ever.
#[derive(Debug, Default)]
pub(super) struct Letters(VecDeque<Arc<Letter>>);

impl Letters {
    /// An empty one.
    pub(super) fn lend(&mut self) -> Arc<Letter> {
        let Some(mut letter) = self.0.pop_front() else { return Arc::default() };
        match Arc::get_mut(&mut letter) {
            Some(free) => {
                *free = Letter::default();
                letter
            }
            None => {
                self.0.push_back(letter);
                Arc::default()
            }
        }
    }

    /// It was delivered, or nobody waits for it any more.
    pub(super) fn give_back(&mut self, letter: Arc<Letter>) {
        if self.0.len() < KEPT {
            self.0.push_back(letter);
        }
    }

    /// Gives back the memory.
    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(letters: &mut Letters) -> Arc<Letter> {
        let letter = letters.lend();
        letters.give_back(letter.clone());
        letter
    }

    #[test]
    fn a_letter_is_used_again_once_its_caller_is_done() {
        let mut letters = Letters::default();
        let first = delivered(&mut letters);
        let address = Arc::as_ptr(&first);
        let second = delivered(&mut letters);
        assert_ne!(Arc::as_ptr(&second), address, "the first one is held yet");
        drop(first);
        let third = [letters.lend(), letters.lend()];
        assert!(third.iter().any(|letter| Arc::as_ptr(letter) == address));
    }

    #[test]
    fn nobody_finds_what_was_laid_for_another_caller() {
        let mut letters = Letters::default();
        let left = delivered(&mut letters);
        left.put(Ok(Payload::NIL));
        drop(left);
        assert_eq!(letters.lend().take(), None);
    }

    #[test]
    fn an_outcome_is_taken_once() {
        let letter = Letter::default();
        assert_eq!(letter.take(), None);
        letter.put(Ok(Payload::from(vec![1])));
        assert_eq!(letter.take(), Some(Ok(Payload::from(vec![1]))));
        assert_eq!(letter.take(), None);
    }

    #[test]
    fn no_more_letters_are_kept_than_the_limit() {
        let mut letters = Letters::default();
        let held: Vec<_> = (0..2 * KEPT).map(|_| delivered(&mut letters)).collect();
        assert!(letters.0.len() <= KEPT);
        drop(held);
        letters.clear();
        assert_eq!(letters.0.capacity(), 0);
    }
}
