//! What the machines and the network of a seed are like.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::bounds;
use crate::world::Knobs;

const DAY: u64 = 86_400 * SECOND;

pub(crate) fn draw(draw: Draw) -> Knobs {
    let latency = draw.pick(
        "latency",
        &[
            (5_000, 20_000),
            (50_000, 400_000),
            (MILLI, 3 * MILLI),
            (MILLI, 30 * MILLI),
            (50 * MILLI, 150 * MILLI),
        ],
    );
    let whole = draw.one_in("whole", 2);
    Knobs {
        whole,
        latency,
        rate: draw.weighted("rate", &[(8, 0), (1, 20_000_000), (1, 1_000_000)]),
        // A long way with little under way would take an age for the large payloads.
        buffer: match latency.1 {
            100_000_000.. => draw.pick("buffer", &[256 << 10, 1 << 20]),
            10_000_000.. => draw.pick("buffer", &[64 << 10, 256 << 10, 1 << 20]),
            _ => draw.pick("buffer", &[4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]),
        },
        steps: false,
        piece: draw.weighted("piece", &[(1, 7), (3, 100), (3, 1_500), (3, 16_000)]),
        slack: draw.pick("slack", &[0, 50_000, MILLI, 20 * MILLI]),
        lazy_per_million: draw.pick("lazy", &[0, 0, 20_000, 200_000]),
        laziness: draw.pick("laziness", &[MILLI, 50 * MILLI, 500 * MILLI]),
        spurious_per_million: draw.pick("spurious", &[0, 0, 100_000]),
        busy_poll: draw.weighted("busy-poll", &[(18, 0), (1, MILLI), (1, 10 * MILLI)]),
        workers: draw.one_in("workers", 3),
        grain: draw.weighted("grain", &[(4, 1), (2, 1_000), (1, MILLI), (1, 15_600_000)]),
        drift: draw.weighted("drift", &[(3, 0), (3, 200), (1, 100_000)]),
        // The last: anywhere, with room for the jumps of a seed.
        origin: draw.weighted(
            "origin",
            &[(5, 0), (5, 3_600 * SECOND), (5, 400 * DAY), (1, bounds::CLOCK - 100 * DAY)],
        ),
        skew: draw.pick("skew", &[0, 0, SECOND, 120 * SECOND]),
    }
}
