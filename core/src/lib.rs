//! The grid protocol as pure state machines.
#![forbid(unsafe_code)]

pub mod websocket;
pub mod wire;
