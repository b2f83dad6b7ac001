//! What gridmux is measured with and against: a load harness, and the upper limit that a
//! hand-written multiplexer without any protocol reaches.
#![forbid(unsafe_code)]

pub mod load;
pub mod mux_loop;
pub mod raw_mux;
