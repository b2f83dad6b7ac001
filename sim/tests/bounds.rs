//! What is just within the bounds of scripts runs to its end, and fails for nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gridmux_sim::guard;
use gridmux_sim::script::Script;

/// What two nodes call each other after the healing.
const PROBES: u64 = 8;

/// With these lines, and calls in chaos.
#[track_caller]
fn is_good(lines: &str) {
    let text = format!(
        "gridmux-sim 1
seed 5
nodes 2
{lines}
at 1s call a n0 n1 echo wait-link=1s
at 1s call b n1 n0 talk items=20 send=20 item-size=50 send-size=50 wait-link=1s
heal 2s"
    );
    let script: Script = text.parse().unwrap();
    let outcome = guard::outcome(&script, &Default::default());
    assert!(outcome.is_good(), "{lines}: {:#?}", outcome.failures);
}

#[test]
fn the_last_calls_that_may_be_are_made() {
    for (core, last, calls) in [("n0,n1", "51.7s", 1 + PROBES), ("n0", "42s", 1)] {
        let text =
            format!("gridmux-sim 1\nnodes 2\nat {last} call c n0 n1 echo\nheal 2s core={core}");
        let outcome = guard::outcome(&text.parse().unwrap(), &Default::default());
        assert!(outcome.is_good(), "{core}: {:#?}", outcome.failures);
        assert_eq!(outcome.figures.calls, calls, "{core}");
    }
}

#[test]
fn knobs_at_their_bounds_do_no_harm() {
    for knobs in [
        "latency=250ms",
        "latency=250ms buffer=160",
        "latency=3ms buffer=4",
        "latency=1ms..30ms buffer=20",
        "buffer=1",
        "rate=100000",
        "slack=1s",
        "lazy-per-million=1000000 laziness=10s",
        "spurious-per-million=1000000",
        "grain=100ms",
        "drift=500000",
        "origin=18438104073s",
        "skew=3155760000s",
        "whole=no piece=1",
    ] {
        is_good(&format!("set {knobs}"));
    }
    is_good("gate n1 10s");
}

#[test]
fn faults_at_their_bounds_do_no_harm() {
    for fault in [
        "jump n0 ahead=18438104073s",
        "skew n0 by=3155760000s",
        "skew n0 by=-3155760000s",
        "rate n0 millionths=10000000 lasts=9s",
        "rate n0 millionths=100000 lasts=9s",
        "shutdown n0 grace=10s",
        "reset n0 n1 late=60s",
        "damage n0>n1 insert=1048576",
        "damage n0>n1 drop=1048576",
    ] {
        is_good(&format!("at 1.5s {fault}"));
    }
    is_good("at 2s crash n0 silent");
}

#[test]
fn calls_at_their_bounds_do_no_harm() {
    is_good("at 1.5s call large n0 n1 echo size=67108864");
    is_good("at 1.5s call long n0 n1 source items=10000 size=8 item-size=8");
}
