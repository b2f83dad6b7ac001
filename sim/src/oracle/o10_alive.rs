//! O10: a link that is heard of lives, whatever clocks and pauses do to its ends, and its own
//! pongs wait for nobody's data (PROTOCOL.md section 7.6).
//!
//! - Who gives a link up for silence has read no byte of it for more than `silence`, or no pong
//!   for `pong_silence`, by its own clock; and there was a fault that can have kept them away.
//! - Time in which a node was stopped, or that its clock jumped over, is not the peer's silence.
//!   Of each such time up to `ping_interval` may count: that is how long before it the next timer
//!   was due. A stop of less than [`PAUSE`] is none.
//! - A ping that was read is answered. Of all that is not being written by then, one WebSocket
//!   message may go ahead of the pong: the one that was fetched already.
//!
//! Not judged: hostile peers, pongs and pings that were changed on their way, and links that are too slow for an
//! answer in time.

use super::bounds::nanos;
use super::evidence::{LinkPing, Missed, Silence};
use super::{Bench, Case};
use crate::script::NodeKind;
use crate::verdict::Class;

/// Less than that is no pause.
const PAUSE: u64 = 1_000_000_000;

/// WebSocket messages that may go ahead of a pong.
const AHEAD: u64 = 1;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for silence in &case.evidence.silences {
        judge_silence(case, bench, silence);
    }
    for ping in &case.evidence.pings {
        judge_ping(case, bench, ping);
    }
}

fn judge_silence(case: &Case<'_>, bench: &mut Bench<'_>, silence: &Silence) {
    let Silence { node, peer, missed, at, last, falsified } = *silence;
    if missed == Missed::Pongs && falsified {
        return bench.excuse("pongs may have been changed");
    }
    if matches!(case.evidence.script.nodes.get(peer), Some(NodeKind::Hostile(_))) {
        return bench.excuse("a hostile peer is silent");
    }
    bench.judged();
    let timings = &case.evidence.timings;
    let grain = case.evidence.script.knobs.grain;
    let (limit, rule) = match missed {
        Missed::Bytes => (timings.silence, "a link that is heard of is given up for silence"),
        Missed::Pongs => (timings.pong_silence, "a link whose pongs come is given up for silence"),
    };
    let shown = at.clock.saturating_sub(last.clock);
    let spared = case.bounds.spared(node, last.at, at.at, PAUSE);
    let silent = shown.saturating_sub(spared).saturating_add(grain);
    if silent < nanos(limit) {
        let detail = format!("n{node} has heard of n{peer} {shown} ns before, {spared} ns spared");
        bench.fail(Class::Safety, rule, at.at, detail);
    }
    let slow = case.bounds.delivery(peer, node) > nanos(timings.silence);
    if case.bounds.is_troubled(node, peer, last.at, at.at) {
        bench.excuse("a fault has kept the signs of life away");
    } else if slow {
        bench.excuse("the way is slow");
    } else {
        let detail = format!("n{node} gives up n{peer}, {shown} ns after the last sign of life");
        bench.fail(Class::Safety, "a link of two well nodes falls silent", at.at, detail);
    }
}

/// Wake-ups from the end of a link to the application's own view of it.
const WAKES: u64 = 4;

fn judge_ping(case: &Case<'_>, bench: &mut Bench<'_>, ping: &LinkPing) {
    let LinkPing { node, peer, asked, answered, behind } = *ping;
    bench.judged();
    let Some(answered) = answered else {
        let told = case.bounds.by(node, asked, 0, WAKES);
        let mut views = case.evidence.views_of(node, peer);
        if views.any(|view| !view.up && (asked..=told).contains(&view.at)) {
            return bench.excuse("the link ended as the ping was read");
        }
        let detail = format!("n{node} has read it of n{peer} at {asked}");
        return bench.fail(Class::Safety, "a ping of the link is not answered", asked, detail);
    };
    if behind > AHEAD {
        let detail = format!("n{node} answers n{peer} at {answered}, {behind} messages later");
        bench.fail(Class::Safety, "a pong of the link waits behind data", answered, detail);
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::tale::{MS, Tale};
    use crate::oracle::{LinkPing, Mark, Missed, Silence};
    use crate::script::Fault;

    /// Node 0 gives node 1 up, so many milliseconds by its clock after the last sign of life.
    fn silent(missed: Missed, shown: u64) -> Tale {
        let mut tale = Tale::new(2);
        let last = Mark { at: 100 * MS, clock: 100 * MS };
        let at = Mark { at: 40_000 * MS, clock: (100 + shown) * MS };
        let silence = Silence { node: 0, peer: 1, missed, at, last, falsified: false };
        tale.evidence.silences.push(silence);
        tale
    }

    /// So that the other rules have nothing to say.
    fn stalled(missed: Missed, shown: u64) -> Tale {
        let mut tale = silent(missed, shown);
        tale.fault(101, 39_000, Fault::Stall { from: 1, to: 0, lasts: 38_899 * MS });
        tale
    }

    fn ping(answered: Option<u64>, behind: u64) -> Tale {
        let mut tale = Tale::new(2);
        let answered = answered.map(|at| at * MS);
        tale.evidence.pings.push(LinkPing { node: 0, peer: 1, asked: MS, answered, behind });
        tale
    }

    #[test]
    fn a_link_that_a_fault_keeps_silent_may_be_given_up() {
        stalled(Missed::Bytes, 20_001).is_good(10);
        stalled(Missed::Pongs, 60_000).is_good(10);
    }

    #[test]
    fn a_link_that_is_heard_of_must_live() {
        let heard = ["a link that is heard of is given up for silence"];
        assert_eq!(stalled(Missed::Bytes, 19_999).broken(10), heard);
        let ponged = ["a link whose pongs come is given up for silence"];
        assert_eq!(stalled(Missed::Pongs, 59_999).broken(10), ponged);
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_silent() {
        let jumped = |shown, ahead| {
            let mut tale = silent(Missed::Bytes, shown);
            tale.fault(5_000, 5_000, Fault::Jump { node: 0, ahead: ahead * MS });
            tale
        };
        let heard = ["a link that is heard of is given up for silence"];
        assert_eq!(jumped(39_999, 31_000).broken(10), heard);
        jumped(40_001, 31_000).is_good(10);
        jumped(20_001, 900).is_good(10);
    }

    #[test]
    fn the_time_that_a_process_stood_still_makes_nobody_silent() {
        let paused = |shown, until: u64| {
            let mut tale = silent(Missed::Bytes, shown);
            tale.fault(5_000, until, Fault::Pause { node: 0, lasts: 60_000 * MS });
            tale
        };
        let heard = ["a link that is heard of is given up for silence"];
        assert_eq!(paused(39_000, 36_000).broken(10), heard);
        paused(39_000, 16_000).is_good(10);
    }

    #[test]
    fn a_link_of_two_well_nodes_falls_silent_for_no_reason() {
        let rule = ["a link of two well nodes falls silent"];
        assert_eq!(silent(Missed::Bytes, 30_000).broken(10), rule);
    }

    #[test]
    fn pongs_that_were_changed_are_missed_for_a_reason() {
        let mut tale = silent(Missed::Pongs, 10);
        tale.evidence.silences[0].falsified = true;
        assert_eq!(tale.broken(10), [""; 0]);
        assert_eq!(tale.verdicts(10).excuses["pongs may have been changed"], 1);
    }

    #[test]
    fn a_pong_may_wait_for_what_is_being_written_and_for_no_more() {
        ping(Some(5), 0).is_good(10);
        ping(Some(9_000), 1).is_good(10);
        assert_eq!(ping(Some(2), 2).broken(10), ["a pong of the link waits behind data"]);
    }

    #[test]
    fn a_ping_without_an_answer_is_bad() {
        assert_eq!(ping(None, 0).broken(10), ["a ping of the link is not answered"]);
    }
}
