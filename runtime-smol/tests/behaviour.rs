//! What a user can rely on, on smol; the same tests run on every runtime.

use gridmux_smol::Smol;
use gridmux_smol::testing::InMemory;

mod on_sockets {
    use super::*;

    gridmux_core::behaviour_suite!(smol::block_on, Smol::default());
}

mod in_memory {
    use super::*;

    gridmux_core::behaviour_suite!(smol::block_on, InMemory::new(Smol::default()));
}
