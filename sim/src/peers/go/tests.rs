//! Go nodes in calm grids.

use crate::history::Sight;
use crate::run::{Options, Run, run};
use crate::script::{Call, Deed, Input, Line, Moment, NodeKind, Plan, Route, Script};

const SECOND: u64 = 1_000_000_000;

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
            assert_eq!(inputs, call.input.items, "{seed} {call:?}");
        }
    }
}
