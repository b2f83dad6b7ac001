//! Attacks: they are of the seed, they have effects, they find bugs, and they can be told again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridmux_sim::cluster::{NodeContext, ReplayError, Simulation};
use gridmux_sim::script::{Deed, Fault};
use gridmux_sim::swarm::FaultKind;

use crate::support::{TWICE, counter};

#[test]
fn a_seed_gives_the_same_run_again_and_another_seed_another_one() {
    let (one, again, other) = (counter(true).run(3), counter(true).run(3), counter(true).run(4));
    assert_eq!((one.digest, one.events), (again.digest, again.events));
    assert_eq!((&one.notes, &one.incidents), (&again.notes, &again.incidents));
    assert_ne!(one.digest, other.digest);
}

#[test]
fn runs_that_differ_are_told_by_the_first_event_that_does() {
    let same = counter(true).run_twice(3).expect("they are the same");
    assert_eq!(same.digest, counter(true).run(3).digest);
    let lives = Arc::new(AtomicU64::new(0));
    let simulation = Simulation::new(2, move |context: NodeContext<()>| {
        // Something outlives the run.
        let lives = lives.fetch_add(1, Ordering::Relaxed);
        async move {
            context.sleep(Duration::from_secs(2)).await;
            context.sleep(Duration::from_millis(100 * lives)).await;
            let grid = context.builder().bind(context.address()).await?;
            context.stopped().await;
            grid.shutdown(Duration::from_secs(1)).await;
            Ok(())
        }
    });
    let differs = simulation.without(&FaultKind::ALL).run_twice(3).expect_err("they differ");
    let [one, other] = differs.at.map(|at| at.expect("both go on"));
    assert!(one >= Duration::from_secs(2) && other < Duration::from_secs(4), "{differs}");
    assert!(differs.event > 1 && differs.happened.iter().all(Option::is_some), "{differs}");
    let text = format!("two runs of seed 3 differ from event {} on", differs.event);
    assert!(differs.to_string().starts_with(&text), "{differs}");
}

#[test]
fn looking_closer_changes_nothing() {
    let (plain, traced) = (counter(true).run(5), counter(true).traced(true).run(5));
    assert_eq!(plain.digest, traced.digest);
    assert!(plain.html().is_none());
    assert!(traced.html().is_some_and(|page| page.starts_with("<!doctype html>")));
}

#[test]
fn a_printed_script_gives_the_same_run() {
    let report = counter(true).run(6);
    let again = counter(true).replay(&report.script.to_string()).expect("it can be read");
    assert_eq!(again.digest, report.digest);
    assert_eq!(again.script, report.script);
}

#[test]
fn a_bug_is_found_and_its_faults_are_minimised_and_without_it_the_same_seeds_are_clean() {
    let batch = counter(false).many(0..40);
    assert_eq!(batch.runs, 40);
    let found = batch.failed.into_iter().next().expect("forty seeds are enough");
    assert_eq!(found.failures[0].check, TWICE);
    let before = found.script.lines.len();
    let least = counter(false).minimise(found, 60);
    assert_eq!(least.failures[0].check, TWICE);
    assert!(least.script.lines.len() < before, "{}", least.script);
    assert!(least.history().lines().count() >= least.notes.len());
    let again = counter(false).replay(&least.script.to_string()).expect("it can be read");
    assert_eq!(again.digest, least.digest);
    let fixed = counter(true).replay(&least.script.to_string()).expect("it can be read");
    assert!(fixed.is_good(), "{fixed}");
    assert!(counter(true).many(0..12).is_good());
}

#[test]
fn faults_of_many_kinds_come_and_are_felt() {
    let batch = counter(true).many(0..16);
    let felt: BTreeMap<_, _> = batch.census.iter().filter(|(_, tally)| tally.felt > 0).collect();
    assert!(felt.len() >= 6, "{felt:?}");
    assert!(felt.contains_key(&"B4") && felt.contains_key(&"N1"), "{felt:?}");
}

#[test]
fn kinds_of_faults_can_be_chosen_and_left_out() {
    const RESTARTS: [FaultKind; 3] =
        [FaultKind::Crash, FaultKind::QuickRestart, FaultKind::Restarts];
    let crashes = counter(true).only(&[FaultKind::Crash]).faults(5..=5).script(1);
    assert_eq!(crashes.lines.len(), 5);
    let is_crash = |deed: &Deed| matches!(deed, Deed::Fault(Fault::Crash { .. }));
    assert!(crashes.lines.iter().all(|line| is_crash(&line.deed)), "{crashes}");
    let is_left = |seed| {
        let script = counter(true).without(&RESTARTS).script(seed);
        script.lines.iter().any(|line| is_crash(&line.deed))
    };
    assert!(!(0..50).any(is_left));
    assert!(counter(true).only(&[]).script(1).lines.is_empty());
}

#[test]
fn a_script_for_scripted_applications_is_refused_by_its_line() {
    let replay =
        |line: &str| counter(true).replay(&format!("gridmux-sim 1\nnodes 3\n{line}\nheal 3s\n"));
    let foreign = |line: &str| Err(ReplayError::Foreign(line.into()));
    for line in ["at 1s call a n0 n1 echo", "at 1s twin n0 lasts=1s", "at 1s remove n0 n1 lasts=1s"]
    {
        assert_eq!(replay(line).map(|_| ()), foreign(line));
    }
    assert_eq!(replay("node n1 go").map(|_| ()), foreign("node n1"));
    assert!(matches!(replay("at 1s crush n0"), Err(ReplayError::Script(error)) if error.line == 3));
    assert!(replay("at 1s crash n0").is_ok_and(|report| report.is_good()));
}

#[test]
fn a_check_that_fails_ends_the_run() {
    let late = Duration::from_secs(2);
    let simulation = counter(true)
        .check("it is early", move |view| match view.now() > late {
            true => Err("it is late".into()),
            false => Ok(()),
        })
        .judge("never asked", |_| Err("the run was over".into()));
    let report = simulation.run(1);
    assert_eq!(report.failures.len(), 1, "{report}");
    assert_eq!(report.failures[0].check, "it is early");
    assert!(report.simulated < late + Duration::from_secs(1));
}
