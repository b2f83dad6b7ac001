//! Go nodes in calm grids, and each of their quirks with one of ours.

use super::quirk::{Quirk, Quirks};
use super::{Go, perform};
use crate::history::Sight;
use crate::keyed::name_key;
use crate::peers::stand::{SECOND, Stand};
use crate::run::{Options, Run, run};
use crate::script::{Call, Deed, Finish, Input, Line, Moment, NodeKind, Plan, Route, Script};
use crate::trace::Brief;

const MILLI: u64 = 1_000_000;

fn at(seconds: u64, call: Call) -> Line {
    Line { moment: Moment::At(seconds * SECOND), deed: Deed::Call(call) }
}

/// Two of ours and one Go node, and nothing happens.
fn mixed(seed: u64) -> Script {
    let mut script = Script::new(seed, 3);
    script.nodes[2] = NodeKind::Go;
    script.heal = 8 * SECOND;
    script
}

/// A call of this route with something of everything.
fn rich(name: String, from: usize, to: usize, route: Route) -> Call {
    let (gives, takes) = (route.gives_items(), route.takes_input());
    Call {
        plan: Plan {
            items: if gives { 20 } else { 0 },
            item_size: if route.capacities().is_some() { 300 } else { 0 },
            ..Plan::default()
        },
        input: Input { items: if takes { 20 } else { 0 }, size: 200, ..Input::default() },
        ..Call::new(name, from, to, route)
    }
}

#[track_caller]
fn is_clean(run: &Run) {
    assert!(run.outcome.failures.is_empty(), "{:#?}", run.outcome.failures);
}

#[test]
fn every_kind_of_call_succeeds_between_ours_and_a_go_node_with_all_items() {
    for seed in 0..6 {
        let mut script = mixed(seed);
        script.knobs.whole = seed % 2 == 0;
        script.secure = seed % 3 == 0;
        let served = Route::ALL.into_iter().filter(|route| route.is_served() && route.is_agreed());
        for (number, route) in served.enumerate() {
            for (way, (from, to)) in [(0, 2), (2, 0), (1, 2), (2, 1)].into_iter().enumerate() {
                script.lines.push(at(3, rich(format!("c{number}-{way}"), from, to, route)));
            }
        }
        let run = run(&script, &Options::default());
        is_clean(&run);
        for (id, call) in run.facts.evidence.script.calls().enumerate() {
            let seen = run.facts.evidence.entries.iter().filter(|entry| entry.call == id);
            let seen: Vec<_> = seen.map(|entry| entry.sight.clone()).collect();
            assert!(seen.contains(&Sight::Ended(Ok(true))), "{seed} {call:?}: {seen:?}");
            assert!(seen.contains(&Sight::Started(true)), "{seed} {call:?}: {seen:?}");
            let count = |is: &dyn Fn(&Sight) -> bool| seen.iter().filter(|s| is(s)).count() as u32;
            let taken = count(&|sight| matches!(sight, Sight::Taken(_, true)));
            let gives = if call.route.gives_items() { call.plan.items } else { taken };
            assert_eq!(taken, gives, "{seed} {call:?}");
            let inputs = count(&|sight| matches!(sight, Sight::InputTaken(_, true)));
            let due = call.input.items.min(call.plan.take.unwrap_or(u32::MAX));
            assert_eq!(inputs, due, "{seed} {call:?}");
        }
    }
}

// ---- quirks, one by one ----

/// One of ours and a Go node with these quirks alone, linked.
fn linked(quirks: &[Quirk], calls: Vec<Call>) -> (Stand, Go) {
    let mut stand = Stand::new(calls, true);
    let here = stand.here();
    let quirks = Quirks::of(&here.runtime, quirks.iter().copied());
    let go = Go::start_with(here, true, &quirks);
    stand.pass(2 * SECOND);
    assert!(stand.is_up() && go.link(0).is_some_and(|link| link.is_up()));
    (stand, go)
}

/// The Go node makes a call.
fn calls(stand: &Stand, go: &Go, id: usize) {
    let (witness, call) = stand.theirs(id);
    let link = go.link(0).expect("it is the other node");
    let key = name_key(&call.name);
    go.here.runtime.spawn_keyed(key, perform(link, witness, call));
}

fn of_op(said: Vec<Brief>, op: &str) -> Vec<Brief> {
    said.into_iter().filter(|brief| brief.op == op).collect()
}

/// With the quirk, and without.
fn twice(quirk: Quirk, check: impl Fn(&[Quirk], bool)) {
    check(&[quirk], true);
    check(&[], false);
}

fn planned(from: usize, to: usize, route: Route, plan: Plan) -> Call {
    Call { plan, ..Call::new("call", from, to, route) }
}

#[test]
fn a_caller_that_has_cancelled_answers_in_the_wrong_direction_and_no_call_of_ours_dies() {
    twice(Quirk::WrongDirection, |quirks, has| {
        let source = Plan { items: 100, item_size: 10, pace: MILLI / 10, ..Plan::default() };
        let slow = Plan { after: SECOND, ..Plan::default() };
        let list = vec![planned(1, 0, Route::Source, source), planned(0, 1, Route::Echo, slow)];
        let (mut stand, go) = linked(&[quirks, &[Quirk::SmallIds]].concat(), list);
        calls(&stand, &go, 0);
        stand.call(1);
        stand.pass(MILLI);
        stand.cancel(0);
        stand.pass(2 * SECOND);
        let wrong = of_op(stand.theirs_said(), "DisconnectClientMux");
        assert_eq!(!wrong.is_empty(), has);
        assert!(wrong.iter().all(|brief| brief.mux == 1));
        assert!(stand.seen(1).contains(&Sight::Ended(Ok(true))), "{:?}", stand.seen(1));
        assert!(stand.is_up());
    });
}

#[test]
fn a_ticker_that_was_missed_for_days_ticks_once() {
    let (mut stand, _go) = linked(&[], vec![]);
    stand.pause_ours();
    while stand.theirs_pinged() == 0 {
        stand.pass(SECOND / 10);
    }
    // The pong comes meanwhile: the link is alive.
    stand.jump_theirs(3 * 24 * 3_600 * SECOND);
    stand.pass(9 * SECOND);
    assert_eq!(stand.theirs_pinged(), 2);
    stand.pass(2 * SECOND);
    assert_eq!(stand.theirs_pinged(), 3);
}

#[test]
fn ids_are_small() {
    twice(Quirk::SmallIds, |quirks, has| {
        let (mut stand, go) = linked(quirks, vec![Call::new("call", 1, 0, Route::Echo)]);
        calls(&stand, &go, 0);
        stand.pass(SECOND);
        let ids: Vec<_> = of_op(stand.theirs_said(), "Request").iter().map(|b| b.mux).collect();
        assert_eq!(ids == [1], has, "{ids:?}");
        assert!(stand.seen(0).contains(&Sight::Ended(Ok(true))));
        assert_eq!(stand.tally("N8").felt, u64::from(has));
    });
}

#[test]
fn an_empty_request_arrives_as_nil() {
    twice(Quirk::NeverZero, |quirks, has| {
        let empty = Call { size: Some(0), ..Call::new("call", 1, 0, Route::Echo) };
        let (mut stand, go) = linked(quirks, vec![empty]);
        calls(&stand, &go, 0);
        stand.pass(SECOND);
        let seen = stand.seen(0);
        assert!(seen.contains(&Sight::Started(!has)), "{seen:?}");
        assert!(seen.contains(&Sight::Ended(Ok(true))), "{seen:?}");
        assert_eq!(stand.tally("N8").felt, u64::from(has));
    });
}

#[test]
fn a_single_request_is_cancelled_without_a_word() {
    twice(Quirk::SilentCancel, |quirks, has| {
        let slow = Plan { after: SECOND, ..Plan::default() };
        let (mut stand, go) = linked(quirks, vec![planned(1, 0, Route::Echo, slow)]);
        calls(&stand, &go, 0);
        stand.pass(SECOND / 2);
        stand.cancel(0);
        stand.pass(SECOND);
        let cancels = of_op(stand.theirs_said(), "DisconnectServerMux").len();
        assert_eq!(cancels, usize::from(!has));
        assert_eq!(stand.seen(0).contains(&Sight::Returned(true)), has);
        assert!(stand.is_up());
    });
}

#[test]
fn a_handler_runs_on_past_its_deadline_and_nothing_is_answered() {
    twice(Quirk::RunsOn, |quirks, has| {
        let slow = Plan { after: 2 * SECOND, ..Plan::default() };
        let call = Call { timeout: Some(SECOND), ..planned(0, 1, Route::Echo, slow) };
        let (mut stand, _go) = linked(quirks, vec![call]);
        stand.call(0);
        stand.pass(3 * SECOND);
        assert_eq!(stand.seen(0).contains(&Sight::Returned(true)), has, "{:?}", stand.seen(0));
        assert!(of_op(stand.theirs_said(), "Response").is_empty());
    });
}

#[test]
fn a_stream_is_cancelled_twice() {
    twice(Quirk::DoubleCancel, |quirks, has| {
        let never = Plan { finish: Finish::Never, ..Plan::default() };
        let call = Call {
            input: Input { items: 2, size: 3, ..Input::default() },
            ..planned(1, 0, Route::Talk, never)
        };
        let (mut stand, go) = linked(quirks, vec![call]);
        calls(&stand, &go, 0);
        stand.pass(SECOND / 2);
        stand.cancel(0);
        stand.pass(SECOND);
        let cancels = of_op(stand.theirs_said(), "DisconnectServerMux");
        let seqs: Vec<_> = cancels.iter().map(|brief| brief.seq).collect();
        // ConnectMux, two items, the end of the input; then the running number, and 0.
        assert_eq!(seqs, if has { vec![4, 0] } else { vec![0] });
        assert_eq!(stand.tally("N8").felt, u64::from(has));
        assert_eq!(of_op(stand.ours_said(), "DisconnectClientMux").len(), 1);
    });
}

#[test]
fn a_credit_goes_back_before_the_handler_takes_the_item() {
    twice(Quirk::EarlyCredits, |quirks, has| {
        let late = Plan { after: 5 * SECOND, ..Plan::default() };
        let call = Call {
            input: Input { items: 3, size: 3, ..Input::default() },
            ..planned(0, 1, Route::Gulp, late)
        };
        let (mut stand, _go) = linked(quirks, vec![call]);
        stand.call(0);
        stand.pass(SECOND);
        let credits = |stand: &Stand| of_op(stand.theirs_said(), "UnblockClMux").len();
        assert_eq!(credits(&stand), usize::from(has));
        stand.pass(6 * SECOND);
        assert_eq!(credits(&stand), 3);
        assert!(stand.seen(0).contains(&Sight::Ended(Ok(true))), "{:?}", stand.seen(0));
    });
}

#[test]
fn items_are_lost_when_an_error_follows() {
    twice(Quirk::LosesItems, |quirks, has| {
        let fails = Plan { items: 2, item_size: 5, finish: Finish::Error, ..Plan::default() };
        let mut call = planned(1, 0, Route::Source, fails);
        call.reading.after = SECOND;
        let (mut stand, go) = linked(quirks, vec![call]);
        calls(&stand, &go, 0);
        stand.pass(2 * SECOND);
        let seen = stand.seen(0);
        let taken = seen.iter().filter(|sight| matches!(sight, Sight::Taken(_, true))).count();
        assert_eq!(taken, if has { 0 } else { 2 });
        assert!(seen.iter().any(|sight| matches!(sight, Sight::Ended(Err(_)))), "{seen:?}");
    });
}

#[test]
fn a_callee_past_the_deadline_says_no_more_than_that_the_mux_is_over() {
    twice(Quirk::BareDeadline, |quirks, has| {
        let never = Plan { finish: Finish::Never, ..Plan::default() };
        let call = Call { timeout: Some(SECOND), ..planned(0, 1, Route::Source, never) };
        let (mut stand, _go) = linked(quirks, vec![call]);
        stand.call(0);
        stand.pass(SECOND / 2);
        // Or ours would cancel at the same time.
        stand.pause_ours();
        stand.pass(SECOND);
        let said = stand.theirs_said();
        assert_eq!(of_op(said.clone(), "MuxServerMsg").is_empty(), has);
        assert_eq!(of_op(said, "DisconnectClientMux").len(), 1);
    });
}

#[test]
fn messages_that_wait_travel_together() {
    twice(Quirk::LargeMerges, |quirks, has| {
        let call = |n: usize| Call {
            size: Some(20_000),
            ..Call::new(format!("c{n}"), 0, 1, Route::Inline)
        };
        let (mut stand, _go) = linked(quirks, (0..9).map(call).collect());
        (0..9).for_each(|id| stand.call(id));
        // Long enough for a ping, which shows that ours has read it.
        stand.pass(12 * SECOND);
        assert_eq!(stand.most_merged() > 1, has);
        assert_eq!(stand.tally("N8").felt, u64::from(has));
        assert!((0..9).all(|id| stand.seen(id).contains(&Sight::Ended(Ok(true)))));
    });
}
