//! Messages as bytes: PROTOCOL.md section 3.
#![allow(clippy::unwrap_used, reason = "a panic in a helper is a failed test")]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod damage;
mod fields;
mod merge;
mod round_trip;
mod vectors;
