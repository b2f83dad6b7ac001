//! The mux loop: single requests through two machines without I/O.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gridmux_benches::mux_loop::MuxLoop;

fn single_requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("mux-loop/unary");
    let payload = vec![7; 512];
    for calls in [1, 16, 64] {
        group.throughput(Throughput::Elements(calls as u64));
        group.bench_function(BenchmarkId::new("512B", calls), |b| {
            let mut machines = MuxLoop::new();
            let mut keys = Vec::new();
            b.iter(|| machines.round_trips(&payload, &mut keys, calls));
        });
    }
    group.finish();
}

fn among_live_streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("mux-loop/unary-among-streams");
    let payload = vec![7; 512];
    group.throughput(Throughput::Elements(64));
    for streams in [0, 1_000, 100_000] {
        group.bench_function(BenchmarkId::new("512B", streams), |b| {
            let mut machines = MuxLoop::new();
            assert_eq!(machines.open_streams(streams), streams);
            let mut keys = Vec::new();
            b.iter(|| machines.round_trips(&payload, &mut keys, 64));
        });
    }
    group.finish();
}

criterion_group!(benches, single_requests, among_live_streams);
criterion_main!(benches);
