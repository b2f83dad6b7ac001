//! What a user can rely on, on smol; the same tests run on every runtime.

use gridmux_smol::Smol;

gridmux_core::behaviour_suite!(smol::block_on, Smol::default());
