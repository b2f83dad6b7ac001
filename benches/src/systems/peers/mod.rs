//! What others have made for the same purpose.

mod tarpc;
mod tonic;
mod yamux;

pub use self::tarpc::Tarpc;
pub use self::tonic::Tonic;
pub use self::yamux::Yamux;

/// A task that is aborted when this is dropped.
#[derive(Debug)]
struct Task(tokio::task::AbortHandle);

impl Task {
    fn spawn<F: Future<Output: Send> + Send + 'static>(task: F) -> Self {
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
