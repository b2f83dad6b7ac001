//! The lock of the handles: the standard one, and shuttle's where its scheduler tests them.

use std::sync::LockResult;

#[cfg(not(gridmux_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(gridmux_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// How often a lock is tried before the thread sleeps until it is free: some fifty microseconds.
///
/// Handles hold it for one operation, and the task of the link while it hands out what it has read.
/// To sleep costs more, and so does it for the holder to wake who sleeps: a fifth of these tries
/// measured worse. The standard lock gives up sooner, and does not try at all where another thread
/// sleeps already.
#[cfg(not(gridmux_shuttle))]
const TRIES: u32 = 1000;

/// Waits for a lock that is held for short times only.
#[cfg(not(gridmux_shuttle))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> LockResult<MutexGuard<'_, T>> {
    use std::sync::TryLockError;

    for _ in 0..TRIES {
        match mutex.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Err(poisoned),
            Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
    mutex.lock()
}

#[cfg(gridmux_shuttle)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> LockResult<MutexGuard<'_, T>> {
    mutex.lock()
}
