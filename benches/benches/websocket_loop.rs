//! The mux loop through the WebSocket layer of both nodes: bytes, masks and all, without I/O.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod config;
mod loops;

use criterion::{Criterion, criterion_group, criterion_main};
use gridmux_benches::mux_loop::Bytes;

fn websocket_loop(c: &mut Criterion) {
    loops::single_requests::<Bytes>(c, "websocket-loop");
    loops::streams::<Bytes>(c, "websocket-loop");
    loops::among_live::<Bytes>(c, "websocket-loop");
}

criterion_group! {
    name = benches;
    config = config::config();
    targets = websocket_loop
}
criterion_main!(benches);
