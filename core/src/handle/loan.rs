//! A lone message is written by whoever queues it: the task of the link, while it sleeps, leaves
//! its connection to them. That spares both ends a switch between tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::shared::{Shared, State};
use crate::driver::Active;
use crate::time::Now;

/// Who has the connection.
#[derive(Default)]
pub(super) enum Holder {
    /// The task of the link, if there is a connection.
    #[default]
    Task,
    /// Nobody: the task sleeps.
    Nobody(Box<Active>),
    /// Somebody who writes a lone message.
    Writer,
    /// The same; the task is awake, and waits for it.
    Recalled(Waker),
    /// The task has ended, and nobody is to have it.
    Closed,
}

/// The connection is being written to; its task is woken when that is over.
#[derive(Debug)]
pub(crate) struct StillLent;

impl State {
    /// The task of the link goes to sleep, and leaves its connection here.
    pub(crate) fn deposit(&mut self, mut active: Box<Active>, task: &Waker) {
        if let Some(former) = active.set_task(task) {
            self.drop_later(former);
        }
        self.holder = Holder::Nobody(active);
    }

    /// The task of the link is awake and takes its connection back.
    pub(crate) fn withdraw(&mut self, task: &Waker) -> Result<Option<Box<Active>>, StillLent> {
        match std::mem::take(&mut self.holder) {
            Holder::Nobody(active) => Ok(Some(active)),
            Holder::Task | Holder::Closed => Ok(None),
            Holder::Writer => {
                self.holder = Holder::Recalled(task.clone());
                Err(StillLent)
            }
            Holder::Recalled(former) => {
                self.drop_later(former);
                self.holder = Holder::Recalled(task.clone());
                Err(StillLent)
            }
        }
    }

    /// The task of the link has ended: the connections that are here, which are to be closed.
    pub(crate) fn close_holder(&mut self) -> [Option<Box<Active>>; 2] {
        let holder = match std::mem::replace(&mut self.holder, Holder::Closed) {
            Holder::Nobody(active) => Some(active),
            _ => None,
        };
        [holder, self.newcomer.take()]
    }

    /// Lends the connection, if it is free, with the lone message that waits for it.
    pub(super) fn lend(&mut self, now: Now) -> Option<Box<Active>> {
        if !self.peer.has_lone_message() {
            return None;
        }
        let Holder::Nobody(active) = &mut self.holder else { return None };
        active.connection.fetch(now, &mut self.peer)?;
        match std::mem::replace(&mut self.holder, Holder::Writer) {
            Holder::Nobody(active) => Some(active),
            _ => None,
        }
    }

    /// Takes the connection back from whoever it was lent to, unless nobody wants it any more.
    fn give_back(&mut self, now: Now, lent: &mut Option<Box<Active>>) {
        let recalled = self.end_loan();
        if matches!(self.holder, Holder::Closed) {
            return;
        }
        let Some(active) = lent else { return };
        active.connection.deliver(now, &mut self.peer);
        // What has been queued meanwhile is for the task.
        let more = active.connection.fetch(now, &mut self.peer).is_some();
        if (more || !active.connection.wants_transmit()) && !recalled {
            let task = self.rouse_driver();
            self.wake_later(task);
        }
        if let Some(active) = lent.take() {
            self.holder = Holder::Nobody(active);
        }
    }

    /// Whoever had the connection has it no more; whether the task waited for that.
    fn end_loan(&mut self) -> bool {
        match std::mem::take(&mut self.holder) {
            Holder::Recalled(task) => {
                self.wake_later(Some(task));
                true
            }
            Holder::Closed => {
                self.holder = Holder::Closed;
                false
            }
            Holder::Task | Holder::Nobody(_) | Holder::Writer => false,
        }
    }
}

impl Shared {
    /// Writes the lone message with which the connection was lent, and gives it back.
    pub(super) fn write_lone(&self, now: Now, mut active: Box<Active>) {
        let written = catch_unwind(AssertUnwindSafe(|| active.write_for_task(now.instant)));
        let mut lent = Some(active);
        match written {
            Ok(()) => self.with(|state| state.give_back(now, &mut lent)),
            // A bug, as in the task: the connection is dropped, the node goes on.
            Err(_) => {
                self.log_bug();
                self.with(|state| {
                    state.end_loan();
                    state.start_anew(now);
                });
            }
        }
        // Not under the lock: closing a transport is the runtime's code.
        drop(lent);
    }
}
