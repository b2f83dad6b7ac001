//! O14: at rest nothing is left: no open call, no byte queued or held, no timer of a call, no task
//! beyond those that the links need, and at most one timer of the system for each peer.
//!
//! Large messages that wait are not sent to a caller that has cancelled: at most one more, which was
//! fetched already.
//!
//! After the drain everything comes to rest, every shutdown ends, no node dials after its own, and no task
//! is left.
//!
//! A handler that runs to its end, and has none, is allowed what it holds: one open call, one
//! task and one timer each.

use super::bounds::nanos;
use super::{Bench, Case, Needless, heal_bound};
use crate::script::{NodeKind, Route};
use crate::verdict::Class;

/// For how long a connection that is refused may be in closing.
const REFUSAL: u64 = 1_000_000_000;

/// Wake-ups of a handshake.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    judge_gauges(case, bench);
    judge_needless(case, bench);
    judge_end(case, bench);
}

fn judge_gauges(case: &Case<'_>, bench: &mut Bench<'_>) {
    let at = case.evidence.phases.quiet;
    let peers = case.evidence.script.nodes.len().saturating_sub(1) as u64;
    for gauge in &case.evidence.gauges {
        bench.judged();
        let endless = endless(case, gauge.node);
        for _ in 0..endless {
            bench.excuse("runs to its end");
        }
        let knocking = knocking(case, gauge.node);
        for _ in 0..knocking {
            bench.excuse("a hostile peer is at the door");
        }
        let held = if endless > 0 { u64::MAX } else { 0 };
        let left = [
            ("calls are left open", gauge.open_calls, endless),
            ("bytes are left queued", gauge.queued_bytes, 0),
            ("received bytes are left", gauge.received_bytes, 0),
            ("bytes of handlers are left", gauge.handler_bytes, held),
            ("timers of calls are left", gauge.call_timers, endless),
            ("timers of the system are left", gauge.system_timers, peers + endless + knocking),
            ("tasks are left", gauge.tasks, gauge.tasks_at_rest + endless + knocking),
        ];
        for (rule, value, allowed) in left {
            if value > allowed {
                let detail = format!("n{}: {value}, not {allowed}", gauge.node);
                bench.fail(Class::Safety, rule, at, detail);
            }
        }
    }
}

/// Messages that may follow a cancel: the one that was fetched already.
const FETCHED: u64 = 1;

fn judge_needless(case: &Case<'_>, bench: &mut Bench<'_>) {
    for needless in &case.evidence.needless {
        bench.judged();
        if needless.messages > FETCHED {
            let Needless { node, peer, at, messages } = *needless;
            let detail = format!("n{node} has sent n{peer} {messages} after it was cancelled");
            bench.fail(
                Class::Safety,
                "large messages are sent for a call that is cancelled",
                at,
                detail,
            );
        }
    }
}

fn judge_end(case: &Case<'_>, bench: &mut Bench<'_>) {
    let (evidence, farewell) = (case.evidence, &case.evidence.farewell);
    if let Some((at, detail)) = &evidence.inside.timers {
        bench.fail(Class::Safety, "more timers than calls", *at, detail.clone());
    }
    // What a slow path still carries then may be waited for.
    let calls = evidence.script.calls();
    let carried = calls.map(|call| case.bounds.delivery(call.to, call.from)).max().unwrap_or(0);
    let bound = heal_bound(&evidence.script, &evidence.timings).saturating_add(carried);
    let mut fail = |rule, detail| bench.fail(Class::Liveness, rule, farewell.end, detail);
    match farewell.quiet.map(|quiet| quiet.saturating_sub(evidence.phases.drain)) {
        None => fail("something is left of calls that are over", String::new()),
        // Who was let go of knows it when a dead link has been found.
        Some(late) if late > bound => {
            fail("something is left of calls too long", format!("{late} ns after the drain"));
        }
        Some(_) => {}
    }
    for node in &farewell.not_shut_down {
        fail("a shutdown does not end", format!("n{node}"));
    }
    for node in &farewell.dialled_after {
        fail("a node dials after its shutdown", format!("n{node}"));
    }
    if farewell.tasks_left > 0 {
        fail("tasks are left after the shutdown", farewell.tasks_left.to_string());
    }
}

/// How many connections of hostile peers a node takes for handshakes that may go on, or were refused
/// and are being closed.
fn knocking(case: &Case<'_>, node: usize) -> u64 {
    let evidence = case.evidence;
    let quiet = evidence.phases.quiet;
    let patience = nanos(evidence.timings.acceptor_handshake).saturating_add(REFUSAL);
    let knocks = evidence.connections.iter().filter(|connection| {
        let [dialler, acceptor] = connection.nodes;
        let is_hostile = matches!(evidence.script.nodes.get(dialler), Some(NodeKind::Hostile(_)));
        let is_open = connection.broken_at[1].is_none_or(|broken| broken >= quiet);
        let due = case.bounds.by(node, connection.opened_at, patience, WAKES);
        acceptor == node
            && is_hostile
            && is_open
            && connection.accepted_at.is_none()
            && due >= quiet
    });
    knocks.count() as u64
}

/// How many handlers of routes that run to their end still do at a node.
fn endless(case: &Case<'_>, node: usize) -> u64 {
    let run_on = case.stories.iter().filter(|story| story.call.route == Route::RunToEnd);
    let servings = run_on.flat_map(|story| &story.servings).filter(|serving| {
        let ended = serving.find(|sight| *sight == crate::history::Sight::HandlerDropped);
        serving.node == node
            && serving.started().is_some()
            && serving.returned().is_none()
            && ended.is_none()
            && !case.evidence.is_dead(node, serving.life, case.evidence.phases.quiet)
    });
    servings.count() as u64
}

#[cfg(test)]
mod tests {
    use crate::history::Sight::{Dropped, Issued, Started};
    use crate::oracle::tale::{MS, Tale, call};
    use crate::oracle::{ConnectionLife, Farewell, Gauge, Needless};
    use crate::script::{Conduct, NodeKind, Route};

    const CALM: Gauge = Gauge {
        node: 1,
        open_calls: 0,
        queued_bytes: 0,
        received_bytes: 0,
        handler_bytes: 0,
        call_timers: 0,
        system_timers: 1,
        tasks: 3,
        tasks_at_rest: 3,
    };

    fn rests(gauge: Gauge) -> Tale {
        let mut tale = Tale::new(2);
        tale.evidence.gauges.push(gauge);
        tale
    }

    #[test]
    fn a_node_that_holds_nothing_is_good() {
        rests(CALM).is_good(14);
    }

    #[test]
    fn whatever_is_left_is_bad() {
        for (gauge, rule) in [
            (Gauge { open_calls: 1, ..CALM }, "calls are left open"),
            (Gauge { queued_bytes: 1, ..CALM }, "bytes are left queued"),
            (Gauge { received_bytes: 1, ..CALM }, "received bytes are left"),
            (Gauge { handler_bytes: 1, ..CALM }, "bytes of handlers are left"),
            (Gauge { call_timers: 1, ..CALM }, "timers of calls are left"),
            (Gauge { system_timers: 2, ..CALM }, "timers of the system are left"),
            (Gauge { tasks: 4, ..CALM }, "tasks are left"),
        ] {
            assert_eq!(rests(gauge).broken(14), [rule]);
        }
    }

    #[test]
    fn the_handshake_of_a_hostile_peer_may_go_on() {
        let mut tale = rests(Gauge { tasks: 4, system_timers: 2, ..CALM });
        let left = ["timers of the system are left", "tasks are left"];
        let knocks = tale.evidence.connections[0];
        let quiet = tale.evidence.phases.quiet;
        let mut late = ConnectionLife {
            nodes: [0, 1],
            opened_at: quiet - MS,
            accepted_at: None,
            broken_at: [None; 2],
            ..knocks
        };
        tale.evidence.connections.push(late);
        assert_eq!(tale.broken(14), left, "of one of ours");
        tale.evidence.script.nodes[0] = NodeKind::Hostile(Conduct::Handshakes);
        tale.is_good(14);
        late.opened_at = quiet - 4_900 * MS;
        tale.evidence.connections[1] = late;
        tale.is_good(14);
        late.opened_at = quiet - 9_000 * MS;
        tale.evidence.connections[1] = late;
        assert_eq!(tale.broken(14), left, "for too long");
    }

    #[test]
    fn an_end_at_which_something_stays_is_bad() {
        let ends = |spoil: fn(&mut Farewell)| {
            let mut tale = rests(CALM);
            spoil(&mut tale.evidence.farewell);
            tale.broken(14)
        };
        assert_eq!(ends(|_| {}), [""; 0]);
        let left = ends(|farewell| farewell.quiet = None);
        assert_eq!(left, ["something is left of calls that are over"]);
        let late = ends(|farewell| farewell.quiet = Some(300_000 * MS));
        assert_eq!(late, ["something is left of calls too long"]);
        let hangs = ends(|farewell| farewell.not_shut_down.push(1));
        assert_eq!(hangs, ["a shutdown does not end"]);
        let dials = ends(|farewell| farewell.dialled_after.push(1));
        assert_eq!(dials, ["a node dials after its shutdown"]);
        let tasks = ends(|farewell| farewell.tasks_left = 1);
        assert_eq!(tasks, ["tasks are left after the shutdown"]);
    }

    #[test]
    fn a_large_message_may_follow_a_cancel_and_a_second_one_is_bad() {
        let sent = |messages| {
            let mut tale = rests(CALM);
            let needless = Needless { node: 0, peer: 1, at: 7 * MS, messages };
            tale.evidence.needless.push(needless);
            tale.broken(14)
        };
        assert_eq!(sent(1), [""; 0]);
        assert_eq!(sent(2), ["large messages are sent for a call that is cancelled"]);
    }

    #[test]
    fn more_timers_than_calls_are_bad_at_any_time() {
        let mut tale = rests(CALM);
        tale.evidence.inside.timers = Some((7 * MS, "n0 with n1: 2 timers of 1 call".into()));
        assert_eq!(tale.broken(14), ["more timers than calls"]);
    }

    #[test]
    fn a_handler_that_runs_for_ever_may_be_left() {
        let left = Gauge { open_calls: 1, tasks: 4, ..CALM };
        let mut tale = rests(left);
        let id = tale.call(call(Route::RunToEnd));
        tale.see(5, id, Issued).see(6, id, Started(true)).see(7, id, Dropped);
        tale.is_good(14);
        tale.kill(9, 1);
        assert_eq!(tale.broken(14), ["calls are left open", "tasks are left"]);
    }
}
