//! The grid protocol as pure state machines, and what every runtime of gridmux shares.
#![forbid(unsafe_code)]

pub mod auth;
pub mod builder;
pub mod connection;
pub mod driver;
pub mod error;
pub mod event;
pub mod grid;
pub mod handle;
pub mod limits;
pub mod link;
pub mod mux;
pub mod node;
pub mod outbox;
pub mod payload;
pub mod peer;
mod rng;
pub mod route;
pub mod stats;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
mod timer;
pub mod timings;
pub mod websocket;
pub mod wire;
