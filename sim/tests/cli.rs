//! What the program prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gridmux_sim::rows::ROWS;
use serde_json::Value;

/// What a call of the program came to.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// The last line, which is one JSON object.
    fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{last}"));
        assert!(value.is_object(), "{last}");
        value
    }
}

fn sim(args: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_gridmux-sim")).args(args).output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory of this test alone.
fn dir(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn file(test: &str, name: &str, text: &str) -> String {
    let path = dir(test).join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const CALM: &str = "\
gridmux-sim 1
seed 1
nodes 2
at 3s call a n0 n1 echo
heal 5s
";

/// The greatest number that a seed can be asked for by.
const LAST: &str = "18446744073709551615";

const COMMANDS: [&str; 12] = [
    "run", "many", "replay", "min", "show", "diff", "cover", "bench", "prove", "canary", "golden",
    "digest",
];

#[test]
fn every_command_is_documented() {
    let help = sim(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Exit codes:") && help.stdout.contains("64  wrong usage"));
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}");
        let own = sim(&[command, "--help"]);
        assert_eq!(own.code, 0, "{command}");
        let about = own.stdout.split("Usage:").next().unwrap_or_default();
        assert!(about.lines().count() > 2, "{command}: {about}");
    }
    let commands = help.stdout.lines().filter(|line| line.starts_with("  ") && line.len() > 4);
    assert!(commands.clone().count() > COMMANDS.len());
    assert!(commands.into_iter().all(|line| !line.ends_with('.')), "{}", help.stdout);
}

#[test]
fn wrong_usage_is_64_and_says_what_is_wrong() {
    let bad = file("usage", "bad.sim", "gridmux-sim 1\nnodes 2\nat 1s dance n0\n");
    for (args, text) in [
        (&[] as &[&str], "Usage"),
        (&["run"], "--seed"),
        (&["dance"], "dance"),
        (&["run", "--seed", "1", "--set", "colour=red"], "colour"),
        (&["many", "--for", "5 apples"], "10m"),
        (&["many", "--from", LAST, "--seeds", "5"], LAST),
        (&["cover", "--from", LAST, "--seeds", "5"], LAST),
        (&["digest", "--from", LAST, "--seeds", "5"], LAST),
        (&["replay", "no-such-file.sim"], "no-such-file.sim"),
        (&["replay", &bad], "line 3"),
        (&["show", "1", "--call", "nobody"], "nobody"),
        (&["min", "1", "--oracle", "foo"], "O25"),
    ] {
        let ended = sim(args);
        assert_eq!(ended.code, 64, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(text), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_script_that_passes_is_0_and_takes_few_lines() {
    let calm = file("passes", "calm.sim", CALM);
    let trace = dir("passes").join("calm.log");
    let ended = sim(&["replay", &calm, "--trace", trace.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.ends_with("verdict  pass\n"), "{}", ended.stdout);
    assert!(ended.stdout.lines().count() <= 20, "{}", ended.stdout);
    assert!(fs::read_to_string(trace).unwrap().contains("Ended(Ok(true))"));
}

/// The line of a report that begins with this word.
fn line<'a>(report: &'a str, word: &str) -> &'a str {
    report.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{word}: {report}"))
}

#[test]
fn a_run_that_is_looked_at_is_judged_by_all_oracles_that_look_into_machines() {
    let calm = file("inspected", "calm.sim", CALM);
    for args in [["replay", &calm], ["run", "--seed=1"]] {
        let judged = sim(&args).stdout;
        for oracle in [" O17 ", " O24 "] {
            assert!(line(&judged, "judged").contains(oracle), "{args:?}: {judged}");
        }
    }
}

#[test]
fn the_script_of_a_seed_that_passes_does_the_same_when_it_is_replayed() {
    let path = dir("script").join("seed-3.sim");
    let path = path.to_str().unwrap();
    let ran = sim(&["run", "--seed", "3", "--script", path]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let replayed = sim(&["replay", path]);
    assert_eq!(line(&ran.stdout, "digest"), line(&replayed.stdout, "digest"));
    let printed = sim(&["run", "--seed", "3", "--script", "-"]);
    let written = fs::read_to_string(path).unwrap();
    assert_eq!(written.split_once('\n').unwrap().1, printed.stdout, "but for the comment");
}

#[test]
fn a_file_that_cannot_be_written_is_74_after_all_is_told() {
    let calm = file("unwritten", "calm.sim", CALM);
    let ended = sim(&["replay", &calm, "--trace", "/dev/full"]);
    assert_eq!(ended.code, 74, "{}", ended.stderr);
    assert!(ended.stdout.ends_with("verdict  pass\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("/dev/full"), "{}", ended.stderr);
}

#[test]
fn a_directory_that_is_not_there_is_refused_before_the_work_and_is_not_made() {
    let calm = file("refused", "calm.sim", CALM);
    let missing = dir("refused").join("missing");
    let (missing, file) = (missing.to_str().unwrap(), missing.join("file"));
    let file = file.to_str().unwrap();
    for args in [
        &["run", "--seed", "1", "--trace", file] as &[&str],
        &["run", "--seed", "1", "--script", file],
        &["run", "--seed", "1", "--dir", missing],
        &["replay", &calm, "--trace", file],
        &["min", &calm, "--out", file],
        &["show", &calm, "--html", file],
        &["show", &calm, "--perfetto", file],
        &["many", "--dir", missing],
        &["canary", "--dir", missing],
    ] {
        let ended = sim(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{missing}: ")), "{args:?}: {}", ended.stderr);
        assert!(!Path::new(missing).exists(), "{args:?}");
    }
    let ended = sim(&["show", &calm, "--html", dir("refused").to_str().unwrap()]);
    assert_eq!(ended.code, 64, "{}", ended.stderr);
    assert!(ended.stderr.contains("it is a directory"), "{}", ended.stderr);
}

/// The exit code of the program, and what it says on stderr, if it writes into this.
#[cfg(unix)]
fn sim_into(args: &[&str], out: impl Into<std::process::Stdio>) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_gridmux-sim");
    let mut command = Command::new(program);
    let child = command.args(args).stdout(out).stderr(std::process::Stdio::piped()).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let calm = file("unread", "calm.sim", CALM);
    let calm = calm.as_str();
    for args in [
        &["--help"] as &[&str],
        &["replay", calm],
        &["show", calm, "--text"],
        &["diff", calm, calm, "--set-b", "whole=no"],
        &["digest", "--seeds", "1"],
        &["cover", "--seeds", "1"],
        &["many", "--seeds", "1", "--dir", dir("unread").to_str().unwrap()],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(sim_into(args, writer), (141, String::new()), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_74_and_says_why() {
    let calm = file("full", "calm.sim", CALM);
    for args in [&["--help"] as &[&str], &["show", &calm], &["digest", "--seeds", "1"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, text) = sim_into(args, full);
        assert_eq!(code, 74, "{args:?}: {text}");
        assert!(text.starts_with("error: stdout: "), "{args:?}: {text}");
    }
}

#[test]
fn a_script_that_passes_cannot_be_shortened() {
    let calm = file("unshortened", "calm.sim", CALM);
    let ended = sim(&["min", &calm]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.contains("does not fail"), "{}", ended.stderr);
}

/// Without figures of speed.
fn timeless(ended: &Ended) -> (String, Value) {
    let mut json = ended.json();
    for key in ["seeds_per_s", "events_per_s", "time_ratio", "slowest_seed", "slowest_seed_s"] {
        assert!(json.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    let lines = ended.stdout.trim_end().rsplit_once('\n').map_or("", |(lines, _)| lines);
    (lines.to_owned(), json)
}

#[test]
fn what_many_prints_does_not_depend_on_the_number_of_threads() {
    let out = dir("jobs");
    let out = out.to_str().unwrap();
    let args = ["many", "--from", "5", "--seeds", "8", "--check", "--stop-after", "100"];
    let many = |jobs| sim(&[&args[..], &["--dir", out, "--jobs", jobs]].concat());
    let (one, three) = (many("1"), many("3"));
    assert_eq!(timeless(&one), timeless(&three));
    assert_eq!(one.code, three.code);
    let json = one.json();
    assert_eq!((json["seeds"].as_u64(), json["checked"].as_u64()), (Some(8), Some(8)));
}

#[test]
fn the_last_line_of_many_has_the_figures_of_the_batch() {
    let out = dir("figures");
    let ended = sim(&["many", "--seeds", "3", "--dir", out.to_str().unwrap()]);
    let json = ended.json();
    for key in ["seeds", "failures", "worst_heal_ns", "heal_bound_violations", "checked"] {
        assert!(json[key].is_u64(), "{key}");
    }
    let [heal, bound] =
        ["worst_heal_ns", "worst_heal_bound_ns"].map(|key| json[key].as_u64().unwrap());
    assert!(0 < heal && heal <= bound, "{heal} {bound}");
    let excuses = json["excuses"].as_object().unwrap();
    assert!(excuses.values().all(|count| count.as_u64() > Some(0)) && !excuses.is_empty());
    for key in ["seeds_per_s", "events_per_s", "time_ratio", "faultless_share", "vacuous_share"] {
        assert!(json[key].is_f64(), "{key}");
    }
    let rows = json["effects_per_1000"].as_object().unwrap();
    assert_eq!(rows.len(), ROWS.len());
    let zero = json["census_zero_rows"].as_array().unwrap();
    for (row, effects) in rows {
        let listed = zero.iter().any(|zero| zero == row);
        assert_eq!(listed, effects.as_f64() == Some(0.0), "{row}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_8() {
    let calm = file("timeout", "calm.sim", CALM);
    let calm = calm.as_str();
    for args in [
        &["many", "--seeds", "10"] as &[&str],
        &["run", "--seed", "1"],
        &["replay", calm],
        &["min", calm],
        &["show", calm],
        &["diff", calm, calm],
    ] {
        let ended = sim(&[args, &["--run-timeout", "0s"]].concat());
        assert_eq!(ended.code, 8, "{args:?}: {}", ended.stderr);
        let text = "has run for more than 0 s";
        assert!(ended.stderr.contains(text), "{args:?}: {}", ended.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_holds_too_much_memory_is_8() {
    let ended = sim(&["many", "--seeds", "100000", "--memory-limit", "0"]);
    assert_eq!(ended.code, 8, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("more than 0 MiB are held; under way: seed "),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_one_seed_alone_covers_is_too_little() {
    let ended = sim(&["cover", "--seeds", "1"]);
    assert_eq!(ended.code, 6, "{}", ended.stdout);
    assert!(ended.stdout.contains("not covered: no effect of"), "{}", ended.stdout);
    assert!(!ended.json()["census_zero_rows"].as_array().unwrap().is_empty());
}

#[test]
fn the_golden_seeds_do_what_they_did() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden.txt");
    let ended = sim(&["golden", "--file", golden.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}\n`golden --write` writes the file anew", ended.stdout);
    // The name at its head is that of what it holds.
    let head = fs::read_to_string(&golden).unwrap();
    let (name, head) = (ended.stdout.lines().next().unwrap(), head.lines().next().unwrap());
    assert_eq!(head, format!("# {}; CHANGELOG.md says why", name.replacen('g', "G", 1)));
    assert!(ended.stdout.contains("64 of 64 seeds do what they did"), "{}", ended.stdout);
}

#[test]
fn the_changelog_says_why_the_golden_seeds_are_what_they_are() {
    let sim = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = fs::read_to_string(sim.join("golden.txt")).unwrap();
    let changelog = fs::read_to_string(sim.join("../CHANGELOG.md")).unwrap();
    let head = golden.lines().next().unwrap();
    let name = head.strip_prefix("# Golden ").and_then(|rest| rest.split(';').next()).unwrap();
    assert!(name.len() == 8 && name.chars().all(|digit| digit.is_ascii_hexdigit()), "{head}");
    assert!(
        changelog.contains(&format!("- Golden {name}: ")),
        "CHANGELOG.md has no line `- Golden {name}: ` that says why golden.txt has changed"
    );
}

#[test]
fn a_golden_seed_that_does_something_else_is_4() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden.txt");
    let text = fs::read_to_string(golden).unwrap();
    let first = text.lines().find(|line| line.starts_with("0 ")).unwrap();
    let other = file("golden", "golden.txt", &format!("{first}\n1 0123456789abcdef 5\n"));
    let ended = sim(&["golden", "--file", &other]);
    assert_eq!(ended.code, 4);
    assert!(ended.stdout.contains("was 1 0123456789abcdef 5"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 of 2 seeds do what they did"), "{}", ended.stdout);
    let none = sim(&["golden", "--file", &file("golden", "none.txt", "# no digest\n")]);
    assert_eq!(none.code, 64);
}

#[test]
fn two_runs_of_one_script_are_the_same_and_the_modes_differ_from_some_event_on() {
    let calm = file("diff", "calm.sim", CALM);
    let same = sim(&["diff", &calm, &calm]);
    assert_eq!(same.code, 0);
    assert!(same.stdout.contains("the runs are the same"), "{}", same.stdout);
    let modes = sim(&["diff", &calm, &calm, "--set-b", "whole=no", "--set-b", "piece=7"]);
    assert_eq!(modes.code, 0);
    for text in ["+ set whole=no piece=7", "- event ", "+ event ", "n1"] {
        assert!(modes.stdout.contains(text), "{text}: {}", modes.stdout);
    }
}

#[test]
fn a_run_is_shown_as_a_page_and_as_a_trace_and_as_text() {
    let calm = file("show", "calm.sim", CALM);
    let (page, trace) = (dir("show").join("calm.html"), dir("show").join("calm.json"));
    let paths = [page.to_str().unwrap(), trace.to_str().unwrap()];
    let ended = sim(&["show", &calm, "--html", paths[0], "--perfetto", paths[1]]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert!(fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
    let trace: Value = serde_json::from_str(&fs::read_to_string(trace).unwrap()).unwrap();
    assert!(!trace["traceEvents"].as_array().unwrap().is_empty());
    let text = sim(&["show", &calm, "--call", "a", "--last", "3"]);
    assert_eq!(text.stdout.lines().count(), 3);
}

#[test]
fn the_canary_is_heard() {
    let out = dir("canary");
    let ended = sim(&["canary", "--dir", out.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(out.join("canary.sim").exists() && out.join("canary.html").exists());
}

#[cfg(not(feature = "planted"))]
#[test]
fn without_planted_bugs_prove_says_how_to_get_them() {
    let ended = sim(&["prove"]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.contains("--features planted"), "{}", ended.stderr);
}

#[cfg(feature = "planted")]
mod planted {
    use std::fs;
    use std::path::Path;

    use super::{dir, file, sim};

    const BUG: &str = "last-items-dropped";

    /// The script of the corpus for the bug.
    fn script() -> String {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/planted");
        corpus.join(format!("{BUG}.sim")).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_bug_is_caught_by_the_oracle_that_it_names() {
        let proved = sim(&["prove", BUG, "--seeds", "50", "--for", "1h"]);
        assert_eq!(proved.code, 0, "{}", proved.stdout);
        let json = proved.json();
        assert_eq!((json["planted"].as_u64(), json["caught"].as_u64()), (Some(1), Some(1)));
        assert_eq!(json["by_expected_oracle"], 1);
    }

    #[test]
    fn a_failure_is_told_with_its_last_events_and_the_commands_for_it() {
        let script = script();
        let failed = sim(&["replay", &script, "--plant", BUG]);
        assert_eq!(failed.code, 2, "{}", failed.stdout);
        for text in ["FAILED    O2", "its last events:", "minimise  ", "replay    "] {
            assert!(failed.stdout.contains(text), "{text}: {}", failed.stdout);
        }
        for text in ["epoch     connection c0", "version   ", "hash      ", "-     handler "] {
            assert!(failed.stdout.contains(text), "{text}: {}", failed.stdout);
        }
        assert_eq!(sim(&["replay", &script]).code, 0);
    }

    #[test]
    fn a_failure_keeps_its_code_and_its_commands_if_its_script_cannot_be_written() {
        let run = |seed: u64| {
            let seed = seed.to_string();
            sim(&["run", "--seed", &seed, "--plant", BUG, "--dir", "/proc"])
        };
        let (seed, failed) =
            (0..50).map(|seed| (seed, run(seed))).find(|(_, ran)| ran.code != 0).unwrap();
        assert_eq!(failed.code, 2, "{}", failed.stderr);
        assert!(failed.stderr.contains("error: /proc/"), "{}", failed.stderr);
        let parts = [format!("-- run --seed {seed}\n"), format!("-- min {seed}\n")];
        for part in parts.iter().map(String::as_str).chain(["not written: ", "version   ", "hash "])
        {
            assert!(failed.stdout.contains(part), "{part}: {}", failed.stdout);
        }
    }

    #[test]
    fn a_bug_that_nothing_catches_is_7() {
        let proved = sim(&["prove", BUG, "--seeds", "0"]);
        assert_eq!(proved.code, 7);
        assert_eq!(proved.json()["uncaught"][0], BUG);
    }

    #[test]
    fn a_failing_script_is_shortened_with_its_bug() {
        let short = fs::read_to_string(script()).unwrap();
        let more = "at 2s pause n0 lasts=1s\nat 3s call more n0 n1 echo\nat 4s cancel more\n";
        let long = file("shortened", "long.sim", &(short.clone() + more));
        let out = dir("shortened").join("short.sim");
        let out = out.to_str().unwrap();
        let args = ["min", &long, "--plant", BUG, "--oracle", "O2", "--out", out, "--for", "1h"];
        let shortened = sim(&args);
        assert_eq!(shortened.code, 0, "{}", shortened.stderr);
        let script = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(script(&shortened.stdout) <= script(&short), "{}", shortened.stdout);
        assert_eq!(sim(&["replay", out, "--plant", BUG]).code, 2);
        let args = ["min", out, "--plant", BUG, "--out", "/dev/full"];
        let unwritten = sim(&args);
        assert_eq!((unwritten.code, unwritten.stdout), (74, shortened.stdout));
    }
}
