//! Reading a script.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use gridmux_core::limits::Limits;
use gridmux_core::wire::Op;

use super::check::{self, Part};
use super::deed::{deed, deed_on};
use super::fault::{Moment, Point, Times};
use super::line::{Conduct, Deed, Line, NodeKind, Script};
use super::trial::Trial;
use super::words::{NODES, SPAN, TIME, Table, U32, U64, Words, YES};
use crate::world::Knobs;

/// The first words of a script, and the version of the format.
pub(super) const HEAD: &str = "gridmux-sim 1";

pub(super) const CONDUCTS: &Table<Conduct> =
    &[("rules", Conduct::Rules), ("handshakes", Conduct::Handshakes), ("merges", Conduct::Merges)];

pub(super) const TRIALS: &Table<Trial> = &[
    ("own-twice", Trial::OwnTwice),
    ("slash", Trial::Slash),
    ("capitals", Trial::Capitals),
    ("unknown-peer", Trial::UnknownPeer),
    ("own-handle", Trial::OwnHandle),
    ("own-peer", Trial::OwnPeer),
    ("same-peer", Trial::SamePeer),
    ("no-auth", Trial::NoAuth),
    ("short-secret", Trial::ShortSecret),
    ("short-life", Trial::ShortLife),
    ("split-token", Trial::SplitToken),
    ("same-route", Trial::SameRoute),
    ("http-route", Trial::HttpRoute),
    ("limit", Trial::Limit),
    ("elsewhere", Trial::Elsewhere),
];

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ScriptError {}

/// The lines of the format are in the documentation of the module.
///
/// # Errors
///
/// The first line that cannot be read, or that must not be, and why.
impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        read(text, &[])
    }
}

/// The script of a text whose operations may have these names.
pub(crate) fn read(text: &str, operations: &[&'static str]) -> Result<Script, ScriptError> {
    let mut draft = Draft::default();
    let mut last = 0;
    for (index, text) in text.lines().enumerate() {
        last = index + 1;
        let mut words = Words::new(last, text, draft.nodes.len(), operations);
        if !words.is_empty() {
            draft.line(&mut words)?;
            words.end()?;
        }
    }
    draft.finish(last)
}

/// As much of a script as was read.
#[derive(Default)]
struct Draft {
    /// The words that may come only once, and have come.
    seen: BTreeSet<String>,
    /// The numbers of the lines in which parts stand.
    places: BTreeMap<Part, usize>,
    seed: u64,
    nodes: Vec<NodeKind>,
    knobs: Knobs,
    first_generation: u32,
    secure: bool,
    token: bool,
    nested: bool,
    limits: Limits,
    gates: Vec<(usize, u64)>,
    trials: Vec<(usize, Trial)>,
    lines: Vec<Line>,
    /// The calls that other lines name, and the numbers of those lines.
    named: Vec<(usize, String)>,
    heal: Option<(u64, Option<Vec<usize>>)>,
}

/// How to read a line, by its first word.
type Reader = fn(&mut Draft, &mut Words<'_>) -> Result<(), ScriptError>;

const STATEMENTS: &Table<Reader> = &[
    ("seed", |draft, words| {
        draft.once("seed".into(), words)?;
        draft.seed = words.next(&U64)?;
        Ok(())
    }),
    ("nodes", Draft::nodes),
    ("node", Draft::node),
    ("set", Draft::set),
    ("generation", |draft, words| {
        draft.once("generation".into(), words)?;
        draft.first_generation = words.next(&U32)?;
        Ok(())
    }),
    ("secure", |draft, words| {
        draft.once("secure".into(), words)?;
        draft.secure = true;
        Ok(())
    }),
    ("token", |draft, words| {
        draft.once("token".into(), words)?;
        draft.token = true;
        Ok(())
    }),
    ("nested", |draft, words| {
        draft.once("nested".into(), words)?;
        draft.nested = true;
        Ok(())
    }),
    ("limits", Draft::limits),
    ("gate", |draft, words| {
        let node = words.node()?;
        draft.once(format!("gate n{node}"), words)?;
        draft.places.insert(Part::Gate(node), words.line());
        draft.gates.push((node, words.next(&TIME)?));
        Ok(())
    }),
    ("try", |draft, words| {
        let node = words.node()?;
        draft.trials.push((node, words.choose("a mistake", TRIALS)?));
        Ok(())
    }),
    ("at", |draft, words| {
        let moment = Moment::At(words.next(&TIME)?);
        let deed = deed(words)?;
        draft.add(Line { moment, deed }, words)
    }),
    ("every", |draft, words| {
        let apart = words.next(&TIME)?;
        let (first, last) = words.next(&SPAN)?;
        let times = Times { apart, first, last };
        if apart == 0 || times.count() > Times::MOST {
            let most = Times::MOST;
            return Err(words.wrong(format!("that is more often than {most} times")));
        }
        match deed(words)? {
            deed @ (Deed::Fault(_) | Deed::Do(_)) => {
                draft.add(Line { moment: Moment::Every(times), deed }, words)
            }
            Deed::Call(_) | Deed::Cancel(_) => Err(words.wrong("no call happens more than once")),
        }
    }),
    ("when", |draft, words| {
        let (from, to) = words.way()?;
        let point = point(words, from, to)?;
        let deed = deed_on(words, (from, to))?;
        draft.add(Line { moment: Moment::When(point), deed }, words)
    }),
    ("heal", Draft::heal),
];

impl Draft {
    fn line(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        if !self.has("head") {
            let (format, version) = HEAD.split_once(' ').unwrap_or_default();
            if words.peek() != Some(format) {
                return Err(words.wrong(format!("a script begins with the line `{HEAD}`")));
            }
            words.word(format)?;
            words.choose("a version that this program can read", &[(version, ())])?;
            return self.once("head".into(), words);
        }
        let read = words.choose("the first word of a line", STATEMENTS)?;
        read(self, words)
    }

    fn has(&self, what: &str) -> bool {
        self.seen.contains(what)
    }

    fn once(&mut self, what: String, words: &Words<'_>) -> Result<(), ScriptError> {
        if self.has(&what) {
            return Err(words.wrong(format!("`{what}` was there before")));
        }
        self.seen.insert(what);
        Ok(())
    }

    fn nodes(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        self.once("nodes".into(), words)?;
        let count = words.next(&U64)?;
        check::nodes(count).map_err(|problem| words.wrong(problem))?;
        self.nodes = (0..count).map(|_| NodeKind::Ours).collect();
        Ok(())
    }

    fn node(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        let node = words.node()?;
        self.once(format!("node n{node}"), words)?;
        self.places.insert(Part::Node(node), words.line());
        let kinds = [
            ("ours", Some(NodeKind::Ours)),
            ("loop", Some(NodeKind::Loop)),
            ("go", Some(NodeKind::Go)),
            ("hostile", None),
        ];
        self.nodes[node] = match words.choose("what a node can be", &kinds)? {
            Some(kind) => kind,
            None => NodeKind::Hostile(words.choose("the conduct of a hostile node", CONDUCTS)?),
        };
        Ok(())
    }

    fn set(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        self.once("set".into(), words)?;
        self.places.insert(Part::Set, words.line());
        let calm = Knobs::default();
        self.knobs = Knobs {
            whole: words.field("whole", &YES)?.unwrap_or(calm.whole),
            latency: words.field("latency", &SPAN)?.unwrap_or(calm.latency),
            rate: words.field("rate", &U64)?.unwrap_or(calm.rate),
            buffer: words.field("buffer", &U64)?.unwrap_or(calm.buffer),
            steps: words.field("steps", &YES)?.unwrap_or(calm.steps),
            piece: words.field("piece", &U64)?.unwrap_or(calm.piece),
            slack: words.field("slack", &TIME)?.unwrap_or(calm.slack),
            lazy_per_million: words
                .field("lazy-per-million", &U64)?
                .unwrap_or(calm.lazy_per_million),
            laziness: words.field("laziness", &TIME)?.unwrap_or(calm.laziness),
            spurious_per_million: words
                .field("spurious-per-million", &U64)?
                .unwrap_or(calm.spurious_per_million),
            busy_poll: words.field("busy-poll", &TIME)?.unwrap_or(calm.busy_poll),
            workers: words.field("workers", &YES)?.unwrap_or(calm.workers),
            grain: words.field("grain", &TIME)?.unwrap_or(calm.grain),
            drift: words.field("drift", &U64)?.unwrap_or(calm.drift),
            origin: words.field("origin", &TIME)?.unwrap_or(calm.origin),
            skew: words.field("skew", &TIME)?.unwrap_or(calm.skew),
        };
        Ok(())
    }

    fn limits(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        self.once("limits".into(), words)?;
        let limits = &mut self.limits;
        for (key, limit) in [
            ("message", &mut limits.message),
            ("queued", &mut limits.queued_bytes),
            ("received", &mut limits.received_bytes),
            ("responses", &mut limits.response_bytes),
            ("handlers", &mut limits.handler_bytes),
            ("outgoing", &mut limits.outgoing_muxes),
            ("incoming", &mut limits.incoming_muxes),
            ("unproved", &mut limits.unauthenticated),
        ] {
            if let Some(value) = words.field(key, &U32)? {
                *limit = value as usize;
            }
        }
        limits.validate().map_err(|error| words.wrong(error.to_string()))
    }

    fn heal(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        self.once("heal".into(), words)?;
        self.places.insert(Part::Heal, words.line());
        let at = words.next(&TIME)?;
        let core = words.field("core", &NODES)?;
        core.iter().flatten().try_for_each(|node| words.checked(*node).map(drop))?;
        self.heal = Some((at, core));
        Ok(())
    }

    fn add(&mut self, line: Line, words: &Words<'_>) -> Result<(), ScriptError> {
        match &line.deed {
            Deed::Call(call) => {
                self.once(format!("call {}", call.name), words)?;
                let named = call.again_after.iter().map(|name| (words.line(), name.clone()));
                self.named.extend(named);
            }
            Deed::Cancel(name) => self.named.push((words.line(), name.clone())),
            Deed::Fault(_) | Deed::Do(_) => {}
        }
        self.places.insert(Part::Line(self.lines.len()), words.line());
        self.lines.push(line);
        Ok(())
    }

    /// The script, if nothing is missing; `last` is the number of the last line.
    fn finish(self, last: usize) -> Result<Script, ScriptError> {
        let missing = |problem: String| Err(ScriptError { line: last.max(1), problem });
        if !self.has("head") {
            return missing(format!("a script begins with the line `{HEAD}`"));
        }
        if self.nodes.is_empty() {
            return missing("a line such as `nodes 3` is missing".into());
        }
        if let Some((line, name)) =
            self.named.iter().find(|(_, name)| !self.has(&format!("call {name}")))
        {
            return Err(ScriptError { line: *line, problem: format!("there is no call `{name}`") });
        }
        let calm = Script::new(self.seed, self.nodes.len());
        let (heal, core) = self.heal.unwrap_or((calm.heal, None));
        let script = Script {
            nodes: self.nodes,
            knobs: self.knobs,
            first_generation: self.first_generation,
            secure: self.secure,
            token: self.token,
            nested: self.nested,
            limits: self.limits,
            gates: self.gates,
            trials: self.trials,
            lines: self.lines,
            heal,
            core: core.unwrap_or(calm.core),
            ..calm
        };
        let line = |part| self.places.get(&part).copied().unwrap_or(last);
        check::check(&script)
            .map_err(|(part, problem)| ScriptError { line: line(part), problem })?;
        Ok(script)
    }
}

/// The rest of a point of the protocol, behind its way.
fn point(words: &mut Words<'_>, from: usize, to: usize) -> Result<Point, ScriptError> {
    let named = (1..=17).map(|number| Op::from_u8(number).name());
    let ops: Vec<_> = ["Any", "Head"].into_iter().chain(named).map(|op| (op, op)).collect();
    let op = words.choose("an op", &ops)?.to_owned();
    let nth = words.next(&U64)?;
    if nth == 0 {
        return Err(words.wrong("messages are counted from 1"));
    }
    let byte = match words.peek() {
        Some(word) if word.starts_with("byte=") => {
            words.word(word)?;
            words.value(word, &U64)?
        }
        _ => 0,
    };
    Ok(Point { from, to, op, nth, byte })
}
