//! The cases of the mux loop, over either wire.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use gridmux_benches::mux_loop::{MuxLoop, StreamShape, Wire};
use gridmux_benches::work::STREAM_ITEMS;

const PAYLOAD: [u8; 512] = [7; 512];

/// How many streams are active at once, where there are so many.
const ACTIVE: usize = 64;

/// How many streams are live, of which some are active.
const LIVE: [usize; 5] = [1, 64, 1_000, 10_000, 100_000];

/// About what one batch takes in real time, so that pings are due as often as they are.
const PASSES: Duration = Duration::from_micros(20);

/// Single requests, some at once.
pub(crate) fn single_requests<W: Wire>(c: &mut Criterion, name: &str) {
    let mut group = c.benchmark_group(format!("{name}/unary"));
    for (size, calls) in [(512, 1), (512, 16), (512, 64), (25, 64), (16 << 10, 1), (1 << 20, 1)] {
        group.throughput(Throughput::Elements(calls as u64));
        let payload = vec![7; size];
        group.bench_function(BenchmarkId::new(format!("{size}B"), calls), |b| {
            let mut machines = MuxLoop::<W>::new();
            b.iter(|| {
                machines.pass(PASSES);
                machines.round_trips(&payload, calls);
            });
        });
    }
    group.finish();
}

/// Streams of each shape, from opening to end; an element is an item.
pub(crate) fn streams<W: Wire>(c: &mut Criterion, name: &str) {
    for shape in StreamShape::ALL {
        let mut group = c.benchmark_group(format!("{name}/{}", shape.name()));
        for streams in [1, 64] {
            group.throughput(Throughput::Elements(streams as u64 * u64::from(STREAM_ITEMS)));
            group.bench_function(BenchmarkId::new("10x512B", streams), |b| {
                let mut machines = MuxLoop::<W>::new();
                b.iter(|| {
                    machines.pass(PASSES);
                    machines.streams(shape, &PAYLOAD, STREAM_ITEMS, streams);
                });
            });
        }
        group.finish();
    }
}

/// Items back and forth on some of many live streams, and single requests beside them. An element
/// is a round trip.
pub(crate) fn among_live<W: Wire>(c: &mut Criterion, name: &str) {
    for live in LIVE {
        let active = live.min(ACTIVE);
        let mut machines = MuxLoop::<W>::new();
        assert_eq!(machines.open_streams(live), live);
        let mut group = c.benchmark_group(format!("{name}/among-live"));
        group.throughput(Throughput::Elements(ACTIVE as u64));
        group.bench_function(BenchmarkId::new("unary", live), |b| {
            b.iter(|| {
                machines.pass(PASSES);
                machines.round_trips(&PAYLOAD, ACTIVE);
            });
        });
        group.throughput(Throughput::Elements(active as u64));
        group.bench_function(BenchmarkId::new("fixed", live), |b| {
            let fixed: Vec<_> = (0..active).map(|n| n * (live / active)).collect();
            b.iter(|| {
                machines.pass(PASSES);
                machines.echo_on(&fixed, &PAYLOAD);
            });
        });
        group.bench_function(BenchmarkId::new("random", live), |b| {
            let mut rng = fastrand::Rng::with_seed(1);
            let mut random = vec![0; active];
            b.iter(|| {
                // One from each stretch of streams: none twice.
                for (n, stream) in random.iter_mut().enumerate() {
                    *stream = n * (live / active) + rng.usize(..live / active);
                }
                machines.pass(PASSES);
                machines.echo_on(&random, &PAYLOAD);
            });
        });
        group.finish();
    }
}
