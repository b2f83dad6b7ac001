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
        (&["replay", "no-such-file.sim"], "no-such-file.sim"),
        (&["replay", &bad], "line 3"),
        (&["show", "1", "--call", "nobody"], "nobody"),
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
fn a_seed_that_takes_too_long_is_8() {
    let args = ["many", "--seeds", "1000000", "--stop-after", "1000000", "--seed-timeout", "0s"];
    let ended = sim(&args);
    assert_eq!(ended.code, 8, "{}", ended.stderr);
    assert!(ended.stderr.contains("has run for more than 0 s"), "{}", ended.stderr);
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
        assert_eq!(sim(&["replay", &script]).code, 0);
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
    }
}
