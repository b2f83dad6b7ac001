//! `prove`, in a build that has the bugs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use gridmux_core::planted::{ALL, Planted};
use gridmux_sim::minimise::lines;
use gridmux_sim::parallel::{cores, in_order};
use gridmux_sim::prove::{
    Baseline, Budget, Catch, Ending, Proof, ablation, prove, proves, shorten,
};
use gridmux_sim::swarm::script;
use serde::Serialize;

use super::Args;
use crate::command::exit::{Done, Exit, Trouble};
use crate::command::stopwatch::Stopwatch;
use crate::command::{files, out};

/// How long one script may take to be shortened, in real time.
const SHORTENED_WITHIN: Duration = Duration::from_secs(30);

/// The last line.
#[derive(Serialize)]
struct Summary {
    planted: usize,
    caught: usize,
    by_expected_oracle: usize,
    median_seeds: u64,
    worst_seeds: u64,
    uncaught: Vec<&'static str>,
    unprovoked: Vec<&'static str>,
    by_another_oracle: Vec<&'static str>,
    unfinished: Vec<&'static str>,
    seeds: BTreeMap<&'static str, u64>,
}

pub(super) fn run(args: &Args) -> Done {
    let bugs = bugs(&args.bugs)?;
    let budget = Budget { from: args.from, seeds: args.seeds, profile: args.profile.into() };
    let baseline = Baseline::default();
    let mut proofs = Vec::new();
    let mut written = Ok(());
    let head = ["bug", "expected", "caught", "seeds", "provoked"];
    let [bug, expected, caught, seeds, provoked] = head;
    out::line(format_args!("{bug:<32} {expected:<8} {caught:<8} {seeds:>6} {provoked:>8}"))?;
    let jobs = args.jobs.unwrap_or_else(cores);
    let work = |number| {
        let planted = bugs[usize::try_from(number).unwrap_or(usize::MAX)];
        let watch = Stopwatch::start();
        let over = || watch.elapsed() >= args.lasts;
        let proof = prove(planted, budget, &baseline, args.ablate, over);
        let short = if args.minimise { minimised(args, &proof) } else { Ok(None) };
        (proof, short)
    };
    in_order(0..bugs.len() as u64, jobs, work, |_, (proof, short)| {
        let told = tell(&proof).and_then(|()| match short? {
            Some(text) => out::line(format_args!("    {text}")),
            None => Ok(()),
        });
        proofs.push(proof);
        match told {
            // Nobody wants to know of the others.
            Err(trouble) if trouble.exit == Exit::Unread => {
                written = Err(trouble);
                return ControlFlow::Break(());
            }
            Err(trouble) => written = Err(trouble),
            Ok(()) => {}
        }
        ControlFlow::Continue(())
    });
    written?;
    if args.ablate {
        tell_ablation(&proofs)?;
    }
    let summary = Summary::new(&proofs);
    let text = serde_json::to_string(&summary);
    out::line(text.unwrap_or_else(|error| panic!("numbers and words: {error}")))?;
    if args.write.is_some() && summary.unfinished.is_empty() {
        write_table(args, &proofs, &summary)?;
    }
    Ok(if !summary.uncaught.is_empty() || !summary.by_another_oracle.is_empty() {
        Exit::SelfCheck
    } else if !summary.unfinished.is_empty() {
        Exit::Timeout
    } else {
        Exit::Pass
    })
}

fn bugs(names: &[String]) -> Done<Vec<&'static Planted>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        let found = ALL.iter().find(|planted| planted.name == *name);
        found.ok_or_else(|| Trouble::usage(format!("no planted bug has the name `{name}`")))
    };
    names.iter().map(find).collect()
}

fn tell(proof: &Proof) -> Done<()> {
    let Proof { planted, tried, provoked, caught, .. } = proof;
    let ending = match proof.ending() {
        Ending::Caught => "",
        Ending::ByAnother => " (another oracle)",
        Ending::Missed => "not caught",
        Ending::Unfinished => " (not finished: out of time)",
    };
    let (oracle, seeds, rest) = match caught {
        None => ("-".to_owned(), *tried, ending.trim_start().to_owned()),
        Some(Catch { tried, kind: (oracle, rule), seed, .. }) => {
            (oracle.to_string(), *tried, format!("seed {seed}: {rule}{ending}"))
        }
    };
    let (name, expected) = (planted.name, planted.caught_by);
    let head = format!("{name:<32} {expected:<8} {oracle:<8}");
    out::line(format_args!("{head} {seeds:>6} {provoked:>8}  {rest}"))
}

/// Shortens the script that has caught a bug, and writes it down; how long it is.
fn minimised(args: &Args, proof: &Proof) -> Done<Option<String>> {
    let Some(Catch { seed, kind, .. }) = &proof.caught else { return Ok(None) };
    let planted = proof.planted;
    let long = script(*seed, args.profile.into());
    let watch = Stopwatch::start();
    let short = shorten(planted, *kind, &long, |_| watch.elapsed() >= SHORTENED_WITHIN);
    // Two runs, each with and without the bug.
    if !proves(planted, *kind, &short.script) || !proves(planted, *kind, &short.script) {
        return Ok(Some("no short script fails with the bug and passes without it".into()));
    }
    let path = files::script_path(&args.corpus, planted.name);
    let comments = [
        format!("{} ({}): {}", planted.name, planted.caught_by, planted.about),
        format!("fails {} {}", kind.0, kind.1),
    ];
    files::write_script(&path, &comments, &short.script)?;
    let count = lines(&short.script);
    Ok(Some(format!("{count} lines after {} runs: {}", short.runs, path.display())))
}

fn tell_ablation(proofs: &[Proof]) -> Done<()> {
    out::line("\nwithout this oracle, these bugs would slip:")?;
    for (oracle, bugs) in ablation(proofs) {
        out::line(format_args!("{:<4} {}", oracle.to_string(), bugs.join(", ")))?;
    }
    out::line("")
}

/// Writes down how many seeds it took to catch each bug.
fn write_table(args: &Args, proofs: &[Proof], summary: &Summary) -> Done<()> {
    let Some(path) = &args.write else { return Ok(()) };
    let mut text = format!(
        "# Planted bug, the oracle that caught it, seeds that took: gridmux-sim prove --write\n\
         # {} bugs, median {}, worst {}\n",
        summary.planted, summary.median_seeds, summary.worst_seeds
    );
    for proof in proofs {
        let Some(Catch { tried, kind: (oracle, _), .. }) = &proof.caught else { continue };
        text += &format!("{:<32} {oracle:<4} {tried:>5}\n", proof.planted.name);
    }
    files::write(path, &text)
}

impl Summary {
    fn new(proofs: &[Proof]) -> Self {
        let names = |is: &dyn Fn(&Proof) -> bool| -> Vec<_> {
            proofs.iter().filter(|proof| is(proof)).map(|proof| proof.planted.name).collect()
        };
        let ended = |ending| names(&|proof| proof.ending() == ending);
        let tried =
            |proof: &Proof| proof.caught.as_ref().map(|catch| (proof.planted.name, catch.tried));
        let seeds: BTreeMap<_, _> = proofs.iter().filter_map(tried).collect();
        let mut sorted: Vec<u64> = seeds.values().copied().collect();
        sorted.sort_unstable();
        Self {
            planted: proofs.len(),
            caught: sorted.len(),
            by_expected_oracle: ended(Ending::Caught).len(),
            median_seeds: sorted.get(sorted.len() / 2).copied().unwrap_or(0),
            worst_seeds: sorted.last().copied().unwrap_or(0),
            uncaught: ended(Ending::Missed),
            unprovoked: names(&|proof| proof.provoked == 0),
            by_another_oracle: ended(Ending::ByAnother),
            unfinished: ended(Ending::Unfinished),
            seeds,
        }
    }
}
