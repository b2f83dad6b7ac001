//! The fuzz targets of `core/fuzz`, run on their corpora.
//!
//! The files `seed-*` of a corpus are made from the recorded traffic in `tests/vectors`, by
//! `GRIDMUX_WRITE_SEEDS=1 cargo test -p gridmux-core --test fuzz`; the others were found by a fuzzer.
#![allow(clippy::unwrap_used, reason = "a panic in a helper is a failed test")]

#[path = "../support/vectors.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its share of this module")]
mod vectors;

mod seeds;
#[allow(unreachable_pub, reason = "core/fuzz uses it too")]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use self::targets::TARGETS;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The files of a corpus, by name.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = corpus(target);
    let listed = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = listed
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn run(target: &str) {
    let (_, body) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let files = files(target);
    assert!(files.len() >= 10, "{target}: the corpus is not there");
    for (name, input) in files {
        // The test fails by the panic below; without the name nobody would know of what.
        if let Err(panic) = std::panic::catch_unwind(|| body(&input)) {
            eprintln!("{target}: the input is {}", corpus(target).join(name).display());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn messages_of_the_corpus_survive_being_written_again() {
    run("wire");
}

#[test]
fn streams_of_the_corpus_give_the_same_messages_in_any_pieces() {
    run("websocket");
}

#[test]
fn strangers_of_the_corpus_get_the_same_answer_in_any_pieces() {
    run("acceptor");
}

#[test]
fn typed_payloads_of_the_corpus_survive_being_written_again() {
    run("payload");
}

#[test]
fn peers_of_the_corpus_come_to_rest_within_their_limits() {
    run("peers");
}

#[test]
fn the_seeds_are_those_that_the_recordings_make() {
    let write = std::env::var_os("GRIDMUX_WRITE_SEEDS").is_some();
    for (target, _) in TARGETS {
        let made = seeds::seeds(target);
        if write {
            let dir = corpus(target);
            fs::create_dir_all(&dir).unwrap();
            for (name, _) in files(target).iter().filter(|(name, _)| name.starts_with("seed-")) {
                fs::remove_file(dir.join(name)).unwrap();
            }
            made.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
        }
        let mut there = files(target);
        there.retain(|(name, _)| name.starts_with("seed-"));
        let names = |all: &[(String, Vec<u8>)]| {
            all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&there), names(&made), "{target}");
        assert!(there == made, "{target}: a seed has other bytes");
    }
}
