//! The counting allocator.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts from here on.
#[derive(Debug)]
pub(crate) struct Count(Region<'static, System>);

impl Count {
    pub(crate) fn start() -> Self {
        Self(Region::new(COUNTED))
    }

    /// Allocations since then, those that grew or shrank among them.
    pub(crate) fn allocations(&self) -> usize {
        let change = self.0.change();
        change.allocations + change.reallocations
    }

    /// Bytes allocated since then and not freed, less those freed that were allocated before.
    pub(crate) fn held(&self) -> i64 {
        let change = self.0.change();
        change.bytes_allocated as i64 - change.bytes_deallocated as i64
    }
}
