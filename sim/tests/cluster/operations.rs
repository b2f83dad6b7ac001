//! What scripts tell nodes to do.

use std::time::Duration;

use gridmux_sim::cluster::{NodeContext, ReplayError, Simulation};

/// Two nodes that note what they are told to add, and may not add as much as 100.
fn adders() -> Simulation<u64> {
    Simulation::new(2, |context: NodeContext<u64>| async move {
        loop {
            let operation = context.operation().await;
            context.note(operation.get("by").unwrap_or("1").parse()?);
        }
    })
    .operations(&["add"])
    .chaos(Duration::from_secs(4)..=Duration::from_secs(6))
    .calm(Duration::from_secs(3))
    .check("no sum is 100", |view| match view.events().sum::<u64>() {
        100.. => Err("it is".into()),
        _ => Ok(()),
    })
}

fn script(lines: &str) -> String {
    format!("gridmux-sim 1\nnodes 2\n{lines}\nheal 5s\n")
}

#[test]
fn a_node_is_told_at_the_times_of_the_line_and_what_it_cannot_take_is_lost() {
    let lines = "every 1s 1s..4s do add n0 by=2\nat 3s do add n1\nat 2.5s crash n0 back=1s";
    let report = adders().replay(&script(lines)).expect("the script can be read");
    assert!(report.is_good(), "{report}");
    let notes: Vec<_> =
        report.notes.iter().map(|note| (note.at.as_secs(), note.node, note.life)).collect();
    assert_eq!(notes, [(1, 0, 0), (2, 0, 0), (3, 1, 0), (4, 0, 1)]);
    let texts: Vec<_> = report.incidents.iter().map(|incident| incident.text.as_str()).collect();
    assert!(texts.contains(&"do add n0 by=2: n0 does not run"), "{texts:?}");
    assert!(texts.contains(&"do add n1"), "{texts:?}");
}

#[test]
fn operations_are_minimised_with_their_arguments() {
    let lines = "at 1s do add n0 by=2\nat 2s crash n1 back=1s\nat 2.75s do add n0 by=977";
    let report = adders().replay(&script(lines)).expect("the script can be read");
    assert!(!report.is_good());
    let least = adders().minimise(report, 200);
    assert_eq!(least.failures[0].check, "no sum is 100");
    assert_eq!(least.script.lines.len(), 1, "{}", least.script);
    assert!(least.script.lines[0].to_string().ends_with("do add n0 by=100"), "{}", least.script);
    let again = adders().replay(&least.script.to_string()).expect("it is read again");
    assert_eq!(again.digest, least.digest);
}

#[test]
fn every_seed_has_the_operations_that_are_given() {
    let told = adders().tell("every 500ms 1s..3s do add n0 by=2").expect("they can be read");
    let has_faults = |seed| told.script(seed).lines.len() > 1;
    assert!((0..5).all(has_faults));
    assert!(told.without(&gridmux_sim::swarm::FaultKind::ALL).run(3).notes.len() == 5);
}

#[test]
fn operations_that_are_not_known_or_too_late_are_refused() {
    let error = |lines: &str| adders().replay(&script(lines)).map(|_| ()).unwrap_err();
    assert!(matches!(error("at 1s do subtract n0"), ReplayError::Script(error) if error.line == 3));
    assert!(adders().replay(&script("at 8s do add n0")).is_ok());
    assert_eq!(error("at 8.1s do add n0"), ReplayError::Late("at 8.1s do add n0".into()));
    let told = |lines: &str| adders().tell(lines).map(|_| ()).unwrap_err();
    assert!(matches!(told("\nat 1s do more n0"), ReplayError::Script(error) if error.line == 2));
    assert_eq!(told("at 1s crash n0"), ReplayError::Foreign("at 1s crash n0".into()));
}
