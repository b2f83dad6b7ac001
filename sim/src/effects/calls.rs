//! What single calls, and the calls of an instant, have felt.

use std::collections::BTreeMap;

use gridmux_core::error::{CallError, CancelReason};

use super::Felt;
use crate::history::{Entry, Sight};
use crate::oracle::Evidence;
use crate::oracle::story::{Serving, Story};
use crate::script::Finish;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// A deadline and a reply this close to each other race.
const CLOSE: u64 = 5 * MILLI;

/// Deadlines at which pings begin, and beyond which the callee expects them.
const PING_EDGES: [u64; 2] = [15 * SECOND, 60 * SECOND];

/// So many calls in one instant are a storm.
const STORM: usize = 100;

pub(super) fn count(evidence: &Evidence, story: &Story<'_>, felt: &mut Felt) {
    let default = u64::try_from(evidence.timings.default_deadline.as_nanos()).unwrap_or(u64::MAX);
    let error = story.failed().map(|(_, error)| error);
    let refused = matches!(error, Some(CallError::Refused(_)));
    felt.add_if("A6", refused && !story.call.route.is_served());
    felt.add_if("A5", !story.call.route.is_agreed() && is_disagreement(story));
    felt.add_if("C4", error == Some(&CallError::DeadlineTooShort));
    felt.add_if("A1", story.issued().is_some() && story.dropped().is_some());
    felt.add_if("A2", story.timeout(default).is_some_and(|timeout| races(story, timeout)));
    let at_edge = story.call.timeout.is_some_and(|t| PING_EDGES.contains(&t)) && went_out(story);
    felt.add_case("A12.deadline", at_edge.into());
    felt.add_if("A11", story.call.again_after.is_some() && story.issued().is_some());
    felt.add("A9", edges(story));
    let late =
        story.failed().filter(|(_, error)| matches!(error, CallError::DeadlineExceeded { .. }));
    for serving in &story.servings {
        let panicked = serving.find(|sight| *sight == Sight::Panicked).is_some();
        let told = serving.find(|sight| matches!(sight, Sight::Cancelled(_))).is_some();
        let answered = serving.returned().map(|entry| entry.at);
        let too_late = late.is_some_and(|(end, _)| answered > Some(end.at));
        let endless = story.call.plan.finish == Finish::Never && told;
        felt.add_if("N4", panicked || endless || too_late);
    }
}

/// Whether the peers noticed that they do not agree on the route.
fn is_disagreement(story: &Story<'_>) -> bool {
    let error = story.failed().map(|(_, error)| error);
    let told = |serving: &Serving<'_>| {
        let violation = Sight::Cancelled(CancelReason::Violation);
        let ended = Sight::InputEnded(Err(CancelReason::Violation));
        serving.find(|sight| *sight == violation || *sight == ended).is_some()
    };
    matches!(
        error,
        Some(CallError::Remote(_) | CallError::PeerViolation(_) | CallError::Refused(_))
    ) || story.servings.iter().any(told)
}

/// The deadline and the reply came within a few milliseconds of each other.
fn races(story: &Story<'_>, timeout: u64) -> bool {
    let (Some(issued), Some((end, result))) = (story.issued(), story.ended()) else { return false };
    match result {
        Ok(_) => end.clock.abs_diff(issued.clock.saturating_add(timeout)) <= CLOSE,
        Err(CallError::DeadlineExceeded { .. }) => story.servings.iter().any(|serving| {
            serving.returned().is_some_and(|returned| returned.at.abs_diff(end.at) <= CLOSE)
        }),
        Err(_) => false,
    }
}

/// Something of it came to the callee.
fn went_out(story: &Story<'_>) -> bool {
    story.started().is_some()
}

/// Payloads of sizes at the edges that have arrived unchanged: requests, results, items.
fn edges(story: &Story<'_>) -> u64 {
    let call = story.call;
    let requests = story.servings.iter().filter_map(Serving::started);
    let requests = requests.filter(|entry| entry.sight == Sight::Started(true)).count();
    let inputs: usize = story.servings.iter().map(Serving::inputs).sum();
    let counts = [
        (call.size, requests),
        (Some(call.plan.item_size), story.taken()),
        (Some(call.input.size), inputs),
    ];
    let at_edge = counts.into_iter().filter(|(size, _)| is_edge(*size));
    at_edge.map(|(_, count)| count as u64).sum()
}

/// Nil, empty, one byte; around what is merged; or huge.
const fn is_edge(size: Option<u32>) -> bool {
    matches!(size, None | Some(0..=1 | 16_300..=16_450 | 200_000..))
}

/// What the calls of one instant, and those before a limit, have felt; and clocks that stand still.
pub(super) fn count_bursts(evidence: &Evidence, felt: &mut Felt) {
    let mut issued = BTreeMap::<_, usize>::new();
    let mut shown = BTreeMap::<_, &Entry>::new();
    for entry in &evidence.entries {
        match &entry.sight {
            Sight::Issued => *issued.entry((entry.node, entry.at)).or_default() += 1,
            Sight::Ended(Err(error)) => felt.add_if("S2", is_limit(error)),
            _ => {}
        }
        let last = shown.insert((entry.node, entry.life), entry);
        felt.add_if("C4", last.is_some_and(|last| last.clock == entry.clock && last.at < entry.at));
    }
    felt.add("S2", issued.values().filter(|count| **count >= STORM).count() as u64);
}

/// A limit of the caller, or of the callee.
fn is_limit(error: &CallError) -> bool {
    match error {
        CallError::Limit(_)
        | CallError::TooLarge { .. }
        | CallError::ResponseTooLarge { .. }
        | CallError::PeerLimit { .. } => true,
        CallError::Refused(text) => text.contains("too many calls"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::{CallError, CancelReason, LimitKind};

    use super::super::Felt;
    use crate::history::Sight::{
        self, Cancelled, Dropped, Ended, Issued, Panicked, Returned, Started, Taken,
    };
    use crate::oracle::story::stories;
    use crate::oracle::tale::{EXPIRED, MS, Tale, call};
    use crate::script::{Call, Finish, Route};

    fn felt_of(tale: &Tale) -> Vec<(&'static str, u64)> {
        let mut felt = Felt::default();
        for story in stories(&tale.evidence) {
            super::count(&tale.evidence, &story, &mut felt);
        }
        super::count_bursts(&tale.evidence, &mut felt);
        felt.0.into_iter().collect()
    }

    #[track_caller]
    fn feels(call: Call, sights: &[(u64, Sight)], felt: &[(&'static str, u64)]) {
        assert_eq!(felt_of(&Tale::of(call, sights)), felt);
    }

    #[test]
    fn a_calm_call_feels_nothing() {
        let sights = [(5, Issued), (6, Started(true)), (7, Returned(true)), (8, Ended(Ok(true)))];
        feels(call(Route::Echo), &sights, &[]);
    }

    #[test]
    fn handlers_that_panic_never_end_or_answer_late() {
        let with = |finish| {
            let mut call = call(Route::Echo);
            call.plan.finish = finish;
            call
        };
        let told = Cancelled(CancelReason::Caller);
        feels(with(Finish::Panic), &[(5, Issued), (6, Started(true))], &[]);
        feels(with(Finish::Panic), &[(6, Started(true)), (6, Panicked)], &[("N4", 1)]);
        feels(with(Finish::Ok), &[(6, Started(true)), (7, told.clone())], &[]);
        feels(with(Finish::Never), &[(6, Started(true)), (7, told)], &[("N4", 1)]);
        let late =
            |at| [(5, Issued), (6, Started(true)), (20, Ended(Err(EXPIRED))), (at, Returned(true))];
        feels(with(Finish::Ok), &late(10), &[]);
        feels(with(Finish::Ok), &late(30), &[("N4", 1)]);
    }

    #[test]
    fn a_cancel_needs_a_call_that_was_made() {
        feels(call(Route::Echo), &[(5, Dropped)], &[]);
        feels(call(Route::Echo), &[(5, Issued), (6, Dropped)], &[("A1", 1)]);
    }

    #[test]
    fn a_deadline_and_a_reply_race_when_they_are_close() {
        let mut short = call(Route::Echo);
        short.timeout = Some(100 * MS);
        let reply =
            |at| [(5, Issued), (6, Started(true)), (7, Returned(true)), (at, Ended(Ok(true)))];
        feels(short.clone(), &reply(50), &[]);
        feels(short.clone(), &reply(104), &[("A2", 1)]);
        let expired = |at| {
            [(5, Issued), (6, Started(true)), (at, Returned(true)), (105, Ended(Err(EXPIRED)))]
        };
        feels(short.clone(), &expired(50), &[]);
        feels(short, &expired(103), &[("A2", 1)]);
    }

    #[test]
    fn a_call_made_again_counts_once_it_is_made() {
        let mut again = call(Route::Echo);
        again.again_after = Some("c".into());
        feels(again.clone(), &[], &[]);
        feels(again, &[(5, Issued)], &[("A11", 1)]);
        feels(call(Route::Echo), &[(5, Issued)], &[]);
    }

    #[test]
    fn refusals_and_disagreements_need_their_routes() {
        let refused = |text: &str| [(5, Issued), (6, Ended(Err(CallError::Refused(text.into()))))];
        feels(call(Route::Echo), &refused("shutting down"), &[]);
        feels(call(Route::Missing), &refused("unknown handler"), &[("A6", 1)]);
        let remote = [(5, Issued), (6, Ended(Err(CallError::Remote("too many items".into()))))];
        feels(call(Route::Talk), &remote, &[]);
        feels(call(Route::Mismatch), &remote, &[("A5", 1)]);
    }

    #[test]
    fn deadlines_too_short_and_clocks_that_stand_still() {
        let short = [(5, Issued), (5, Ended(Err(CallError::DeadlineTooShort)))];
        feels(call(Route::Echo), &short, &[("C4", 1)]);
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (9, Dropped)]);
        tale.evidence.entries[1].clock = tale.evidence.entries[0].clock;
        assert_eq!(felt_of(&tale), [("A1", 1), ("C4", 1)]);
    }

    #[test]
    fn sizes_at_the_edges_count_where_they_arrive() {
        let mut edge = call(Route::Source);
        edge.plan.item_size = 16_384;
        feels(edge.clone(), &[(5, Issued), (6, Started(true))], &[]);
        feels(edge, &[(5, Issued), (6, Started(true)), (7, Taken(0, true))], &[("A9", 1)]);
        let mut nil = call(Route::Echo);
        nil.size = None;
        feels(nil.clone(), &[(5, Issued), (6, Started(false))], &[]);
        feels(nil, &[(5, Issued), (6, Started(true))], &[("A9", 1)]);
    }

    #[test]
    fn a_deadline_at_the_edge_of_pings_has_to_travel() {
        let mut edge = call(Route::Talk);
        edge.timeout = Some(15_000 * MS);
        edge.plan.item_size = 10;
        edge.input.size = 10;
        feels(edge.clone(), &[(5, Issued)], &[]);
        feels(edge.clone(), &[(5, Issued), (6, Started(true))], &[("A12", 1), ("A12.deadline", 1)]);
        edge.timeout = Some(15_001 * MS);
        feels(edge, &[(5, Issued), (6, Started(true))], &[]);
    }

    #[test]
    fn a_storm_is_many_calls_in_one_instant_or_a_limit() {
        let storm = |count: u64, apart: u64| {
            let mut tale = Tale::new(2);
            for n in 0..count {
                let id = tale.call(Call::new(format!("c{n}"), 0, 1, Route::Echo));
                tale.see(5 + n * apart, id, Issued);
            }
            felt_of(&tale)
        };
        assert_eq!(storm(99, 0), []);
        assert_eq!(storm(100, 1), []);
        assert_eq!(storm(100, 0), [("S2", 1)]);
        let limit = CallError::Limit(LimitKind::OutgoingMuxes);
        feels(call(Route::Echo), &[(5, Issued), (5, Ended(Err(limit)))], &[("S2", 1)]);
        let refused = CallError::Refused("too many calls".into());
        feels(call(Route::Echo), &[(5, Issued), (6, Ended(Err(refused)))], &[("S2", 1)]);
    }
}
