//! The binaries of this crate, run short: what they print is whole.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;

use serde_json::{Map, Value};

/// Runs a binary; the JSON object that its last line is.
fn last_line(binary: &str, args: &[&str]) -> Map<String, Value> {
    let output = Command::new(binary).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let output = String::from_utf8(output.stdout).unwrap();
    let last = output.lines().last().unwrap_or_else(|| panic!("nothing was printed: {errors}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[test]
fn allocations_says_all_that_it_counts() {
    let binary = env!("CARGO_BIN_EXE_allocations");
    let found = last_line(
        binary,
        &["--streams", "200", "--payloads", "640", "--calls", "640", "--seconds", "1"],
    );
    let value = |key: &str| match found.get(key).and_then(Value::as_f64) {
        Some(value) if value.is_finite() => value,
        value => panic!("{key}: {value:?}"),
    };
    for key in [
        "allocations-mux-loop-two-way-64",
        "allocations-websocket-loop-server-stream-64",
        "allocations-websocket-loop-client-stream-64",
        "idle-link-kib",
        "idle-streams-caller-mib",
        "idle-streams-callee-mib",
        "idle-stream-tokio-bytes",
        "kept-payloads-1-mib",
        "kept-payloads-64-mib",
    ] {
        assert!(value(key) > 0.0, "{key}");
    }
    // Copies of payloads share memory that is used again, and so do the tasks of handlers.
    for key in [
        "allocations-mux-loop-unary-1",
        "allocations-mux-loop-unary-64",
        "allocations-websocket-loop-unary-1",
        "allocations-websocket-loop-unary-64",
        "allocations-tokio-tasks-unary-1",
        "allocations-tokio-tasks-unary-64",
        "allocations-tokio-inline-unary-1",
        "allocations-tokio-inline-unary-64",
    ] {
        // What is counted is the difference of a long run and a short one.
        assert!(value(key).abs() < 0.5, "{key}: {}", value(key));
    }
}

#[test]
fn the_mux_loop_runs_every_case() {
    let binary = env!("CARGO_BIN_EXE_mux-loop");
    let ceilings =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"));
    let ceilings = ceilings.unwrap();
    let cases = ceilings.lines().filter(|line| !line.starts_with('#'));
    let cases: Vec<_> = cases.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let status = Command::new(binary).args([case, "64", "--open", "10"]).status().unwrap();
        assert!(status.success(), "{case}");
    }
}

#[cfg(feature = "peers")]
mod side_by_side {
    use super::*;

    const BINARY: &str = env!("CARGO_BIN_EXE_side-by-side");
    const WITH_STREAMS: [&str; 6] = ["ours", "raw", "raw-tasks", "tonic", "yamux", "smol"];
    const ALL: [&str; 8] =
        ["ours", "ours-inline", "raw", "raw-tasks", "tonic", "tarpc", "yamux", "smol"];

    #[test]
    fn a_short_run_has_a_figure_for_each_system_in_each_respect() {
        let pictures = std::env::temp_dir().join(format!("gridmux-svg-{}", std::process::id()));
        let directory = pictures.to_str().unwrap();
        let short = ["--rounds", "1", "--seconds-per-round", "0.05", "--svg", directory];
        let found = last_line(BINARY, &short);
        let complete = |key: &str, systems: &[&str]| {
            let figures = found.get(key).and_then(Value::as_object);
            let figures = figures.unwrap_or_else(|| panic!("{key} is missing"));
            assert!(figures.values().all(|figure| figure.as_f64().unwrap() >= 0.0), "{key}");
            assert!(systems.iter().all(|system| figures.contains_key(*system)), "{key}");
            assert_eq!(figures.len(), systems.len(), "{key}");
        };
        for callers in [1, 16, 64, 256] {
            for key in ["unary", "p50-unary", "p99-unary"] {
                complete(&format!("{key}-{callers}"), &ALL);
            }
        }
        for key in ["server-stream-2", "server-stream-64", "client-stream-64", "two-way-64"] {
            complete(key, &WITH_STREAMS);
        }
        for key in ["large-1", "large-4", "large-4-alone", "large-4-beside-small"] {
            complete(key, &ALL);
        }
        complete("p50-small-alone", &ALL);
        complete("p50-small-beside-large", &ALL);
        for picture in ["unary", "streams", "large", "latency"] {
            let svg = std::fs::read_to_string(pictures.join(picture).with_extension("svg"));
            assert!(svg.unwrap().contains("tonic"), "{picture}");
        }
        std::fs::remove_dir_all(&pictures).unwrap();
    }

    #[test]
    fn one_workload_of_two_systems_is_all_that_is_measured() {
        let only = ["--only", "two-way-64", "--system", "raw", "--system", "ours"];
        let short = ["--rounds", "1", "--seconds-per-round", "0.02"];
        let found = last_line(BINARY, &[only.as_slice(), &short].concat());
        assert!(found.keys().all(|key| ["two-way-64", "cpu-two-way-64"].contains(&key.as_str())));
        let systems: Vec<_> = found["two-way-64"].as_object().unwrap().keys().collect();
        assert_eq!(systems, ["ours", "raw"]);
    }

    #[test]
    fn an_unknown_workload_is_refused() {
        let output = Command::new(BINARY).args(["--only", "unary-2"]).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("unary-256"));
    }
}
