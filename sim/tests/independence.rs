//! A script without one of its lines: nothing changes between nodes that the line does not concern.

use std::collections::BTreeMap;

use gridmux_sim::guard::run_quietly;
use gridmux_sim::history::Sight;
use gridmux_sim::run::Options;
use gridmux_sim::script::{Call, Deed, Line, Moment, Script};
use gridmux_sim::swarm::{Profile, script};

const SECOND: u64 = 1_000_000_000;
const SEEDS: usize = 4;
/// So many lines of each are taken out, one at a time.
const LINES: usize = 5;

/// What was seen of a call before the healing: time, node, the node's own clock, and what.
type Sights = Vec<(u64, usize, u64, Sight)>;

fn sights(script: &Script) -> Vec<(Call, Sights)> {
    let run =
        run_quietly(script, &Options::default()).unwrap_or_else(|bug| panic!("{}", bug.panic));
    let evidence = &run.facts.evidence;
    let calls = evidence.script.calls().cloned().map(|call| (call, Sights::new()));
    let mut all: Vec<_> = calls.collect();
    for entry in evidence.entries.iter().filter(|entry| entry.at < script.heal) {
        all[entry.call].1.push((entry.at, entry.node, entry.clock, entry.sight.clone()));
    }
    all
}

/// The same between others, by name.
fn between(all: &[(Call, Sights)], others: impl Fn(usize) -> bool) -> BTreeMap<&str, &Sights> {
    let of_others = all.iter().filter(|(call, _)| others(call.from) && others(call.to));
    let seen = of_others.filter(|(_, sights)| !sights.is_empty());
    seen.map(|(call, sights)| (call.name.as_str(), sights)).collect()
}

/// The nodes that a line concerns; `None` if that may be all, or if others need the line.
fn concerned(script: &Script, index: usize) -> Option<Vec<usize>> {
    match &script.lines[index].deed {
        Deed::Call(call) => {
            let is_named = script.lines.iter().any(|line| match &line.deed {
                Deed::Call(other) => other.again_after.as_ref() == Some(&call.name),
                Deed::Cancel(name) => *name == call.name,
                Deed::Fault(_) | Deed::Do(_) => false,
            });
            (!is_named).then(|| vec![call.from, call.to])
        }
        Deed::Do(_) => None,
        Deed::Cancel(name) => {
            let call = script.calls().find(|call| call.name == *name)?;
            Some(vec![call.from, call.to])
        }
        Deed::Fault(fault) => {
            let (nodes, _) = fault.extent();
            (!nodes.is_empty()).then_some(nodes)
        }
    }
}

/// A seed's script, less what comes at points of what nodes say: what concerns these concerns it.
fn scheduled(seed: u64) -> Script {
    let mut script = script(seed, Profile::Quick);
    let awaits = |line: &Line| matches!(line.moment, Moment::When(_));
    script.lines.retain(|line| !awaits(line) || matches!(line.deed, Deed::Call(_)));
    for line in script.lines.iter_mut().filter(|line| awaits(line)) {
        line.moment = Moment::At(3 * SECOND);
    }
    script
}

#[test]
fn a_script_without_one_of_its_lines_is_the_same_for_all_whom_that_line_does_not_concern() {
    let (mut compared, mut seen) = (0, 0);
    for seed in (0..).filter(|seed| script(*seed, Profile::Quick).nodes.len() >= 4).take(SEEDS) {
        let whole = scheduled(seed);
        let with = sights(&whole);
        let told = |index: &usize| concerned(&whole, *index).is_some();
        let lines: Vec<_> = (0..whole.lines.len()).filter(told).collect();
        // Some of them, from everywhere in the script.
        for index in lines.iter().copied().step_by(lines.len().div_ceil(LINES).max(1)) {
            let concerned = concerned(&whole, index).unwrap_or_default();
            let mut less = whole.clone();
            let line = less.lines.remove(index);
            let without = sights(&less);
            let others = |node| !concerned.contains(&node);
            let (with, without) = (between(&with, others), between(&without, others));
            assert_eq!(with, without, "seed {seed}, without `{line}`");
            compared += 1;
            seen += with.values().map(|sights| sights.len()).sum::<usize>();
        }
    }
    assert!(compared > 10 && seen > 500, "{compared} comparisons of {seen} sights prove little");
}
