//! The wire monitor: what it decodes, and what it takes for a violation.
#![allow(clippy::unwrap_used, reason = "a panic in a helper is a failed test")]

mod excuses;
mod histories;
mod support;
mod tap;
mod traffic;
#[path = "../../../core/tests/support/vectors.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the core")]
mod vectors;
