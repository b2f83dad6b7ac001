//! The mux loop: single requests and streams through two nodes without I/O, as frames.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod config;
mod loops;

use criterion::{Criterion, criterion_group, criterion_main};
use gridmux_benches::mux_loop::Frames;

fn mux_loop(c: &mut Criterion) {
    loops::single_requests::<Frames>(c, "mux-loop");
    loops::streams::<Frames>(c, "mux-loop");
    loops::among_live::<Frames>(c, "mux-loop");
}

criterion_group! {
    name = benches;
    config = config::config();
    targets = mux_loop
}
criterion_main!(benches);
