//! A connection and the transport that carries it.

use std::io::ErrorKind;
use std::task::{Context, Poll, Waker};

use super::runtime::Transport;
use crate::connection::Connection;
use crate::time::Instant;

/// The connection of a link that is up, or being made.
pub(crate) struct Active {
    pub(crate) connection: Connection,
    pub(crate) transport: Box<dyn Transport>,
    /// Of the task that drives it: what the transport is to wake, whoever writes.
    task: Waker,
}

impl Active {
    pub(crate) fn new(connection: Connection, transport: Box<dyn Transport>) -> Self {
        Self { connection, transport, task: Waker::noop().clone() }
    }

    /// The task that drives it has this waker now; gives the former one, if it is another.
    pub(crate) fn set_task(&mut self, task: &Waker) -> Option<Waker> {
        let changed = !self.task.will_wake(task);
        changed.then(|| std::mem::replace(&mut self.task, task.clone()))
    }

    /// Writes as much as the transport takes; whether that was anything, or the transport failed.
    pub(crate) fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        write(&mut self.connection, &mut *self.transport, now, cx)
    }

    /// The same, by somebody else than the task that drives it, and on that task's behalf.
    pub(crate) fn write_for_task(&mut self, now: Instant) {
        let Self { connection, transport, task } = self;
        write(connection, &mut **transport, now, &mut Context::from_waker(task));
    }
}

fn write(
    connection: &mut Connection,
    transport: &mut dyn Transport,
    now: Instant,
    cx: &mut Context<'_>,
) -> bool {
    let mut progress = false;
    loop {
        let bytes = connection.write_buf();
        if bytes.is_empty() {
            return progress;
        }
        match transport.poll_write(cx, bytes) {
            Poll::Pending => return progress,
            Poll::Ready(Ok(written)) if written > 0 => {
                progress = true;
                connection.handle_written(now, written);
            }
            Poll::Ready(outcome) => {
                let error = outcome.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                connection.handle_failure(error.into());
                return true;
            }
        }
    }
}
