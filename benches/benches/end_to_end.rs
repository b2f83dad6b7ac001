//! Two nodes joined over loopback, with handlers as tasks: on tokio and on smol.
//!
//! Tokio has two workers; smol as many as `SMOL_THREADS` says, one unless set.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod config;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gridmux_benches::load::fixed_calls;
use gridmux_benches::systems::{Handlers, Ours, System};
use gridmux_benches::work::{WORKLOADS, Worker, Workload};
use gridmux_smol::Smol;
use gridmux_tokio::Tokio;
use tokio::runtime::Runtime;

/// The same workloads as side by side, each on streams with two streams, too.
fn workloads() -> impl Iterator<Item = Workload> {
    let two = WORKLOADS.iter().filter(|workload| workload.is_stream() && workload.callers == 64);
    let two = two.map(|workload| Workload { callers: 2, ..*workload });
    let others =
        WORKLOADS.iter().filter(|workload| !(workload.is_stream() && workload.callers == 2));
    others.copied().chain(two)
}

/// What a workload is called without its number of callers.
fn kind(workload: &Workload) -> &'static str {
    workload.name.rsplit_once('-').map_or(workload.name, |(kind, _)| kind)
}

fn run<S: System>(c: &mut Criterion, name: &str, blocking: &Runtime, system: S) {
    for workload in workloads() {
        let mut group = c.benchmark_group(format!("{name}/{}", kind(&workload)));
        group.throughput(Throughput::Elements(u64::from(workload.shape.messages())));
        let id = BenchmarkId::new(format!("{}B", workload.size), workload.callers);
        group.bench_function(id, |b| {
            b.iter_custom(|calls| {
                let client = system.client().expect("the nodes are connected");
                let workers = Worker::all(&client, &workload);
                let each = calls.div_ceil(workload.callers as u64);
                let took = blocking.block_on(fixed_calls(system.runtime(), workers, each));
                // As if it had been exactly so many calls.
                let took = took.expect("every call is answered rightly");
                took.mul_f64(calls as f64 / (each * workload.callers as u64) as f64)
            });
        });
        group.finish();
    }
    blocking.block_on(system.stop());
}

fn end_to_end(c: &mut Criterion) {
    let blocking = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let tokio = async { Ours::start(Tokio::default(), Handlers::Tasks).await };
    let tokio = blocking.block_on(tokio).expect("the nodes connect");
    run(c, "tokio", &blocking, tokio);
    let smol = blocking.block_on(Ours::start(Smol::default(), Handlers::Tasks));
    run(c, "smol", &blocking, smol.expect("the nodes connect"));
}

criterion_group! {
    name = benches;
    config = config::config();
    targets = end_to_end
}
criterion_main!(benches);
