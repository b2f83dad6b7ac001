//! The grid protocol as pure state machines.
#![forbid(unsafe_code)]

pub mod wire;
pub mod websocket;
