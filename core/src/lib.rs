//! The grid protocol as pure state machines.
#![forbid(unsafe_code)]

pub mod auth;
pub mod payload;
pub mod route;
pub mod websocket;
pub mod wire;
