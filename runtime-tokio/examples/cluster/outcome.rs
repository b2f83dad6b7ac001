//! How calls have ended, counted.

use std::future::Future;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::timeout;
use gridmux_tokio::error::CallError;
use serde::{Deserialize, Serialize};

/// A call that returns later than this after its deadline is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// How many calls there were, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) ok: u64,
    pub(crate) disconnected: u64,
    /// Calls that this node's own drain refused or cut short.
    pub(crate) drained: u64,
    pub(crate) other_errors: u64,
    pub(crate) wrong: u64,
    pub(crate) stuck: u64,
    /// Of those that are ok, the echoes of guests.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) guest_echoes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    pub(crate) const NONE: Self = Self {
        calls: 0,
        ok: 0,
        disconnected: 0,
        drained: 0,
        other_errors: 0,
        wrong: 0,
        stuck: 0,
        guest_echoes: 0,
    };
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.ok += other.ok;
        self.disconnected += other.disconnected;
        self.drained += other.drained;
        self.other_errors += other.other_errors;
        self.wrong += other.wrong;
        self.stuck += other.stuck;
        self.guest_echoes += other.guest_echoes;
    }
}

#[derive(Debug, Default)]
struct Counters {
    ok: AtomicU64,
    disconnected: AtomicU64,
    drained: AtomicU64,
    other_errors: AtomicU64,
    wrong: AtomicU64,
    stuck: AtomicU64,
    guest_echoes: AtomicU64,
    draining: AtomicBool,
    /// Holders of [`Open`].
    open: AtomicUsize,
}

/// Something that still makes calls, or may: see [`Outcomes::open`].
#[derive(Debug)]
pub(crate) struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The outcomes of one node's calls, shared by all who make them. A stream counts as one call,
/// when it is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes(Arc<Counters>);

impl Outcomes {
    pub(crate) fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = &*self.0;
        let mut counts = Counts {
            calls: 0,
            ok: get(&all.ok),
            disconnected: get(&all.disconnected),
            drained: get(&all.drained),
            other_errors: get(&all.other_errors),
            wrong: get(&all.wrong),
            stuck: get(&all.stuck),
            guest_echoes: get(&all.guest_echoes),
        };
        counts.calls = counts.ok
            + counts.disconnected
            + counts.drained
            + counts.other_errors
            + counts.wrong
            + counts.stuck;
        counts
    }

    /// This node drains from now on: calls that end for that reason are counted as drained. A lost
    /// link still counts as a disconnect.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Marks a task that makes calls in the background, for as long as the mark lives. It is to be
    /// taken before the task is spawned, so that [`Outcomes::is_quiet`] cannot miss the task.
    pub(crate) fn open(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Open(self.0.clone())
    }

    /// Whether no background task makes calls.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.open.load(Ordering::Acquire) == 0
    }

    fn counter_of(&self, error: &CallError) -> &AtomicU64 {
        let draining = self.0.draining.load(Ordering::Acquire);
        match error {
            _ if draining && is_drain(error) => &self.0.drained,
            _ if is_disconnect(error) => &self.0.disconnected,
            _ => {
                tracing::info!(%error, "a call failed");
                &self.0.other_errors
            }
        }
    }

    /// Waits for a call with this deadline, and counts it unless it has an answer: what that is
    /// worth, [`Outcomes::answered`] is to be told.
    pub(crate) async fn settle<R: Runtime, T>(
        &self,
        runtime: &R,
        deadline: Duration,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Option<T> {
        match timeout(runtime, deadline + STUCK_AFTER, call).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => {
                add(self.counter_of(&error));
            }
            Err(_) => {
                tracing::error!(?deadline, "a call is stuck");
                add(&self.0.stuck);
            }
        }
        None
    }

    /// Something that several answers together say; only what is wrong is counted.
    pub(crate) fn judged(&self, fine: bool, describe: impl FnOnce() -> String) {
        if !fine {
            self.answered(false, describe);
        }
    }

    /// As [`Outcomes::answered`], for the echo of a guest.
    pub(crate) fn answered_by_guest(&self, matches: bool, describe: impl FnOnce() -> String) {
        self.0.guest_echoes.fetch_add(matches.into(), Ordering::Relaxed);
        self.answered(matches, describe);
    }

    /// An answer has come; `describe` says what is wrong with one that does not match.
    pub(crate) fn answered(&self, matches: bool, describe: impl FnOnce() -> String) {
        if matches {
            add(&self.0.ok);
        } else {
            tracing::error!("WRONG: {}", describe());
            add(&self.0.wrong);
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Whether the call failed because the peer or this node was not there, or is about to go.
const fn is_disconnect(error: &CallError) -> bool {
    is_drain(error)
        || matches!(error, CallError::Disconnected { .. } | CallError::PeerRemoved { .. })
}

/// Whether the call failed because this node or the peer leaves in good order.
const fn is_drain(error: &CallError) -> bool {
    matches!(error, CallError::PeerShuttingDown | CallError::ShuttingDown | CallError::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_is_counted_once_by_how_it_ended() {
        let (outcomes, runtime) = (Outcomes::default(), gridmux_tokio::Tokio::default());
        let deadline = Duration::from_secs(60);
        let answer = outcomes.settle(&runtime, deadline, async { Ok(7) }).await;
        assert_eq!((answer, outcomes.counts()), (Some(7), Counts::NONE), "not judged yet");
        outcomes.answered(true, || unreachable!("nothing is wrong"));
        outcomes.answered_by_guest(true, || unreachable!("nothing is wrong"));
        outcomes.answered(false, || "for the test".into());
        let lost = CallError::Disconnected { may_have_run: true };
        for error in [lost, CallError::PeerShuttingDown, CallError::Remote("no".into())] {
            outcomes.settle(&runtime, deadline, async { Err::<(), _>(error) }).await;
        }
        let expected = Counts {
            calls: 6,
            ok: 2,
            disconnected: 2,
            drained: 0,
            other_errors: 1,
            wrong: 1,
            stuck: 0,
            guest_echoes: 1,
        };
        assert_eq!(outcomes.counts(), expected);
    }

    #[tokio::test]
    async fn a_drain_excuses_what_it_ends_itself_but_no_lost_link() {
        let (outcomes, runtime) = (Outcomes::default(), gridmux_tokio::Tokio::default());
        outcomes.drain();
        let lost = CallError::Disconnected { may_have_run: true };
        for error in [CallError::ShuttingDown, CallError::PeerShuttingDown, lost] {
            let call = async { Err::<(), _>(error) };
            outcomes.settle(&runtime, Duration::from_secs(60), call).await;
        }
        let expected = Counts { calls: 3, disconnected: 1, drained: 2, ..Counts::NONE };
        assert_eq!(outcomes.counts(), expected);
    }

    #[test]
    fn outcomes_are_quiet_when_the_last_mark_is_gone() {
        let outcomes = Outcomes::default();
        let (first, second) = (outcomes.open(), outcomes.open());
        drop(first);
        assert!(!outcomes.is_quiet());
        drop(second);
        assert!(outcomes.is_quiet());
    }

    #[tokio::test]
    async fn a_call_that_does_not_return_is_stuck() {
        let (outcomes, runtime) = (Outcomes::default(), gridmux_tokio::Tokio::default());
        let never = std::future::pending::<Result<(), _>>();
        outcomes.settle(&runtime, Duration::ZERO, never).await;
        assert_eq!(outcomes.counts(), Counts { calls: 1, stuck: 1, ..Counts::NONE });
    }
}
