//! Scripts that have found something once.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use gridmux_sim::run::Options;
use gridmux_sim::script::Script;

/// The scripts of a directory of the corpus, in order of their names.
fn paths(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "sim")).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The comments of a script, and what it is.
fn read(path: &Path) -> (String, Script) {
    let text = fs::read_to_string(path).unwrap();
    let comments: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
    let script = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (comments.join("\n"), script)
}

/// What was found once is not found again.
#[track_caller]
fn passes(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(file);
    let (comments, script) = read(&path);
    assert!(!comments.is_empty(), "{file} does not say what it has found");
    let outcome =
        gridmux_sim::guard::outcome(&script, &Options { invariants: true, ..Options::default() });
    assert!(outcome.is_good(), "{file}: {:#?}", outcome.failures);
}

/// A test for each script, by the name of its file.
macro_rules! scripts {
    ($($test:ident = $file:literal;)+) => {
        $(
            #[test]
            fn $test() {
                passes($file);
            }
        )+

        #[test]
        fn every_script_has_a_test_of_its_name() {
            let files: Vec<_> = paths("corpus").iter().map(|path| name(path) + ".sim").collect();
            assert_eq!(files, [$($file),+]);
            let tests: Vec<_> = files.iter().map(|file| file[..file.len() - 4].replace('-', "_")).collect();
            assert_eq!(tests, [$(stringify!($test)),+]);
        }
    };
}

#[rustfmt::skip]
scripts! {
    acknowledgement_for_mux_0 = "acknowledgement-for-mux-0.sim";
    added_again_while_its_end_is_written = "added-again-while-its-end-is-written.sim";
    answers_of_a_loop_to_a_hostile_peer = "answers-of-a-loop-to-a-hostile-peer.sim";
    answers_to_a_hostile_peer = "answers-to-a-hostile-peer.sim";
    bare_end_before_the_end_of_a_removal = "bare-end-before-the-end-of-a-removal.sim";
    bare_end_before_the_end_of_a_slow_link = "bare-end-before-the-end-of-a-slow-link.sim";
    call_right_behind_the_answer_to_a_connect = "call-right-behind-the-answer-to-a-connect.sim";
    calls_are_no_pauses = "calls-are-no-pauses.sim";
    cancel_among_calls_answered_in_parts = "cancel-among-calls-answered-in-parts.sim";
    clock_of_a_former_process = "clock-of-a-former-process.sim";
    connect_of_a_wrong_time_while_clocks_are_set = "connect-of-a-wrong-time-while-clocks-are-set.sim";
    connect_that_comes_late_between_two_links = "connect-that-comes-late-between-two-links.sim";
    connect_that_comes_late = "connect-that-comes-late.sim";
    damage_on_the_link_of_the_next_machine = "damage-on-the-link-of-the-next-machine.sim";
    deadline_of_a_fast_clock = "deadline-of-a-fast-clock.sim";
    end_behind_bytes_in_parts_of_a_small_limit = "end-behind-bytes-in-parts-of-a-small-limit.sim";
    end_behind_bytes_in_parts = "end-behind-bytes-in-parts.sim";
    end_made_by_a_changed_byte = "end-made-by-a-changed-byte.sim";
    end_that_waits_in_the_queue_of_the_callee = "end-that-waits-in-the-queue-of-the-callee.sim";
    error_made_by_a_changed_byte = "error-made-by-a-changed-byte.sim";
    former_connection_of_a_peer_added_again = "former-connection-of-a-peer-added-again.sim";
    fragments_in_the_memory_of_a_former_message = "fragments-in-the-memory-of-a-former-message.sim";
    generations_of_a_peer_added_again = "generations-of-a-peer-added-again.sim";
    given_up_before_the_credit = "given-up-before-the-credit.sim";
    knock_while_all_is_at_rest = "knock-while-all-is-at-rest.sim";
    knock_with_a_timer_while_all_is_at_rest = "knock-with-a-timer-while-all-is-at-rest.sim";
    large_items_of_a_cancelled_stream = "large-items-of-a-cancelled-stream.sim";
    link_that_the_dialler_has_not_heard_of = "link-that-the-dialler-has-not-heard-of.sim";
    longer_message_in_the_memory_of_a_former_one = "longer-message-in-the-memory-of-a-former-one.sim";
    made_in_the_instant_of_its_link = "made-in-the-instant-of-its-link.sim";
    ping_made_a_disconnect = "ping-made-a-disconnect.sim";
    pong_among_gathered_frames = "pong-among-gathered-frames.sim";
    pongs_ahead_of_a_pong = "pongs-ahead-of-a-pong.sim";
    read_in_several_turns = "read-in-several-turns.sim";
    refusal_made_by_a_changed_byte = "refusal-made-by-a-changed-byte.sim";
    refusal_that_was_changed_on_its_way = "refusal-that-was-changed-on-its-way.sim";
    refused_while_all_comes_to_rest = "refused-while-all-comes-to-rest.sim";
    replaced_processes_after_a_panic = "replaced-processes-after-a-panic.sim";
    room_on_the_next_link = "room-on-the-next-link.sim";
    stopped_when_the_link_came_up = "stopped-when-the-link-came-up.sim";
    surplus_credit_while_more_is_queued = "surplus-credit-while-more-is-queued.sim";
    two_handshakes_in_one_instant = "two-handshakes-in-one-instant.sim";
    waits_for_room_when_the_peer_is_removed = "waits-for-room-when-the-peer-is-removed.sim";
    written_to_an_end_that_is_reset = "written-to-an-end-that-is-reset.sim";
}

#[cfg(feature = "planted")]
mod planted {
    use std::collections::BTreeMap;
    use std::fs;
    use std::ops::ControlFlow;
    use std::panic;
    use std::path::Path;

    use gridmux_core::planted::ALL;
    use gridmux_sim::minimise::lines;
    use gridmux_sim::parallel::{cores, in_order};
    use gridmux_sim::prove::{with_bug, without_bug};
    use gridmux_sim::verdict::Failure;

    const DIR: &str = "corpus/planted";

    #[test]
    fn every_planted_bug_has_a_script() {
        let mut scripts: Vec<_> = super::paths(DIR).iter().map(|path| super::name(path)).collect();
        scripts.sort_unstable();
        let mut bugs: Vec<_> = ALL.iter().map(|planted| planted.name).collect();
        bugs.sort_unstable();
        assert_eq!(scripts, bugs);
    }

    /// A bug is planted for a thread, so that several scripts run side by side.
    #[test]
    fn scripts_of_planted_bugs_fail_with_them_and_pass_without() {
        let paths = super::paths(DIR);
        let count = paths.len() as u64;
        let prove = |number| panic::catch_unwind(|| proves(&paths[number as usize]));
        in_order(0..count, cores(), prove, |number, proved| {
            assert!(proved.is_ok(), "{}", paths[number as usize].display());
            ControlFlow::Continue(())
        });
    }

    fn proves(path: &Path) {
        let (name, (comments, script)) = (super::name(path), super::read(path));
        let planted = ALL.iter().find(|planted| planted.name == name);
        let planted = planted.unwrap_or_else(|| panic!("{name} is no planted bug"));
        assert!(lines(&script) <= 10, "{name} is no short script");
        let (with, strikes) = with_bug(planted, &script);
        assert!(strikes > 0, "{name} is not provoked");
        let told = |failure: &Failure| {
            failure.oracle.to_string() == planted.caught_by
                && comments.contains(&format!("fails {} {}", failure.oracle, failure.rule))
        };
        assert!(with.failures.iter().any(told), "{name}: {:#?}", with.failures);
        let without = without_bug(&script);
        assert!(without.is_good(), "{name}: {:#?}", without.failures);
    }

    #[test]
    fn the_table_says_how_many_seeds_each_planted_bug_took_its_oracle() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR).join("seeds.txt");
        let text = fs::read_to_string(path).unwrap();
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let mut words = line.split_whitespace();
            let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
            let (bug, oracle) = (word(), word());
            assert!(word().parse::<u64>().unwrap() > 0, "{line}");
            (bug, oracle)
        });
        let bugs = ALL.iter().map(|planted| (planted.name, planted.caught_by));
        assert_eq!(rows.collect::<BTreeMap<_, _>>(), bugs.collect::<BTreeMap<_, _>>());
    }
}
