//! What is shown while the cluster runs, and the line at the end.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::homes::Kind;
use crate::node::View;
use crate::outcome::Counts;

/// The result, printed as one JSON object.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) nodes: usize,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    pub(crate) reconnects: u64,
    pub(crate) kills: u64,
}

impl Summary {
    pub(crate) const fn is_good(&self) -> bool {
        self.counts.wrong == 0 && self.counts.stuck == 0
    }
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Draining,
    Down,
    /// For good, in good order.
    Ended,
}

/// One node through all its lives.
#[derive(Clone, Debug)]
pub(crate) struct Lives {
    pub(crate) name: String,
    runtime: Kind,
    /// The sums of the lives that are over.
    past: (Counts, u64),
    /// The newest look at the present life.
    present: Option<View>,
    ended: bool,
}

impl Lives {
    pub(crate) const fn new(name: String, runtime: Kind) -> Self {
        let none = Counts::NONE;
        Self { name, runtime, past: (none, 0), present: None, ended: false }
    }

    pub(crate) const fn see(&mut self, view: View) {
        self.present = Some(view);
    }

    /// This life is over, by violence.
    pub(crate) fn die(&mut self) {
        self.past = self.totals();
        self.present = None;
    }

    /// The last life is over, in good order.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// Calls and reconnects of all lives.
    pub(crate) fn totals(&self) -> (Counts, u64) {
        let (mut counts, mut reconnects) = self.past;
        if let Some(view) = &self.present {
            counts += view.counts;
            reconnects += view.reconnects;
        }
        (counts, reconnects)
    }

    fn state(&self) -> State {
        match self.present {
            _ if self.ended => State::Ended,
            None => State::Down,
            Some(view) if view.stopping => State::Draining,
            Some(_) => State::Up,
        }
    }
}

/// A line for each node, in place on a terminal, below each other elsewhere.
#[derive(Debug)]
pub(crate) struct Display {
    in_place: bool,
    shown_at: Instant,
    /// How many lines above the cursor are ours to write over.
    above: usize,
    /// Calls of each node when they were last shown.
    calls: Vec<u64>,
}

impl Display {
    pub(crate) fn new() -> Self {
        let in_place = std::io::stdout().is_terminal();
        Self { in_place, shown_at: Instant::now(), above: 0, calls: Vec::new() }
    }

    /// Says something to people; the nodes' lines go on below.
    pub(crate) fn note(&mut self, text: &str) {
        self.above = 0;
        eprintln!("{text}");
    }

    /// Shows the nodes if it is time.
    pub(crate) fn refresh(&mut self, nodes: &[Lives], every: Duration) {
        let since = self.shown_at.elapsed();
        if since < every {
            return;
        }
        self.shown_at = Instant::now();
        let calls: Vec<_> = nodes.iter().map(|node| node.totals().0.calls).collect();
        let mut text = String::new();
        if self.in_place && self.above > 0 {
            text.push_str(&format!("\x1b[{}A", self.above));
        }
        for (index, node) in nodes.iter().enumerate() {
            let before = self.calls.get(index).copied().unwrap_or_default();
            let rate = calls[index].saturating_sub(before) as f64 / since.as_secs_f64();
            if self.in_place {
                text.push_str("\x1b[2K");
            }
            text.push_str(&line(node, rate));
            text.push('\n');
        }
        self.above = nodes.len();
        self.calls = calls;
        // Nobody may be looking.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

fn line(node: &Lives, rate: f64) -> String {
    let state = match node.state() {
        State::Up => "up",
        State::Draining => "draining",
        State::Down => "down",
        State::Ended => "ended",
    };
    let view = node.present.unwrap_or_default();
    let round_trip = view
        .round_trip_nanos
        .map_or_else(|| "-".to_owned(), |nanos| format!("{:.2} ms", nanos as f64 / 1e6));
    let (name, links, streams, held) = (&node.name, view.links, view.streams, view.held);
    let (up, runtime) = (view.links_up, node.runtime.name());
    format!(
        "{name:<23} {runtime:<9} {state:<8}  links {up}/{links}  rtt {round_trip:>9}  {rate:>7.0} calls/s  \
         streams {streams:>3}  locks {held}"
    )
}
