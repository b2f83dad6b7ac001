//! One connection: its state, its outgoing batch and whoever writes it.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::yield_now;

use super::frame::Batch;

/// While batches hold one message only, every so many writes yield once to find out whether
/// there could have been more.
const PROBE: u32 = 16;

/// Who writes what was just appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// Whoever appended it, where nobody else is writing.
    Now,
    /// The writer task.
    Soon,
}

/// Who may write to the socket. Its holder looks for more before giving it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Nobody: nothing is queued.
    Free,
    /// A sender that writes in place.
    Sender,
    /// The writer task, which may have yet to wake.
    Writer,
}

/// What a side of the connection keeps, under a lock of its own.
pub(super) trait Side: Send + 'static {
    /// The connection is lost: fails everything that waits and collects whom to wake.
    fn fail(&mut self, wakers: &mut Vec<Waker>);
}

/// What waits to be written, and by whom.
#[derive(Debug)]
struct State {
    /// What waits to be written.
    out: Batch,
    /// An empty batch whose memory is reused.
    spare: Batch,
    /// A batch that someone else than the writer task began to write.
    begun: Option<Batch>,
    right: Right,
    /// The writer task, while it waits for the right to write.
    writer: Option<Waker>,
    closed: Option<io::ErrorKind>,
}

/// The connection, shared by its reader, its writer and everyone who sends.
#[derive(Debug)]
pub(super) struct Link<S> {
    state: Mutex<State>,
    side: Mutex<S>,
    socket: OwnedWriteHalf,
}

impl<S: Side> Link<S> {
    pub(super) fn new(socket: OwnedWriteHalf, side: S) -> Self {
        let state = State {
            out: Batch::default(),
            spare: Batch::default(),
            begun: None,
            right: Right::Free,
            writer: None,
            closed: None,
        };
        Self { state: Mutex::new(state), side: Mutex::new(side), socket }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this side of the connection keeps. No message may be sent while it is locked.
    pub(super) fn side(&self) -> MutexGuard<'_, S> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `append` put messages into the outgoing batch and sees to it that they are written.
    ///
    /// # Errors
    ///
    /// If the connection is lost; `append` is not called then.
    #[inline]
    pub(super) fn send<T>(
        &self,
        flush: Flush,
        append: impl FnOnce(&mut Batch) -> T,
    ) -> io::Result<T> {
        let mut state = self.lock();
        if let Some(kind) = state.closed {
            return Err(kind.into());
        }
        let result = append(&mut state.out);
        if state.right != Right::Free || state.out.is_empty() {
            return Ok(result);
        }
        match flush {
            Flush::Now => self.write_now(state),
            Flush::Soon => Self::leave_to_writer(state),
        }
        Ok(result)
    }

    fn leave_to_writer(mut state: MutexGuard<'_, State>) {
        state.right = Right::Writer;
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Writes what is queued, leaving to the writer task what the socket does not take.
    fn write_now(&self, mut state: MutexGuard<'_, State>) {
        state.right = Right::Sender;
        let spare = std::mem::take(&mut state.spare);
        let mut batch = std::mem::replace(&mut state.out, spare);
        drop(state);
        let wrote = batch.try_write(&self.socket);
        let mut state = self.lock();
        match wrote {
            Ok(true) => {
                batch.clear();
                state.spare = batch;
            }
            Ok(false) => state.begun = Some(batch),
            Err(error) => {
                drop(state);
                self.close(error.kind());
                return;
            }
        }
        if state.begun.is_none() && state.out.is_empty() {
            state.right = Right::Free;
            return;
        }
        Self::leave_to_writer(state);
    }

    /// Fails everything that waits, and everything to come.
    pub(super) fn close(&self, kind: io::ErrorKind) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.closed.get_or_insert(kind);
        wakers.extend(state.writer.take());
        drop(state);
        self.side().fail(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Writes batches until the connection is lost: the body of the writer task.
    pub(super) async fn write(self: Arc<Self>) {
        let mut batch = Batch::default();
        let mut last = 1;
        let mut round = 0_u32;
        while self.right_to_write().await {
            round = round.wrapping_add(1);
            if last > 1 || round.is_multiple_of(PROBE) {
                yield_now().await;
            }
            self.take(&mut batch);
            last = batch.messages();
            if let Err(error) = self.write_all(&mut batch).await {
                return self.close(error.kind());
            }
            batch.clear();
        }
    }

    /// Waits until there is something to write; false once the connection is lost.
    async fn right_to_write(&self) -> bool {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.closed.is_some() {
                return Poll::Ready(false);
            }
            if state.right == Right::Writer {
                if state.begun.is_some() || !state.out.is_empty() {
                    return Poll::Ready(true);
                }
                state.right = Right::Free;
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Exchanges the empty `batch` for what is to be written next.
    fn take(&self, batch: &mut Batch) {
        let mut state = self.lock();
        match state.begun.take() {
            Some(begun) => *batch = begun,
            None => std::mem::swap(&mut state.out, batch),
        }
    }

    async fn write_all(&self, batch: &mut Batch) -> io::Result<()> {
        while !batch.try_write(&self.socket)? {
            self.socket.writable().await?;
        }
        Ok(())
    }
}
