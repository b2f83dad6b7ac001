//! Makes a script that fails shorter, as long as it fails in the same way.
//!
//! It works on the text of scripts, so that every statement and every word can go, those of the
//! network and of the nodes as well as those of calls and faults: first lines, by delta debugging;
//! then nodes; then words that may be left out, and numbers and times that may be rounder or
//! smaller; and over again until nothing more can go. As randomness is keyed by names, a line that
//! goes changes little for the others.

use std::collections::BTreeSet;

use crate::script::{Script, parse_time, show_time};

/// A script that was made shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    /// It. It fails, if the first one did.
    pub script: Script,
    /// How many scripts were judged.
    pub runs: u64,
    /// Whether no single line, node or word more can go; otherwise it was stopped.
    pub finished: bool,
}

/// How many lines the text of a script has.
pub fn lines(script: &Script) -> usize {
    script.to_string().lines().count()
}

/// The shortest script found for which `fails` is still true. It is to be true for `script`, and
/// to say the same of the same script each time. `over`, which is given how many scripts were
/// judged, says when to stop.
///
/// ```
/// use gridmux_sim::minimise::{lines, minimise};
/// use gridmux_sim::swarm::{Profile, script};
///
/// let long = script(7, Profile::Quick);
/// let call = long.calls().next().expect("every seed has calls").name.clone();
/// let short = minimise(&long, |runs| runs >= 20_000, |script| {
///     script.calls().any(|other| other.name == call)
/// });
/// assert!(short.finished);
/// assert_eq!(lines(&short.script), 5, "head, seed, nodes, the call, heal");
/// ```
pub fn minimise(
    script: &Script,
    over: impl Fn(u64) -> bool,
    fails: impl FnMut(&Script) -> bool,
) -> Minimised {
    minimise_read(script, |text| text.parse().ok(), over, fails)
}

/// The same, of scripts that `read` reads.
pub(crate) fn minimise_read(
    script: &Script,
    read: impl Fn(&str) -> Option<Script>,
    over: impl Fn(u64) -> bool,
    fails: impl FnMut(&Script) -> bool,
) -> Minimised {
    let best = Draft::of(script);
    let mut search = Search { read, fails, over, runs: 0, tried: BTreeSet::new(), best };
    loop {
        let before = search.best.clone();
        search.drop_lines();
        search.drop_nodes();
        search.shorten_lines();
        if search.is_over() || search.best == before {
            break;
        }
    }
    let finished = !search.is_over();
    let script = search.parse(&search.best).unwrap_or_else(|| script.clone());
    Minimised { script, runs: search.runs, finished }
}

/// The lines of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draft(Vec<String>);

impl Draft {
    fn of(script: &Script) -> Self {
        Self(script.to_string().lines().map(str::to_owned).collect())
    }

    /// How many nodes there are.
    fn nodes(&self) -> usize {
        let count = self.0.iter().find_map(|line| line.strip_prefix("nodes ")?.parse().ok());
        count.unwrap_or(0)
    }

    /// Without these lines, and without the cancels of calls that are gone with them.
    fn without(&self, gone: std::ops::Range<usize>) -> Self {
        let mut lines = self.0.clone();
        lines.drain(gone);
        let calls: BTreeSet<String> =
            lines.iter().filter_map(|line| word_behind(line, "call")).map(str::to_owned).collect();
        lines.retain(|line| word_behind(line, "cancel").is_none_or(|name| calls.contains(name)));
        Self(lines)
    }

    fn with_line(&self, index: usize, line: String) -> Self {
        let mut lines = self.0.clone();
        lines[index] = line;
        Self(lines)
    }

    /// Without a node and all lines that need it; the nodes behind it have other numbers.
    fn without_node(&self, node: usize) -> Self {
        let nodes = self.nodes();
        let line = |line: &String| match line.strip_prefix("nodes ") {
            Some(_) => Some(format!("nodes {}", nodes.saturating_sub(1))),
            None => line_without_node(line, node),
        };
        let lines: Vec<String> = self.0.iter().filter_map(line).collect();
        Self(lines).without(0..0)
    }
}

/// The word behind this one.
fn word_behind<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    words.find(|other| *other == word)?;
    words.next()
}

/// The line in a script that has one node less, if it makes sense there.
fn line_without_node(line: &str, node: usize) -> Option<String> {
    let words: Option<Vec<String>> =
        line.split(' ').map(|word| word_without_node(word, node)).collect();
    Some(words?.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// A word in such a line: `None` if the line has to go with it, empty if it has to go itself.
fn word_without_node(word: &str, node: usize) -> Option<String> {
    let (key, list) = match word.strip_prefix("core=") {
        Some(list) => ("core=", list),
        None => ("", word),
    };
    let separator = if list.contains('>') { ">" } else { "," };
    let others: Vec<_> = list.split(separator).map(number_of).collect();
    if others.iter().any(Option::is_none) {
        // No nodes.
        return Some(word.to_owned());
    }
    let left: Vec<String> = others
        .iter()
        .flatten()
        .filter(|other| **other != node)
        .map(|other| format!("n{}", if *other > node { other - 1 } else { *other }))
        .collect();
    match (left.len(), key) {
        (0, "core=") => Some(String::new()),
        (0, _) => None,
        (len, _) if len < others.len() && separator == ">" => None,
        _ => Some(format!("{key}{}", left.join(separator))),
    }
}

fn number_of(node: &str) -> Option<usize> {
    node.strip_prefix('n')?.parse().ok()
}

/// The search for the shortest.
struct Search<R, F, O> {
    read: R,
    fails: F,
    over: O,
    runs: u64,
    tried: BTreeSet<u64>,
    best: Draft,
}

impl<R, F, O> Search<R, F, O>
where
    R: Fn(&str) -> Option<Script>,
    F: FnMut(&Script) -> bool,
    O: Fn(u64) -> bool,
{
    fn parse(&self, draft: &Draft) -> Option<Script> {
        (self.read)(&draft.0.join("\n"))
    }

    fn is_over(&self) -> bool {
        (self.over)(self.runs)
    }

    /// Takes a draft if it still fails.
    fn accept(&mut self, draft: Draft) -> bool {
        if self.is_over() || draft == self.best {
            return false;
        }
        let Some(script) = self.parse(&draft) else { return false };
        let text = script.to_string();
        if !self.tried.insert(xxhash_rust::xxh3::xxh3_64(text.as_bytes())) {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&script);
        if fails {
            self.best = draft;
        }
        fails
    }

    /// Halves, quarters and so on, down to single lines.
    fn drop_lines(&mut self) {
        let mut size = self.best.0.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            // The first line is the head.
            let mut from = 1;
            let mut dropped = false;
            while from < self.best.0.len() {
                let gone = from..(from + size).min(self.best.0.len());
                if self.accept(self.best.without(gone)) {
                    dropped = true;
                } else {
                    from += size;
                }
            }
            size = if size == 1 && dropped { 1 } else { size / 2 };
        }
    }

    fn drop_nodes(&mut self) {
        for node in (0..self.best.nodes()).rev() {
            self.accept(self.best.without_node(node));
        }
    }

    fn shorten_lines(&mut self) {
        let mut index = 1;
        while index < self.best.0.len() && !self.is_over() {
            let mut word = self.best.0[index].split(' ').count();
            while word > 1 {
                word -= 1;
                self.shorten_word(index, word);
            }
            index += 1;
        }
    }

    /// Leaves a word out, or makes the number in it smaller until it cannot be.
    fn shorten_word(&mut self, index: usize, word: usize) {
        loop {
            let words: Vec<&str> = self.best.0[index].split(' ').collect();
            let Some(old) = words.get(word).copied() else { return };
            let with = |new: &str| {
                let mut words = words.clone();
                words[word] = new;
                words.retain(|word| !word.is_empty());
                self.best.with_line(index, words.join(" "))
            };
            let gone = with("");
            let drafts: Vec<Draft> = simpler(old).iter().map(|new| with(new)).collect();
            if self.accept(gone) || !drafts.into_iter().any(|draft| self.accept(draft)) {
                return;
            }
        }
    }
}

/// The same word with a rounder or a smaller number, the smallest first.
fn simpler(word: &str) -> Vec<String> {
    let (key, value) = word.split_once('=').unwrap_or(("", word));
    let key = if key.is_empty() { String::new() } else { format!("{key}=") };
    let values: Vec<String> = if let Some((low, _)) = value.split_once("..") {
        vec![low.to_owned()]
    } else if let Ok(number) = value.parse() {
        smaller(number).iter().map(u64::to_string).collect()
    } else if let Some(time) = parse_time(value) {
        smaller(time).into_iter().map(show_time).collect()
    } else {
        Vec::new()
    };
    values.into_iter().map(|value| format!("{key}{value}")).collect()
}

/// Smaller numbers, each below the one given: 0 and 1, the half, and with one, two or three digits
/// that are not 0.
fn smaller(number: u64) -> Vec<u64> {
    let rounded = |number: u64, digits: u32| {
        let spare = number.checked_ilog10().unwrap_or(0).saturating_sub(digits - 1);
        number / 10_u64.pow(spare) * 10_u64.pow(spare)
    };
    let mut smaller = vec![0, 1, rounded(number / 2, 1)];
    smaller.extend([1, 2, 3].map(|digits| rounded(number, digits)));
    smaller.sort_unstable();
    smaller.dedup();
    smaller.retain(|other| *other < number);
    smaller
}

#[cfg(test)]
mod tests {
    use super::{Draft, lines, minimise, simpler, smaller};
    use crate::script::{Deed, Fault, Line, Script};
    use crate::swarm::{Profile, script};

    fn never(_: u64) -> bool {
        false
    }

    fn faults(script: &Script) -> impl Iterator<Item = &Fault> {
        script.lines.iter().filter_map(|line| match &line.deed {
            Deed::Fault(fault) => Some(fault),
            _ => None,
        })
    }

    const LONG: &str = "\
gridmux-sim 1
seed 42
nodes 4
set whole=no latency=200us..5ms piece=40
secure
at 1s call a n0 n1 echo size=512 timeout=2s after=10ms
at 1.2s cancel a
at 1.345678s pause n3 lasts=7.654321s
at 2s reset n0 n1 late=3s
at 2.5s partition n1,n3 lasts=4s one-way
when n3>n2 Request 3 byte=5 flip=0x20
heal 40s core=n0,n2,n3
";

    #[test]
    fn what_the_failure_does_not_need_goes() {
        let long: Script = LONG.parse().unwrap();
        let pauses = |script: &Script| {
            !script.knobs.whole
                && faults(script).any(|fault| match fault {
                    Fault::Pause { lasts, .. } => *lasts >= 3_000_000_000,
                    _ => false,
                })
        };
        let short = minimise(&long, never, pauses);
        assert!(short.finished);
        assert_eq!(
            short.script.to_string(),
            "\
gridmux-sim 1
seed 0
nodes 1
set whole=no
at 0s pause n0 lasts=3s
heal 10s
"
        );
    }

    #[test]
    fn two_lines_that_need_each_other_stay_however_far_they_are_apart() {
        for seed in 0..5 {
            let long = script(seed, Profile::Full);
            let is_fault = |line: &&Line| matches!(line.deed, Deed::Fault(_));
            let faults: Vec<&Line> = long.lines.iter().filter(is_fault).collect();
            if faults.len() < 2 {
                // One narrow way and nothing else.
                continue;
            }
            let (first, last) = (faults[0].clone(), faults[faults.len() - 1].clone());
            let both =
                |script: &Script| script.lines.contains(&first) && script.lines.contains(&last);
            let short = minimise(&long, never, both);
            assert_eq!(short.script.lines, [first.clone(), last.clone()], "seed {seed}");
        }
    }

    #[test]
    fn a_cancel_goes_with_its_call() {
        let long: Script = LONG.parse().unwrap();
        let short = minimise(&long, never, |script| faults(script).count() == 4);
        assert_eq!(short.script.calls().count(), 0);
        assert_eq!(short.script.lines.len(), 4);
    }

    #[test]
    fn what_fails_whatever_it_does_becomes_next_to_nothing() {
        let short = minimise(&script(3, Profile::Quick), never, |_| true);
        assert_eq!(lines(&short.script), 4);
        assert_eq!(short.script.nodes.len(), 1);
    }

    #[test]
    fn a_search_that_is_stopped_has_what_it_has_found_so_far() {
        let long = script(3, Profile::Full);
        let mut runs = 0;
        let short = minimise(
            &long,
            |runs| runs == 10,
            |_| {
                runs += 1;
                false
            },
        );
        assert_eq!((short.runs, runs, short.finished), (10, 10, false));
        assert_eq!(short.script, long);
    }

    #[test]
    fn a_node_that_goes_takes_its_lines_and_the_others_move_up() {
        let draft = Draft::of(&LONG.parse().unwrap());
        assert_eq!(
            draft.without_node(1).0.join("\n"),
            "\
gridmux-sim 1
seed 42
nodes 3
set whole=no latency=200us..5ms piece=40
secure
at 1.345678s pause n2 lasts=7.654321s
at 2.5s partition n2 one-way lasts=4s
when n2>n1 Request 3 byte=5 flip=0x20
heal 40s core=n0,n1,n2"
        );
    }

    #[test]
    fn simpler_words_are_smaller_and_rounder() {
        assert_eq!(smaller(1_234), [0, 1, 600, 1_000, 1_200, 1_230]);
        assert_eq!(smaller(1), [0]);
        assert!(smaller(0).is_empty());
        assert_eq!(simpler("latency=1ms..5ms"), ["latency=1ms"]);
        assert_eq!(simpler("lasts=2s"), ["lasts=0s", "lasts=1ns", "lasts=1s"]);
        assert!(simpler("n0>n1").is_empty());
    }
}
