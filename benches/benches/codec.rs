//! The codec: one message to bytes and back.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gridmux_core::wire::{Flags, Header, MessageRef, Op};

fn message(payload: &[u8], flags: Flags) -> MessageRef<'_> {
    let header = Header {
        mux: 1 << 63 | 42,
        deadline_ms: 60_000,
        handler: 1,
        flags: flags | Flags::EOF,
        ..Header::new(Op::Request)
    };
    MessageRef { header, subroute: None, payload }
}

fn codec(c: &mut Criterion) {
    for (name, flags) in [("crc", Flags::CRC), ("plain", Flags::empty())] {
        for size in [0, 173, 512, 16 * 1024] {
            let payload = vec![7; size];
            let message = message(&payload, flags);
            let mut encoded = Vec::new();
            message.encode(&mut encoded);
            let mut group = c.benchmark_group(format!("codec/{name}"));
            group.throughput(Throughput::Bytes(encoded.len() as u64));
            group.bench_function(BenchmarkId::new("encode", size), |b| {
                let mut out = Vec::with_capacity(encoded.len());
                b.iter(|| {
                    out.clear();
                    black_box(&message).encode(&mut out);
                    out.len()
                });
            });
            group.bench_function(BenchmarkId::new("decode", size), |b| {
                b.iter(|| MessageRef::decode(black_box(&encoded)).is_ok());
            });
            group.finish();
        }
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
