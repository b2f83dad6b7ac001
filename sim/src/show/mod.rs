//! Runs for a person's eyes: a picture in a browser, a trace for Perfetto, and a text log.
//!
//! All three are made of one [`Shown`]. A trace does not say which mux a call got; [`Shown`] is
//! read so that the opening messages of each pair of nodes belong to the calls between them in
//! the order in which those were made, as far as times and sizes allow it.

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

use crate::history::Entry;
use crate::script::Script;
use crate::trace::Trace;
use crate::verdict::Outcome;

/// A run to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// What was to happen.
    pub script: &'a Script,
    /// What has happened between the nodes, in order.
    pub trace: &'a Trace,
    /// What the applications have seen, in order.
    pub history: &'a [Entry],
    /// What was wrong with it.
    pub outcome: &'a Outcome,
}
