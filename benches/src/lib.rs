//! What gridmux is measured with and against.
//!
//! # Criterion
//!
//! ```sh
//! cargo bench --package gridmux-benches
//! cargo bench --package gridmux-benches --bench mux_loop -- among-live --measurement-time 5
//! ```
//!
//! The first takes under five minutes once it is built; the second runs one group of one file, for
//! figures to rely on.
//!
//! | bench | what |
//! | --- | --- |
//! | `codec` | one message to bytes and back, by operation and size |
//! | `merge` | several messages in one frame, and out of it |
//! | `mux_loop` | two nodes back to back without I/O ([`mux_loop`]): single requests, each shape of stream, 1 to 100,000 live streams of which 64 are active, always the same ones or random ones |
//! | `websocket_loop` | the same through the WebSocket layer of both nodes |
//! | `end_to_end` | two nodes over loopback, on tokio and on smol ([`systems`], [`work`]) |
#![forbid(unsafe_code)]

pub mod load;
pub mod mux_loop;
pub mod raw_mux;
pub mod systems;
pub mod work;
