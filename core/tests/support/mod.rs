//! What several test files need.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its share of this module")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

pub mod vectors;
