//! What several test files need.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its share of this module")]

pub mod app;
pub mod messages;
pub mod recording;
pub mod replayer;
pub mod solo;
pub mod vectors;
