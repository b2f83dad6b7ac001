//! The WebSocket layer: frames, the upgrade, and what peers do wrong.

mod channel;
mod interop;
mod random;
mod support;
mod upgrade;
mod violations;
