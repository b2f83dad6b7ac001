//! Locks, from the side of whoever wants one: every table is asked at once, the own one too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::handle::PeerHandle;
use tokio::sync::mpsc;

use super::guard::Guard;
use super::routes::{LockArgs, LockOp, Verdict};
use super::{Mistake, Mode, Table, Tally, quorum};
use crate::outcome::Outcomes;

/// The deadline of each call to a table.
const DEADLINE: Duration = Duration::from_secs(1);

/// The locks of the cluster, as one node sees them.
#[derive(Debug)]
pub(crate) struct Locks<R: Runtime> {
    inner: Arc<Inner<R>>,
}

#[derive(Debug)]
struct Inner<R> {
    runtime: R,
    own: Arc<Mutex<Table>>,
    peers: Vec<PeerHandle>,
    outcomes: Outcomes,
    mistake: Option<Mistake>,
}

impl<R: Runtime> Clone for Locks<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

/// How an attempt to get a lock has ended.
#[derive(Debug)]
pub(crate) enum Attempt<R: Runtime> {
    Got(Guard<R>),
    /// There is no quorum; what was got has been given back, or is about to be.
    Refused,
}

/// How a refresh has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    Quorum,
    /// Too many tables do not answer.
    TooFew,
    /// Too many tables know nothing of the lock: there will never be a quorum again.
    Gone,
}

/// A table's answer; `None` if the node could not be asked.
#[derive(Clone, Copy, Debug)]
struct Vote {
    member: usize,
    verdict: Option<Verdict>,
}

/// One question to all tables, and the answers as they come.
struct Round {
    votes: mpsc::UnboundedReceiver<Vote>,
}

impl<R: Runtime> Locks<R> {
    pub(crate) fn new(
        runtime: R,
        own: Arc<Mutex<Table>>,
        peers: Vec<PeerHandle>,
        outcomes: Outcomes,
        mistake: Option<Mistake>,
    ) -> Self {
        Self { inner: Arc::new(Inner { runtime, own, peers, outcomes, mistake }) }
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.inner.runtime
    }

    pub(super) fn mistake(&self) -> Option<Mistake> {
        self.inner.mistake
    }

    /// Counts the answers to a question to all tables.
    fn tally(&self) -> Tally {
        let nodes = self.nodes();
        let quorum = match self.mistake() {
            Some(Mistake::SmallQuorum) => nodes / 2,
            _ => quorum(nodes),
        };
        Tally::new(nodes, quorum)
    }

    /// Tries once to get the lock.
    pub(crate) async fn acquire(&self, lock: &str, mode: Mode, uid: u64) -> Attempt<R> {
        let op = if mode == Mode::Write { LockOp::Lock } else { LockOp::ReadLock };
        let begun = self.runtime().instant();
        let mut round = self.ask_all(op, lock, uid);
        let mut tally = self.tally();
        let mut granted = Vec::new();
        while tally.decided().is_none() {
            let Some(vote) = round.votes.recv().await else { break };
            tally.count(vote.verdict == Some(Verdict::Yes));
            if vote.verdict.is_none_or(|verdict| verdict == Verdict::Yes) {
                granted.push(vote.member);
            }
        }
        if tally.decided() == Some(true) {
            return Attempt::Got(Guard::new(self.clone(), lock, mode, uid, begun));
        }
        self.give_back(round, granted, lock, mode, uid);
        Attempt::Refused
    }

    /// Gives back what an attempt got, or may have got, without making anybody wait.
    fn give_back(&self, round: Round, granted: Vec<usize>, lock: &str, mode: Mode, uid: u64) {
        let (locks, lock, open) = (self.clone(), lock.to_owned(), self.inner.outcomes.open());
        self.runtime().spawn(async move {
            let _open = open;
            let op = unlock_op(mode);
            let (sender, _) = mpsc::unbounded_channel();
            let unlock = |member| locks.ask(member, op, &lock, uid, sender.clone());
            granted.into_iter().for_each(&unlock);
            let mut votes = round.votes;
            while let Some(vote) = votes.recv().await {
                if vote.verdict.is_none_or(|verdict| verdict == Verdict::Yes) {
                    unlock(vote.member);
                }
            }
        });
    }

    pub(crate) async fn unlock(&self, lock: &str, mode: Mode, uid: u64) {
        let mut round = self.ask_all(unlock_op(mode), lock, uid);
        while round.votes.recv().await.is_some() {}
    }

    /// Ends all leases of the lock, whoever holds them. Gives whether every table has done so.
    pub(crate) async fn force_unlock(&self, lock: &str) -> bool {
        let mut round = self.ask_all(LockOp::ForceUnlock, lock, 0);
        let mut all = true;
        while let Some(vote) = round.votes.recv().await {
            all &= vote.verdict == Some(Verdict::Yes);
        }
        all
    }

    /// Asks all tables for a write lock, whatever they say: how many grant it, or `None` if some
    /// could not be asked or have just been started.
    pub(crate) async fn survey(&self, lock: &str, uid: u64) -> Option<usize> {
        let mut round = self.ask_all(LockOp::Lock, lock, uid);
        let (mut granted, mut answers) = (0, 0);
        while let Some(vote) = round.votes.recv().await {
            granted += usize::from(vote.verdict == Some(Verdict::Yes));
            answers += usize::from(matches!(vote.verdict, Some(Verdict::Yes | Verdict::Held)));
        }
        (answers == self.nodes()).then_some(granted)
    }

    pub(crate) async fn refresh(&self, lock: &str, uid: u64) -> Refreshed {
        let mut round = self.ask_all(LockOp::Refresh, lock, uid);
        let mut tally = self.tally();
        let mut gone = self.tally();
        while tally.decided() != Some(true) {
            let Some(vote) = round.votes.recv().await else { break };
            tally.count(vote.verdict == Some(Verdict::Yes));
            if vote.verdict == Some(Verdict::NotHeld) {
                gone.count(false);
            }
        }
        match (tally.decided(), gone.decided()) {
            (Some(true), _) => Refreshed::Quorum,
            (_, Some(false)) => Refreshed::Gone,
            _ => Refreshed::TooFew,
        }
    }

    /// How many tables there are.
    pub(crate) fn nodes(&self) -> usize {
        self.inner.peers.len() + 1
    }

    fn ask_all(&self, op: LockOp, lock: &str, uid: u64) -> Round {
        let (sender, votes) = mpsc::unbounded_channel();
        for member in 0..self.nodes() {
            self.ask(member, op, lock, uid, sender.clone());
        }
        Round { votes }
    }

    /// Asks one table: another node's by a call on a task of its own, the own one directly.
    fn ask(
        &self,
        member: usize,
        op: LockOp,
        lock: &str,
        uid: u64,
        votes: mpsc::UnboundedSender<Vote>,
    ) {
        let inner = self.inner.clone();
        let Some(peer) = inner.peers.get(member).cloned() else {
            let mut own = inner.own.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = Some(own.handle(inner.runtime.instant(), op, lock, uid));
            // Who asks may not care for the answer, here and below.
            let _ = votes.send(Vote { member, verdict });
            return;
        };
        let (args, open) = (LockArgs { lock: lock.to_owned(), uid }, inner.outcomes.open());
        self.runtime().spawn(async move {
            let _open = open;
            let call = peer.call(op.route(), &args).timeout(DEADLINE);
            let reply = inner.outcomes.settle(&inner.runtime, DEADLINE, call).await;
            let verdict = reply.and_then(|reply| {
                let matches = reply.by == peer.name() && reply.uid == uid;
                inner.outcomes.answered(matches, || format!("{op:?} of {args:?} got {reply:?}"));
                matches.then_some(reply.verdict)
            });
            let _ = votes.send(Vote { member, verdict });
        });
    }
}

const fn unlock_op(mode: Mode) -> LockOp {
    match mode {
        Mode::Write => LockOp::Unlock,
        Mode::Read => LockOp::ReadUnlock,
    }
}
