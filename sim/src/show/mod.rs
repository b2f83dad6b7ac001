//! Runs for a person's eyes: a picture in a browser, a trace for Perfetto, and a text log.
//!
//! All three are made of one [`Shown`]. A trace does not say which mux a call got; [`Shown`] is
//! read so that the opening messages of each pair of nodes belong to the calls between them in
//! the order in which those were made, as far as times and sizes allow it.
//!
//! ```
//! use gridmux_sim::script::Script;
//! use gridmux_sim::show::{Filter, Shown, html, text};
//! use gridmux_sim::trace::{Event, Happening, Trace};
//! use gridmux_sim::verdict::Outcome;
//!
//! let trace = Trace {
//!     nodes: vec!["http://n0:9000".into()],
//!     events: vec![Event { at: 1_500, what: Happening::Died { node: 0 } }],
//! };
//! let (script, outcome) = (Script::new(7, 1), Outcome::default());
//! let (trace, history) = (&trace, &[]);
//! let shown = Shown { script: &script, played: &script, trace, history, outcome: &outcome };
//! assert_eq!(
//!     text(&shown, &Filter::default()),
//!     "     0.000001500  n0        -     died\n"
//! );
//! assert!(html(&shown).starts_with("<!doctype html>"));
//! ```

mod cause;
mod credit;
mod html;
mod perfetto;
#[cfg(test)]
mod sample;
mod text;
mod view;

pub use self::html::html;
pub use self::perfetto::perfetto;
pub use self::text::{Filter, text};
use self::view::View;

use crate::history::Entry;
use crate::script::Script;
use crate::trace::Trace;
use crate::verdict::{Failure, Outcome};
use crate::world::ConnId;

/// The connection that a failure is about, if it is about one: that of its call, or, if it names no
/// call but is about two nodes, the last one that they had by then.
pub fn connection(
    shown: &Shown<'_>,
    failure: &Failure,
    pair: Option<[usize; 2]>,
) -> Option<ConnId> {
    View::new(shown).concerned(failure, pair)
}

/// A run to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// What was to happen: replayed, it does the same.
    pub script: &'a Script,
    /// What was played: the same, and the calls that were made of themselves, such as probes,
    /// behind it. Calls are numbered in it.
    pub played: &'a Script,
    /// What has happened between the nodes, in order.
    pub trace: &'a Trace,
    /// What the applications have seen, in order.
    pub history: &'a [Entry],
    /// What was wrong with it.
    pub outcome: &'a Outcome,
}
