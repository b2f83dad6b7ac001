//! The history, call by call.

use std::collections::BTreeMap;

use gridmux_core::error::CallError;

use super::evidence::Evidence;
use crate::history::{CallId, Entry, Sight};
use crate::script::Call;

/// Everything that was seen of one call.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    pub(crate) id: CallId,
    pub(crate) call: &'a Call,
    /// What its caller has seen, in order.
    pub(crate) caller: Vec<&'a Entry>,
    /// Its handlers, in the order in which they were first seen.
    pub(crate) servings: Vec<Serving<'a>>,
    /// Whether caller and callee are ours: nodes of other kinds are not judged.
    pub(crate) ours: [bool; 2],
    /// From when on a message between them may have been made another one: a byte of it was changed,
    /// and it had no checksum.
    pub(crate) forged_at: Option<u64>,
}

/// Everything that one handler has seen.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) entries: Vec<&'a Entry>,
}

/// All calls of the script, with what was seen of them.
pub(crate) fn stories(evidence: &Evidence) -> Vec<Story<'_>> {
    let is_ours = |node: usize| evidence.script.nodes.get(node).is_some_and(|kind| kind.is_ours());
    let story = |(id, call): (CallId, _)| {
        let call: &Call = call;
        let ours = [is_ours(call.from), is_ours(call.to)];
        let corrupted = || evidence.corruptions(call.from, call.to).min();
        let forged_at = evidence.script.secure.then(corrupted).flatten();
        Story { id, call, caller: Vec::new(), servings: Vec::new(), ours, forged_at }
    };
    let mut stories: Vec<_> = evidence.script.calls().enumerate().map(story).collect();
    let mut places = BTreeMap::new();
    for entry in &evidence.entries {
        let Some(story) = stories.get_mut(entry.call) else { continue };
        if entry.sight.is_of_caller() {
            story.caller.push(entry);
            continue;
        }
        let key = (entry.call, entry.node, entry.life, entry.serving);
        let place = *places.entry(key).or_insert_with(|| {
            let serving = Serving { node: entry.node, life: entry.life, entries: Vec::new() };
            story.servings.push(serving);
            story.servings.len() - 1
        });
        story.servings[place].entries.push(entry);
    }
    stories
}

fn first<'a>(entries: &[&'a Entry], is: impl Fn(&Sight) -> bool) -> Option<&'a Entry> {
    entries.iter().copied().find(|entry| is(&entry.sight))
}

fn count(entries: &[&Entry], is: impl Fn(&Sight) -> bool) -> usize {
    entries.iter().filter(|entry| is(&entry.sight)).count()
}

impl<'a> Story<'a> {
    pub(crate) fn issued(&self) -> Option<&'a Entry> {
        first(&self.caller, |sight| *sight == Sight::Issued)
    }

    /// The one end that the caller was given, with its result.
    pub(crate) fn ended(&self) -> Option<(&'a Entry, &'a Result<bool, CallError>)> {
        self.caller.iter().copied().find_map(|entry| match &entry.sight {
            Sight::Ended(result) => Some((entry, result)),
            _ => None,
        })
    }

    /// The end, if it is an error.
    pub(crate) fn failed(&self) -> Option<(&'a Entry, &'a CallError)> {
        self.ended().and_then(|(entry, result)| Some((entry, result.as_ref().err()?)))
    }

    pub(crate) fn succeeded(&self) -> bool {
        matches!(self.ended(), Some((_, Ok(true))))
    }

    pub(crate) fn dropped(&self) -> Option<&'a Entry> {
        first(&self.caller, |sight| *sight == Sight::Dropped)
    }

    pub(crate) fn taken(&self) -> usize {
        count(&self.caller, |sight| matches!(sight, Sight::Taken(..)))
    }

    pub(crate) fn sent(&self) -> usize {
        count(&self.caller, |sight| matches!(sight, Sight::Sent(_)))
    }

    /// The first handler that has run.
    pub(crate) fn started(&self) -> Option<&'a Entry> {
        self.servings.iter().find_map(Serving::started)
    }

    /// How long the caller gives it, if it has a deadline, by its own clock.
    pub(crate) fn timeout(&self, default: u64) -> Option<u64> {
        let is_single = self.call.route.capacities().is_none();
        self.call.timeout.or(is_single.then_some(default))
    }

    /// A word for it in texts.
    pub(crate) fn label(&self) -> String {
        let Call { name, from, to, route, .. } = self.call;
        format!("call {name} n{from}>n{to} {}", route.word())
    }
}

impl<'a> Serving<'a> {
    pub(crate) fn find(&self, is: impl Fn(&Sight) -> bool) -> Option<&'a Entry> {
        first(&self.entries, is)
    }

    pub(crate) fn started(&self) -> Option<&'a Entry> {
        self.find(|sight| matches!(sight, Sight::Started(_)))
    }

    /// It was told that its call is over, or has itself ended.
    pub(crate) fn told(&self) -> Option<&'a Entry> {
        self.find(|sight| {
            matches!(
                sight,
                Sight::Cancelled(_)
                    | Sight::HandlerDropped
                    | Sight::InputEnded(Err(_))
                    | Sight::Returned(_)
                    | Sight::Panicked
            )
        })
    }

    /// Whether its handler has returned, or was dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.returned().is_some() || self.find(|sight| *sight == Sight::HandlerDropped).is_some()
    }

    /// It has returned or panicked.
    pub(crate) fn returned(&self) -> Option<&'a Entry> {
        self.find(|sight| matches!(sight, Sight::Returned(_) | Sight::Panicked))
    }

    pub(crate) fn returned_in_order(&self) -> Option<&'a Entry> {
        self.find(|sight| *sight == Sight::Returned(true))
    }

    pub(crate) fn outputs(&self) -> usize {
        count(&self.entries, |sight| matches!(sight, Sight::OutputSent(_)))
    }

    pub(crate) fn inputs(&self) -> usize {
        count(&self.entries, |sight| matches!(sight, Sight::InputTaken(..)))
    }
}
