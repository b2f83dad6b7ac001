//! The lock of the handles: the standard one, and shuttle's where its scheduler tests them.

#[cfg(not(gridmux_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(gridmux_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
