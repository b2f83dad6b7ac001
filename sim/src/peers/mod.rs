//! The nodes of a run that are not ours: those that do what a Go node does, and those that mean
//! harm.
//!
//! They are tasks on the same simulated machines as ours, and speak with the encoder of the core:
//! what they say is theirs, how it is written is not what they test.

mod complaints;
mod go;
mod here;
mod hostile;
mod line;
mod say;
#[cfg(test)]
mod stand;
mod wide;

use std::sync::Arc;

pub(crate) use self::complaints::Complaints;
use self::go::Go;
pub(crate) use self::here::Here;
use self::hostile::Hostile;
use crate::app::Witness;
use crate::history::CallId;
use crate::keyed::name_key;
use crate::script::{Call, NodeKind};

/// A node that is not ours, and runs.
pub(crate) enum Foreign {
    Go(Go),
    Hostile(Hostile),
}

/// Starts a node of this kind; `None` for one of ours. It accepts connections if it `listens`.
pub(crate) fn start(kind: NodeKind, here: Here, listens: bool) -> Option<Foreign> {
    match kind {
        NodeKind::Ours | NodeKind::Loop => None,
        NodeKind::Go => Some(Foreign::Go(Go::start(here, listens))),
        NodeKind::Hostile(conduct) => {
            Some(Foreign::Hostile(Hostile::start(here, conduct, listens)))
        }
    }
}

impl Foreign {
    /// Makes a call of the script, in its own way.
    pub(crate) fn call(&self, id: CallId, call: Arc<Call>) {
        let here = self.here();
        let witness = Witness::of_caller(&here.stage, &here.runtime, id);
        let key = name_key(&call.name);
        match self {
            Self::Go(go) => {
                let Some(link) = go.link(call.to) else { return };
                here.runtime.spawn_keyed(key, go::perform(link, witness, call));
            }
            Self::Hostile(hostile) => hostile.call(&witness, &call),
        }
    }

    /// Whether it has a link with a node.
    pub(crate) fn is_up(&self, peer: usize) -> bool {
        match self {
            Self::Go(go) => go.link(peer).is_some_and(|link| link.is_up()),
            Self::Hostile(_) => false,
        }
    }

    const fn here(&self) -> &Here {
        match self {
            Self::Go(go) => &go.here,
            Self::Hostile(hostile) => &hostile.here,
        }
    }
}
