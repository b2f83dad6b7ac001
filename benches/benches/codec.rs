//! The codec: one message to bytes and back, by operation and by size.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod config;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use gridmux_core::wire::{Flags, Header, MessageRef, Op, SubrouteId};

/// The mux of all messages: an id of a late generation, which is encoded at full length.
const MUX: u64 = 1 << 63 | 42;

/// Each operation that travels while calls and streams are served, with the sizes it has.
const OPS: [(Op, &[usize]); 11] = [
    (Op::Request, &[0, 173, 512, 16 << 10, 1 << 20]),
    (Op::Response, &[25, 512, 16 << 10]),
    (Op::ConnectMux, &[0, 173]),
    (Op::AckMux, &[0]),
    (Op::MuxClientMsg, &[512, 16 << 10]),
    (Op::MuxServerMsg, &[513, 16 << 10]),
    (Op::UnblockSrvMux, &[0]),
    (Op::UnblockClMux, &[0]),
    (Op::DisconnectServerMux, &[0]),
    (Op::Ping, &[0]),
    (Op::Pong, &[2]),
];

fn header(op: Op, flags: Flags) -> Header {
    let opens = matches!(op, Op::Request | Op::ConnectMux);
    Header {
        mux: MUX,
        seq: if opens { 0 } else { 7 },
        deadline_ms: if opens { 60_000 } else { 0 },
        handler: u8::from(opens),
        flags,
        ..Header::new(op)
    }
}

fn bench_message(c: &mut Criterion, group: &str, message: MessageRef<'_>) {
    let mut encoded = Vec::new();
    message.encode(&mut encoded);
    let size = message.payload.len();
    let mut group = c.benchmark_group(group);
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

/// As we send them, with a checksum.
fn ops(c: &mut Criterion) {
    for (op, sizes) in OPS {
        for &size in sizes {
            let payload = vec![7; size];
            let header = header(op, Flags::CRC | Flags::EOF);
            let message = MessageRef { header, subroute: None, payload: &payload };
            bench_message(c, &format!("codec/{}", op.name()), message);
        }
    }
}

/// What the checksum and the subroute cost.
fn trailers(c: &mut Criterion) {
    let payload = vec![7; 512];
    let subroute = Some(SubrouteId::new(1, &["disk-1"]));
    for (name, flags, subroute) in [
        ("plain", Flags::empty(), None),
        ("crc", Flags::CRC, None),
        ("subroute", Flags::SUBROUTE, subroute),
        ("crc-subroute", Flags::CRC | Flags::SUBROUTE, subroute),
    ] {
        let message =
            MessageRef { header: header(Op::Request, flags), subroute, payload: &payload };
        bench_message(c, &format!("codec/trailers-{name}"), message);
    }
}

criterion_group! {
    name = benches;
    config = config::config();
    targets = ops, trailers
}
criterion_main!(benches);
