//! What streams have felt: slow readers, ends of both sides at once, ends of input.

use super::Felt;
use crate::history::{Entry, Sight};
use crate::oracle::Evidence;
use crate::oracle::story::{Serving, Story};
use crate::script::Close;

pub(super) fn count(evidence: &Evidence, story: &Story<'_>, felt: &mut Felt) {
    if story.call.route.capacities().is_none() {
        return;
    }
    let knobs = &evidence.script.knobs;
    let late = 2 * knobs.slack + knobs.laziness + 2 * knobs.grain;
    felt.add_if("N5", has_stopped(story));
    felt.add("N5", waits_of_callers(story, late));
    for serving in &story.servings {
        felt.add("N5", waits_of_handlers(story, serving, late));
        felt.add_if("A3", ends_meet(story, serving, knobs.latency.0));
        felt.add_if("A3", leaves_items(story, serving));
        felt.add_if("A4", input_ends_oddly(story, serving));
    }
}

/// The caller has stopped reading while the handler had more to give.
fn has_stopped(story: &Story<'_>) -> bool {
    let outputs = story.servings.iter().map(Serving::outputs).max().unwrap_or(0);
    let stop = story.call.reading.stop.map_or(usize::MAX, |stop| stop as usize);
    story.taken() >= stop && (outputs > stop || stop < story.call.plan.items as usize)
}

/// Sends of the handler that a slow caller kept waiting.
fn waits_of_handlers(story: &Story<'_>, serving: &Serving<'_>, late: u64) -> u64 {
    let reading = &story.call.reading;
    if reading.after == 0 && reading.pace == 0 && reading.stop.is_none() {
        return 0;
    }
    let sends = serving.entries.iter().filter(|one| matches!(one.sight, Sight::OutputSent(_)));
    waits(sends, story.call.plan.pace + late)
}

/// Sends of the caller that a slow handler kept waiting.
fn waits_of_callers(story: &Story<'_>, late: u64) -> u64 {
    let plan = &story.call.plan;
    if plan.after == 0 && plan.take_pace == 0 && plan.take.is_none() {
        return 0;
    }
    let sends = story.caller.iter().filter(|one| matches!(one.sight, Sight::Sent(_)));
    waits(sends, story.call.input.pace + late)
}

/// Sends that came later behind the one before than `most`, by their node's clock.
fn waits<'a>(sends: impl Iterator<Item = &'a &'a Entry>, most: u64) -> u64 {
    let (mut last, mut count) = (None::<u64>, 0);
    for send in sends {
        let gap = last.replace(send.clock).map_or(0, |last| send.clock.saturating_sub(last));
        count += u64::from(gap > most);
    }
    count
}

/// Both sides end or give up before either can know of the other.
fn ends_meet(story: &Story<'_>, serving: &Serving<'_>, latency: u64) -> bool {
    let Some(returned) = serving.returned() else { return false };
    let is_end = |sight: &Sight| matches!(sight, Sight::Closed | Sight::Dropped);
    let mut ends = story.caller.iter().filter(|entry| is_end(&entry.sight));
    ends.any(|end| end.at.abs_diff(returned.at) < latency)
}

/// The handler ends, in order or not, while the caller has not taken all that it gave.
fn leaves_items(story: &Story<'_>, serving: &Serving<'_>) -> bool {
    let Some(returned) = serving.returned() else { return false };
    let is_taken =
        |entry: &&&Entry| matches!(entry.sight, Sight::Taken(..)) && entry.at <= returned.at;
    serving.outputs() > story.caller.iter().filter(is_taken).count()
}

/// The input ends with the opening, behind the handler's own end, or never.
fn input_ends_oddly(story: &Story<'_>, serving: &Serving<'_>) -> bool {
    if !story.call.route.takes_input() {
        return false;
    }
    let (Some(started), closed) = (serving.started(), closed(story)) else { return false };
    let early = closed.is_some_and(|closed| closed.at <= started.at);
    let late = closed.zip(serving.returned()).is_some_and(|(end, returned)| end.at > returned.at);
    early || late || story.call.input.close == Close::Never
}

fn closed<'a>(story: &Story<'a>) -> Option<&'a Entry> {
    story.caller.iter().copied().find(|entry| entry.sight == Sight::Closed)
}

#[cfg(test)]
mod tests {
    use super::super::Felt;
    use crate::history::Sight::{
        self, Closed, Issued, Opened, OutputSent, Returned, Sent, Started, Taken,
    };
    use crate::oracle::story::stories;
    use crate::oracle::tale::{MS, Tale, call};
    use crate::script::{Call, Close, Route};

    #[track_caller]
    fn feels(call: Call, sights: &[(u64, Sight)], row: &str, count: u64) {
        let tale = Tale::of(call, sights);
        let mut felt = Felt::default();
        let stories = stories(&tale.evidence);
        super::count(&tale.evidence, &stories[0], &mut felt);
        assert_eq!(felt.0.get(row).copied().unwrap_or(0), count, "{felt:?}");
        assert!(felt.0.keys().all(|other| *other == row), "{felt:?}");
    }

    #[test]
    fn a_handler_waits_for_a_slow_caller() {
        let sights =
            [(6, Started(true)), (7, OutputSent(0)), (8, OutputSent(1)), (500, OutputSent(2))];
        let mut slow = call(Route::Source);
        feels(slow.clone(), &sights, "N5", 0);
        slow.reading.pace = 400 * MS;
        feels(slow.clone(), &sights, "N5", 2);
        slow.plan.pace = 100 * MS;
        feels(slow.clone(), &sights, "N5", 1);
        slow.plan.pace = 600 * MS;
        feels(slow, &sights, "N5", 0);
    }

    #[test]
    fn a_caller_waits_for_a_slow_handler() {
        let sights = [(5, Issued), (6, Opened), (6, Sent(0)), (6, Sent(1)), (90, Sent(2))];
        feels(call(Route::Sink), &sights, "N5", 0);
        let mut slow = call(Route::Sink);
        slow.plan.take_pace = 50 * MS;
        feels(slow, &sights, "N5", 1);
    }

    #[test]
    fn a_reader_stops_with_something_left() {
        let mut stops = call(Route::Source);
        stops.plan.items = 3;
        stops.reading.stop = Some(1);
        feels(stops.clone(), &[(5, Issued)], "N5", 0);
        feels(
            stops,
            &[(5, Issued), (6, Started(true)), (7, OutputSent(0)), (8, Taken(0, true))],
            "N5",
            1,
        );
    }

    #[test]
    fn ends_meet_only_within_a_delivery() {
        let at = |closed| [(5, Issued), (6, Started(true)), (20, Returned(true)), (closed, Closed)];
        let mut tale = call(Route::Talk);
        tale.input.close = Close::Eof;
        feels(tale.clone(), &at(20), "A3", 1);
        feels(tale, &at(19), "A3", 0);
    }

    #[test]
    fn a_handler_that_ends_leaves_items() {
        let with = |taken| {
            [(6, Started(true)), (7, OutputSent(0)), (taken, Taken(0, true)), (9, Returned(false))]
        };
        feels(call(Route::Source), &with(8), "A3", 0);
        feels(call(Route::Source), &with(10), "A3", 1);
    }

    #[test]
    fn input_ends_early_late_or_never() {
        let at =
            |closed| [(5, Issued), (10, Started(true)), (20, Returned(true)), (closed, Closed)];
        feels(call(Route::Talk), &at(15), "A4", 0);
        feels(call(Route::Talk), &at(10), "A4", 1);
        feels(call(Route::Talk), &at(30), "A4", 1);
        let mut never = call(Route::Talk);
        never.input.close = Close::Never;
        feels(never.clone(), &[(5, Issued)], "A4", 0);
        feels(never, &[(5, Issued), (10, Started(true))], "A4", 1);
    }
}
