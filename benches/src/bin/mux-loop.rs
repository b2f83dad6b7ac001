//! Runs the machines of two nodes back to back, so many times and nothing else: for profilers, and
//! for `.ci/instructions`, which counts its instructions.

use clap::{Parser, ValueEnum};
use gridmux_benches::mux_loop::{Bytes, Frames, MuxLoop, StreamShape, Wire};

/// How many at once, where a case does not say one.
const AT_ONCE: usize = 64;

/// Items of a stream.
const ITEMS: u32 = 10;

const PAYLOAD: [u8; 512] = [7; 512];

/// Runs the machines of two nodes back to back without I/O.
#[derive(Parser, Debug)]
struct Args {
    /// What is done.
    #[arg(value_enum)]
    case: Case,
    /// How often, in round trips of a 512-byte payload; made in whole batches of 64, or streams.
    round_trips: usize,
    /// Streams that are open and idle meanwhile.
    #[arg(long, default_value_t = 0)]
    open: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Case {
    /// Single requests, one at a time.
    Unary1,
    /// Single requests, 64 at once.
    Unary64,
    /// Items back and forth one by one, on 64 streams of ten.
    TwoWay64,
    /// Items from handlers, on 64 streams of ten.
    ServerStream64,
    /// Items from callers, on 64 streams of ten.
    ClientStream64,
    /// Single requests, one at a time, through the WebSocket layer.
    WebsocketUnary1,
    /// Single requests, 64 at once, through the WebSocket layer.
    WebsocketUnary64,
}

fn main() {
    let args = Args::parse();
    match args.case {
        Case::Unary1 => unary::<Frames>(&args, 1),
        Case::Unary64 => unary::<Frames>(&args, AT_ONCE),
        Case::WebsocketUnary1 => unary::<Bytes>(&args, 1),
        Case::WebsocketUnary64 => unary::<Bytes>(&args, AT_ONCE),
        Case::TwoWay64 => streams(&args, StreamShape::TwoWay),
        Case::ServerStream64 => streams(&args, StreamShape::Server),
        Case::ClientStream64 => streams(&args, StreamShape::Client),
    }
}

fn machines<W: Wire>(args: &Args) -> MuxLoop<W> {
    let mut machines = MuxLoop::new();
    machines.open_streams(args.open);
    machines
}

fn unary<W: Wire>(args: &Args, at_once: usize) {
    let mut machines = machines::<W>(args);
    for _ in 0..args.round_trips.div_ceil(at_once) {
        machines.round_trips(&PAYLOAD, at_once);
    }
}

fn streams(args: &Args, shape: StreamShape) {
    let mut machines = machines::<Frames>(args);
    for _ in 0..args.round_trips.div_ceil(AT_ONCE * ITEMS as usize) {
        machines.streams(shape, &PAYLOAD, ITEMS, AT_ONCE);
    }
}
