//! A connection and the transport that carries it.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker};

use super::processes::Claim;
use super::runtime::Transport;
use crate::connection::{Connection, WRITE_BUFS};
use crate::time::Instant;

/// So many bytes are written, or read, before other tasks get their turn: those of a long message
/// would keep everyone waiting whose task is to run on the same thread.
pub(super) const SHARE: usize = 64 * 1024;

/// The connection of a link that is up, or being made.
pub(crate) struct Active {
    pub(crate) connection: Connection,
    pub(crate) transport: Box<dyn Transport>,
    /// The process that it is with, once that is known.
    pub(crate) process: Option<Claim>,
    /// Of the task that drives it: what the transport is to wake, whoever writes.
    task: Waker,
}

impl Active {
    pub(crate) fn new(connection: Connection, transport: Box<dyn Transport>) -> Self {
        Self { connection, transport, process: None, task: Waker::noop().clone() }
    }

    /// The task that drives it has this waker now; gives the former one, if it is another.
    pub(crate) fn set_task(&mut self, task: &Waker) -> Option<Waker> {
        let changed = !self.task.will_wake(task);
        changed.then(|| std::mem::replace(&mut self.task, task.clone()))
    }

    /// The connection is due: if it waits to write, it learns how much of what was written has left.
    pub(crate) fn look_at_unsent(&mut self, now: Instant) {
        if !self.connection.waits_to_write() {
            return;
        }
        let unsent = self.transport.unsent();
        self.connection.handle_unsent(now, unsent);
    }

    /// Writes as much as the transport takes, until `share` has reached [`SHARE`]; whether that was
    /// anything, the transport failed, or more is to be tried.
    pub(crate) fn poll_write(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        share: &mut usize,
    ) -> bool {
        write(&mut self.connection, &mut *self.transport, now, cx, share)
    }

    /// The same, by somebody else than the task that drives it, and on that task's behalf.
    pub(crate) fn write_for_task(&mut self, now: Instant) {
        let Self { connection, transport, task, .. } = self;
        write(connection, &mut **transport, now, &mut Context::from_waker(task), &mut 0);
    }
}

fn write(
    connection: &mut Connection,
    transport: &mut dyn Transport,
    now: Instant,
    cx: &mut Context<'_>,
    share: &mut usize,
) -> bool {
    let mut progress = false;
    loop {
        if connection.write_buf().is_empty() {
            return progress;
        }
        if *share >= SHARE {
            return true;
        }
        match write_once(connection, transport, cx) {
            Poll::Pending => return progress,
            Poll::Ready(Ok(written)) if written > 0 => {
                progress = true;
                *share += written;
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

/// A lone frame is written without the room for several.
fn write_once(
    connection: &mut Connection,
    transport: &mut dyn Transport,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if !connection.has_several() {
        return transport.poll_write(cx, connection.write_buf());
    }
    let mut slices = [IoSlice::new(&[]); WRITE_BUFS];
    let count = connection.write_bufs(&mut slices);
    transport.poll_write_vectored(cx, &slices[..count])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;

    use super::*;
    use crate::auth::StaticToken;
    use crate::event::LinkId;
    use crate::node::Node;
    use crate::websocket::{Channel, Role};

    /// Takes all that it is given, in parts.
    struct Sink;

    const PART: usize = 16 * 1024;

    impl Transport for Sink {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut BytesMut) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len().min(PART)))
        }

        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn others_have_their_turn_while_much_is_written() {
        let token = StaticToken::new("secret-token").expect("a token");
        let node = Arc::new(Node::new("http://a:1", [1; 16], Arc::new(token)));
        let channel = Box::new(Channel::new(Role::Server, 1 << 20, 1));
        let now = Instant::from_millis(1000);
        let unsent = vec![0; 2 * SHARE + PART];
        let connection = Connection::accepted(&node, LinkId(1), channel, unsent, now);
        let mut active = Active::new(connection, Box::new(Sink));
        let mut cx = Context::from_waker(Waker::noop());
        let mut turn = |mut share: usize| {
            let more = active.poll_write(now, &mut cx, &mut share);
            (more, share, active.connection.write_buf().len())
        };
        assert_eq!(turn(0), (true, SHARE, SHARE + PART));
        assert_eq!(turn(SHARE - 1), (true, SHARE - 1 + PART, SHARE), "the last part may be more");
        assert_eq!(turn(SHARE), (true, SHARE, SHARE), "nothing, but there is more to be tried");
        assert_eq!(turn(0), (true, SHARE, 0));
        assert_eq!(turn(0), (false, 0, 0));
    }
}
