//! Several messages in one frame, and out of it again.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod config;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use gridmux_core::wire::{
    Flags, Header, MAX_PARTS, MERGE_HEADER_LEN, MessageRef, Op, for_each_message,
    write_merge_header, write_part_header,
};

const MAX_MESSAGE: usize = 16 << 20;

fn merge(message: &MessageRef<'_>, parts: usize, out: &mut Vec<u8>) {
    out.clear();
    out.resize(MERGE_HEADER_LEN, 0);
    for _ in 0..parts {
        write_part_header(message.encoded_len(), out);
        message.encode(out);
    }
    write_merge_header(&mut out[..MERGE_HEADER_LEN], parts as u8);
}

fn unmerge(frame: &[u8]) -> usize {
    let mut messages = 0;
    let whole = for_each_message(frame, MAX_MESSAGE, |message| {
        messages += usize::from(!message.payload.is_empty());
    });
    assert!(whole.is_ok(), "the frame is whole");
    messages
}

fn merging(c: &mut Criterion) {
    for size in [25, 512] {
        let payload = vec![7; size];
        let header = Header {
            mux: 1 << 63 | 42,
            flags: Flags::CRC | Flags::EOF,
            ..Header::new(Op::Response)
        };
        let message = MessageRef { header, subroute: None, payload: &payload };
        let mut group = c.benchmark_group(format!("merge/{size}B"));
        for parts in [2, 8, MAX_PARTS] {
            group.throughput(Throughput::Elements(parts as u64));
            let mut frame = Vec::new();
            group.bench_function(BenchmarkId::new("merge", parts), |b| {
                b.iter(|| merge(black_box(&message), parts, &mut frame));
            });
            merge(&message, parts, &mut frame);
            assert_eq!(unmerge(&frame), parts);
            group.bench_function(BenchmarkId::new("unmerge", parts), |b| {
                b.iter(|| unmerge(black_box(&frame)));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = config::config();
    targets = merging
}
criterion_main!(benches);
