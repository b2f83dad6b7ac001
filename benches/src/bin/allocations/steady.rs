//! Allocations of calls and streams once everything has grown to its size.

use std::io;

use gridmux_benches::load::fixed_calls;
use gridmux_benches::mux_loop::{Bytes, Frames, MuxLoop, StreamShape, Wire};
use gridmux_benches::systems::{Handlers, Ours, System};
use gridmux_benches::work::{SMALL, STREAM_ITEMS, Shape, Worker, Workload};
use gridmux_tokio::Tokio;

use crate::counted::Count;
use crate::report::Report;

const PAYLOAD: [u8; SMALL] = [7; SMALL];
const ROUNDS: usize = 20;

const PER_ROUND_TRIP: &str = "allocations a round trip, copies of both payloads among them";
const PER_ITEM: &str = "allocations an item, its copies, opening and end among them";

/// Of the machines alone, and with the WebSocket layer.
pub(crate) fn machines(report: &mut Report) {
    of_wire::<Frames>(report, "mux-loop");
    of_wire::<Bytes>(report, "websocket-loop");
}

fn of_wire<W: Wire>(report: &mut Report, name: &str) {
    for at_once in [1, 64] {
        let mut machines = MuxLoop::<W>::new();
        let each = per_round(|| machines.round_trips(&PAYLOAD, at_once)) / at_once as f64;
        report.add(format!("allocations-{name}-unary-{at_once}"), each, PER_ROUND_TRIP);
    }
    for shape in StreamShape::ALL {
        let mut machines = MuxLoop::<W>::new();
        let items = 64.0 * f64::from(STREAM_ITEMS);
        let each = per_round(|| machines.streams(shape, &PAYLOAD, STREAM_ITEMS, 64)) / items;
        report.add(format!("allocations-{name}-{}-64", shape.name()), each, PER_ITEM);
    }
}

fn per_round(mut round: impl FnMut()) -> f64 {
    (0..ROUNDS).for_each(|_| round());
    let count = Count::start();
    (0..ROUNDS).for_each(|_| round());
    count.allocations() as f64 / ROUNDS as f64
}

/// Of two nodes on tokio, the tasks of their handlers among it, in so many calls: as many of each of
/// 64 callers.
pub(crate) async fn end_to_end(report: &mut Report, calls: usize) -> io::Result<()> {
    for (name, handlers) in [("tasks", Handlers::Tasks), ("inline", Handlers::Inline)] {
        let system = Ours::start(Tokio::default(), handlers).await?;
        for callers in [1, 64] {
            let workload = Workload { name: "unary", shape: Shape::Unary, size: SMALL, callers };
            // Twice as many calls: what the callers' own tasks allocate cancels out.
            let mut counted = [0; 3];
            for (counted, rounds) in counted.iter_mut().zip([1, 1, 2]) {
                let workers = Worker::all(&system.client()?, &workload);
                let of_each = (rounds * calls / callers) as u64;
                let count = Count::start();
                fixed_calls(system.runtime(), workers, of_each).await?;
                *counted = count.allocations();
            }
            let each = (counted[2] as f64 - counted[1] as f64) / calls as f64;
            let key = format!("allocations-tokio-{name}-unary-{callers}");
            report.add(key, each, PER_ROUND_TRIP);
        }
        system.stop().await;
    }
    Ok(())
}
