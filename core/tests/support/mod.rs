//! What several test files need.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its share of this module")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

pub mod app;
pub mod messages;
pub mod recording;
pub mod replayer;
pub mod solo;
pub mod vectors;
