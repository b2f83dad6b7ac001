//! The bounds of an attack.

use super::attacks::Attack;
use super::parent::Measured;

/// Latencies below this, in ms, are noise on a machine with few and busy cores: scheduling alone makes them.
const NOISE: f64 = 5.0;

pub(crate) const ABOUT: &str = "memory may grow by 200 MiB for a peer and by 48 MiB for strangers, 19 of 20 fresh nodes join,\n\
     40 lines, four more for each of these, and 32 KiB are logged at most, no call of the healthy pair misses its 2 s, and its p99 (the median of\n\
     windows of 0.2 s) is during the attack at most twice that before, and 5 ms";

/// The bounds that were broken.
pub(crate) fn broken(attack: Attack, measured: &Measured) -> Vec<String> {
    let mut broken = Vec::new();
    let (growth, allowed) = (measured.growth(), memory(attack));
    if growth > allowed {
        broken.push(format!("memory grew by {growth} MiB, at most {allowed} are allowed"));
    }
    let (joined, tried) = measured.joins;
    // Without a descriptor no connection is accepted.
    if attack != Attack::Descriptors && joined * 100 < tried * 95 {
        broken.push(format!("{joined} of {tried} fresh nodes joined, at least 95 % must"));
    }
    let (lines, bytes) = measured.logged();
    if lines > 40 + 4 * tried as u64 || bytes > 32 << 10 {
        broken.push(format!("{lines} lines of {} KiB were logged", bytes >> 10));
    }
    if measured.missed() > 0 {
        broken.push(format!(
            "{} calls of the healthy pair failed or took over 2 s",
            measured.missed()
        ));
    }
    let [before, during, _] =
        measured.reports.each_ref().map(|report| report.p99_us as f64 / 1000.0);
    if during > 2.0 * before + NOISE {
        broken.push(format!("the healthy pair's p99 was {before:.1} ms and became {during:.1} ms"));
    }
    broken
}

/// MiB by which the node may grow.
const fn memory(attack: Attack) -> u64 {
    match attack {
        Attack::Idle
        | Attack::NewOnes
        | Attack::HalfOpen
        | Attack::SlowHeads
        | Attack::Times
        | Attack::UnknownHosts
        | Attack::BadTokens
        | Attack::Descriptors
        | Attack::Panics => 48,
        // Limits of what is queued, received and held by handlers: 16 MiB and one message of 16, 64, and
        // the buffers of a link.
        _ => 200,
    }
}
