//! Scripts that have found something once.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use gridmux_sim::run::Options;
use gridmux_sim::script::Script;
use gridmux_sim::verdict::OracleId;

/// The scripts of a directory of the corpus, by name: their comments, and what they are.
fn scripts(dir: &str) -> Vec<(String, String, Script)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "sim")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let comments = text.lines().take_while(|line| line.starts_with('#'));
        let comments: Vec<_> = comments.collect();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let script = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, comments.join("\n"), script)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let scripts = scripts("corpus");
    assert!(!scripts.is_empty());
    let mut ticked = 0;
    for (name, comments, script) in scripts {
        assert!(!comments.is_empty(), "{name} does not say what it has found");
        let options = Options { invariants: true, ..Options::default() };
        let outcome = gridmux_sim::guard::outcome(&script, &options);
        ticked += outcome.judged.get(&OracleId(17)).copied().unwrap_or(0);
        assert!(outcome.is_good(), "{name}: {:#?}", outcome.failures);
    }
    assert!(ticked > 0, "the machines are looked into");
}

#[cfg(feature = "planted")]
#[test]
fn scripts_of_planted_bugs_fail_with_them_and_pass_without() {
    use gridmux_core::planted::ALL;
    use gridmux_sim::prove::{with_bug, without_bug};

    for (name, comments, script) in scripts("corpus/planted") {
        let planted = ALL.iter().find(|planted| planted.name == name);
        let planted = planted.unwrap_or_else(|| panic!("{name} is no planted bug"));
        assert!(gridmux_sim::minimise::lines(&script) <= 10, "{name} is no short script");
        let (with, strikes) = with_bug(planted, &script);
        assert!(strikes > 0, "{name} is not provoked");
        let told = |failure: &gridmux_sim::verdict::Failure| {
            comments.contains(&format!("fails {} {}", failure.oracle, failure.rule))
        };
        assert!(with.failures.iter().any(told), "{name}: {:#?}", with.failures);
        let without = without_bug(&script);
        assert!(without.is_good(), "{name}: {:#?}", without.failures);
    }
}
