//! What a user can rely on, on tokio; the same tests run on every runtime.

use gridmux_tokio::Tokio;
use gridmux_tokio::testing::InMemory;

fn block_on(future: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future);
}

mod on_sockets {
    use super::*;

    gridmux_core::behaviour_suite!(block_on, Tokio::default());
}

mod in_memory {
    use super::*;

    gridmux_core::behaviour_suite!(block_on, InMemory::new(Tokio::default()));
}
