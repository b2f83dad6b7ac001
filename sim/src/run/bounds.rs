//! How long things may take after the healing, from the configured timers.

use gridmux_core::timings::Timings;

use crate::script::Script;

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nodes' clocks may be slow by this factor, in millionths, so that timers take longer.
fn slowed(script: &Script, nanos: u64) -> u64 {
    let rate = 1_000_000_u64.saturating_sub(script.knobs.drift).max(1);
    let slowed = u128::from(nanos) * 1_000_000 / u128::from(rate);
    u64::try_from(slowed).unwrap_or(u64::MAX)
}

/// From the healing until every pair of the core is connected, at most: the silence after which a
/// dead link is found (at a ping), a dial attempt under way, its handshake on either side, and the
/// spacing of the next one; each timer as late as the knobs allow.
pub(crate) fn healing(script: &Script, timings: &Timings) -> u64 {
    let found = nanos(timings.silence) + nanos(timings.ping_interval);
    let attempt = nanos(timings.dial);
    let handshake = nanos(timings.dialler_handshake).max(nanos(timings.acceptor_handshake));
    let spacing = nanos(timings.retry_max);
    let timers = 4;
    slowed(script, found + attempt + handshake + spacing)
        + timers * (script.knobs.slack + script.knobs.grain)
        + 8 * script.knobs.latency.1
        + 1_000_000_000
}

/// From the probes' beginning until all have succeeded, at most.
pub(crate) fn probe(script: &Script) -> u64 {
    let knobs = &script.knobs;
    let turn = 2 * knobs.latency.1 + knobs.laziness + knobs.slack;
    20_000_000_000 + 400 * turn
}
