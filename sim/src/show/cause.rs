//! What led to a failure, as far as a trace can tell.

use super::view::{MuxKey, View};
use crate::verdict::Failure;

/// How long before a failure that names no call a moment's fault may have been, in nanoseconds.
const LOOK_BACK: u64 = 60_000_000_000;

/// The things that a failure is about, by their places in the [`View`].
#[derive(Default)]
pub(super) struct Chain {
    /// The frames of the call's mux, and the last that its connection lost.
    pub(super) frames: Vec<usize>,
    /// The connection.
    pub(super) conns: Vec<usize>,
    /// The faults on the two nodes in the time of the call.
    pub(super) faults: Vec<usize>,
}

/// What led to it. A failure that names no call has the faults before it.
pub(super) fn chain(view: &View<'_>, failure: &Failure) -> Chain {
    let issued = view.calls.iter().find(|issued| Some(issued.id) == failure.call);
    let since = issued.map_or(failure.at.saturating_sub(LOOK_BACK), |issued| issued.since);
    let pair = issued.map(|issued| [issued.call.from, issued.call.to]);
    let concerns =
        |nodes: &[usize]| pair.is_none_or(|pair| nodes.iter().any(|node| pair.contains(node)));
    let faults = view.faults.iter().enumerate().filter(|(_, fault)| {
        fault.at <= failure.at
            && fault.at.saturating_add(fault.lasts) >= since
            && concerns(fault.nodes)
    });
    let mut chain = Chain { faults: faults.map(|(index, _)| index).collect(), ..Chain::default() };
    let Some(mux) = issued.and_then(|issued| issued.mux) else { return chain };
    let conns = view.conns.iter().enumerate().filter(|(_, conn)| conn.id == mux.conn);
    chain.conns = conns.map(|(index, _)| index).collect();
    let frames = view.frames.iter().enumerate().filter(|(_, frame)| {
        frame.sent <= failure.at
            && frame.messages.iter().any(|message| MuxKey::of(frame, message) == Some(mux))
    });
    chain.frames = frames.map(|(index, _)| index).collect();
    chain
}
