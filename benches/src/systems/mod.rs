//! The systems under test: each is both ends of one loopback connection, in this process.

mod ours;
#[cfg(feature = "peers")]
mod peers;
mod raw;

use std::io;

use gridmux_core::driver::runtime::Runtime;

pub use self::ours::{Handlers, OurClient, Ours, TALK};
#[cfg(feature = "peers")]
pub use self::peers::{Tarpc, Tonic, Yamux};
pub use self::raw::Raw;
use crate::work::Client;

/// Both ends of one loopback connection.
pub trait System: Send + Sync + 'static {
    /// What it runs on, and its callers with it.
    type Runtime: Runtime;
    /// The calling side.
    type Client: Client;

    /// What it runs on.
    fn runtime(&self) -> &Self::Runtime;

    /// The calling side.
    ///
    /// # Errors
    ///
    /// If it is not there.
    fn client(&self) -> io::Result<Self::Client>;

    /// Ends both sides.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

#[cfg(test)]
mod tests {
    use gridmux_smol::Smol;
    use gridmux_tokio::Tokio;

    use super::*;
    use crate::load::fixed_calls;
    use crate::raw_mux;
    use crate::work::{WORKLOADS, Worker};

    /// Each workload, two calls a caller: every answer is compared.
    async fn answers_rightly<S: System>(system: S, has_streams: bool) {
        for workload in &WORKLOADS {
            let workers = Worker::all(&system.client().unwrap(), workload);
            let called = fixed_calls(system.runtime(), workers, 2).await;
            match has_streams || !workload.is_stream() {
                true => drop(called.expect(workload.name)),
                false => assert_eq!(called.unwrap_err().kind(), io::ErrorKind::Unsupported),
            }
        }
        system.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ours_answers_rightly_with_handlers_of_either_kind() {
        for handlers in [Handlers::Tasks, Handlers::Inline] {
            let system = Ours::start(Tokio::default(), handlers).await.unwrap();
            answers_rightly(system, true).await;
        }
    }

    #[tokio::test]
    async fn ours_answers_rightly_on_smol() {
        let system = Ours::start(Smol::default(), Handlers::Tasks).await.unwrap();
        answers_rightly(system, true).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_raw_multiplexer_answers_rightly_with_handlers_of_either_kind() {
        for handlers in [raw_mux::Handlers::Inline, raw_mux::Handlers::Tasks] {
            answers_rightly(Raw::start(handlers).await.unwrap(), true).await;
        }
    }

    #[cfg(feature = "peers")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tonic_answers_rightly() {
        answers_rightly(Tonic::start().await.unwrap(), true).await;
    }

    #[cfg(feature = "peers")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tarpc_answers_rightly() {
        answers_rightly(Tarpc::start().await.unwrap(), false).await;
    }

    #[cfg(feature = "peers")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn yamux_answers_rightly() {
        answers_rightly(Yamux::start().await.unwrap(), true).await;
    }
}
