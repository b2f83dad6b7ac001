//! Processes of nodes: what they lose and keep, how they start and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridmux_sim::cluster::{NodeContext, Phase, Report, Simulation};

/// Two calm nodes with these lines, healed after 6 s.
fn run<N: Clone + Send + 'static>(simulation: &Simulation<N>, lines: &str) -> Report<N> {
    let text = format!("gridmux-sim 1\nnodes 2\n{lines}\nheal 6s\n");
    simulation.replay(&text).expect("the script can be read")
}

/// What a node counts, in memory and on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    memory: u64,
    disk: u64,
}

#[test]
fn a_crash_takes_memory_and_leaves_the_disk() {
    let simulation = Simulation::new(2, |context: NodeContext<Counted>| async move {
        let disk = context.disk::<u64>();
        for memory in 1.. {
            let disk = disk.write(|disk| {
                *disk += 1;
                *disk
            });
            context.note(Counted { memory, disk });
            context.sleep(Duration::from_secs(1)).await;
            if context.is_stopping() {
                break;
            }
        }
        Ok(())
    });
    let report = run(&simulation.calm(Duration::from_secs(2)), "at 2.8s crash n0 back=100ms");
    assert!(report.is_good(), "{report}");
    let of = |life: u64| {
        let notes = report.notes.iter().filter(move |note| (note.node, note.life) == (0, life));
        notes.map(|note| note.event).collect::<Vec<_>>()
    };
    let (first, second) = (of(0), of(1));
    assert_eq!(first.last(), Some(&Counted { memory: 3, disk: 3 }));
    assert_eq!(second.first(), Some(&Counted { memory: 1, disk: 4 }));
    assert!(report.notes.iter().all(|note| note.node == 0 || note.life == 0));
}

/// Notes and writes when it is dropped.
struct LastWords(NodeContext<&'static str>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.note("last words");
        self.0.disk::<u64>().write(|disk| *disk = 1);
    }
}

#[test]
fn destructors_of_a_process_that_was_killed_leave_no_trace() {
    let simulation = Simulation::new(2, |context: NodeContext<&'static str>| async move {
        let words = LastWords(context.clone());
        context.stopped().await;
        drop(words);
        Ok(())
    })
    .judge("the disk is of the second life", |view| {
        let disks = [0, 1].map(|node| view.disk::<u64>(node).copied());
        (disks == [Some(1); 2]).then_some(()).ok_or_else(|| format!("{disks:?}"))
    });
    let report = run(&simulation, "at 1s crash n0 back=1s");
    assert!(report.is_good(), "{report}");
    let ends: Vec<_> = report.notes.iter().map(|note| (note.node, note.life)).collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends.contains(&(0, 1)) && ends.contains(&(1, 0)), "{ends:?}");
}

#[test]
fn a_change_of_a_disk_may_note_and_use_another_value() {
    let simulation = Simulation::new(2, |context: NodeContext<u64>| async move {
        context.disk::<u64>().write(|number| {
            *number += 7;
            context.disk::<u32>().write(|other| *other += 1);
            context.note(*number + u64::from(context.disk::<u32>().read()));
        });
        context.stopped().await;
        Ok(())
    });
    let report = run(&simulation, "");
    assert!(report.is_good(), "{report}");
    assert_eq!(report.notes.iter().map(|note| note.event).collect::<Vec<_>>(), [8, 8]);
}

#[test]
fn a_change_that_uses_what_it_changes_panics_and_changes_nothing() {
    let reads = |context: &NodeContext<()>| {
        context.disk::<u64>().write(|_| context.disk::<u64>().read());
    };
    let writes = |context: &NodeContext<()>| {
        context.disk::<u64>().write(|_| context.disk::<u64>().write(|number| *number = 3));
    };
    let changes: [fn(&NodeContext<()>); 2] = [reads, writes];
    for change in changes {
        let simulation = Simulation::new(2, move |context: NodeContext<()>| async move {
            context.disk::<u64>().write(|number| *number = 2);
            change(&context);
            Ok(())
        })
        .check("the value is as it was", |view| match view.disk::<u64>(0) {
            Some(3) => Err("it is not".into()),
            _ => Ok(()),
        });
        let report = run(&simulation, "");
        assert_eq!(report.failures[0].check, "a task has panicked");
        let problem = "a change of the disk of n0 uses the `u64` that it changes";
        let other = problem.replace("n0", "n1");
        assert!([problem, &other].contains(&report.failures[0].problem.as_str()), "{report}");
    }
}

#[test]
fn a_node_is_asked_to_end_and_killed_when_its_time_is_up() {
    let simulation = Simulation::new(2, |context: NodeContext<Duration>| async move {
        let grace = context.stopped().await;
        context.note(grace);
        // The second one never ends by itself.
        if context.node() == 1 {
            std::future::pending::<()>().await;
        }
        context.sleep(grace / 2).await;
        Ok(())
    });
    let lines = "at 1s shutdown n0 grace=1s back=1s\nat 1s shutdown n1 grace=1s back=1s";
    let report = run(&simulation, lines);
    assert!(report.is_good(), "{report}");
    let at = |text: &str| {
        let found = report.incidents.iter().find(|incident| incident.text == text);
        found.map(|incident| incident.at.as_millis())
    };
    assert_eq!(at("n0 ends, life 0"), Some(1500));
    assert_eq!(at("n0 starts, life 1"), Some(2500));
    assert_eq!(at("n1 ends, life 0"), Some(2000));
    assert_eq!(at("n1 starts, life 1"), Some(3000));
    assert_eq!(report.notes.len(), 4, "both were asked twice");
}

#[test]
fn a_process_ends_with_its_main_function_tasks_and_all() {
    let ticks = Arc::new(AtomicU64::new(0));
    let counted = ticks.clone();
    let simulation = Simulation::new(2, move |context: NodeContext| {
        let ticks = ticks.clone();
        async move {
            let inner = context.clone();
            context.spawn(async move {
                loop {
                    inner.sleep(Duration::from_secs(1)).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            });
            context.sleep(Duration::from_millis(1500)).await;
            Ok(())
        }
    });
    let report = run(&simulation.calm(Duration::from_secs(5)), "");
    assert!(report.is_good(), "{report}");
    // Two nodes, before the healing and once more after it.
    assert_eq!(counted.load(Ordering::Relaxed), 4);
}

#[test]
fn an_error_and_a_panic_of_a_node_are_failures() {
    let fails = Simulation::new(2, |context: NodeContext| async move {
        context.sleep(Duration::from_secs(1)).await;
        Err(format!("n{} has had enough", context.node()).into())
    });
    let report = run(&fails, "");
    assert_eq!(report.failures[0].check, "a node has failed");
    assert!(report.failures[0].problem.contains("has had enough"), "{report}");

    let panics = Simulation::new(2, |context: NodeContext| async move {
        context.spawn(async { panic!("on purpose") });
        context.stopped().await;
        Ok(())
    });
    let report = run(&panics, "");
    assert_eq!(report.failures[0].check, "a task has panicked");
    assert_eq!(report.failures[0].problem, "on purpose");
}

#[test]
fn phases_come_in_order_and_all_nodes_run_in_the_calm() {
    let simulation = Simulation::new(3, |context: NodeContext<()>| async move {
        let grid = context.builder().bind(context.address()).await?;
        context.stopped().await;
        grid.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
    .check("phases are what they say", |view| {
        let running = (0..view.nodes()).filter(|node| view.is_running(*node)).count();
        match view.phase() {
            Phase::Calm if running < view.nodes() => Err(format!("{running} run in the calm")),
            Phase::Over if running > 0 => Err(format!("{running} run when all is over")),
            _ => Ok(()),
        }
    });
    let report = run(&simulation, "at 1s crash n0 silent\nat 2s crash n1 reset");
    assert!(report.is_good(), "{report}");
    let lives = report.incidents.iter().filter(|incident| incident.text.contains("starts")).count();
    assert_eq!(lives, 4, "two, and two again after the healing");
}

#[test]
fn simulated_times_of_nodes_whose_clocks_differ_can_be_compared() {
    let simulation = Simulation::new(2, |context: NodeContext<(Duration, Duration)>| async move {
        let at = context.now().after(Duration::from_secs(2));
        let foreseen = context.simulated(at);
        context.sleep(Duration::from_secs(2)).await;
        context.note((foreseen, context.simulated_now()));
        context.stopped().await;
        Ok(())
    });
    let report = run(&simulation, "set drift=100000 origin=3600s");
    assert_eq!(report.notes.len(), 2, "{report}");
    for note in &report.notes {
        let (foreseen, came) = note.event;
        assert_eq!(foreseen, came);
    }
}
