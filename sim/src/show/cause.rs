//! What led to a failure, as far as a trace can tell.

use super::view::{MuxKey, View};
use crate::verdict::Failure;

/// How long before a failure that names no call a moment's fault may have been, in nanoseconds.
const LOOK_BACK: u64 = 60_000_000_000;

/// The things that a failure is about, by their places in the [`View`].
#[derive(Default)]
pub(super) struct Chain {
    /// The frames of the call's mux.
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

#[cfg(test)]
mod tests {
    use super::chain;
    use crate::show::sample::Sample;
    use crate::show::view::View;

    #[test]
    fn a_failed_call_leads_to_its_frames_its_connection_and_the_faults_of_its_time() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        let found = chain(&view, &sample.outcome.failures[0]);
        let ops: Vec<_> = found.frames.iter().map(|at| view.frames[*at].messages[0].op).collect();
        let stream = ["AckMux", "MuxClientMsg", "UnblockClMux", "MuxServerMsg", "MuxClientMsg"];
        assert_eq!(ops, [&["ConnectMux"][..], &stream[..]].concat());
        assert_eq!(found.conns, [0]);
        let rows: Vec<_> = found.faults.iter().map(|at| view.faults[*at].row).collect();
        assert_eq!(rows, ["B4", "N1"]);
    }

    #[test]
    fn a_failure_without_a_call_has_all_faults_before_it() {
        let sample = Sample::new();
        let mut failure = sample.outcome.failures[0].clone();
        (failure.call, failure.at) = (None, 30_000_000);
        let view = View::new(&sample.shown());
        let found = chain(&view, &failure);
        let rows: Vec<_> = found.faults.iter().map(|at| view.faults[*at].row).collect();
        assert_eq!(rows, ["N3", "B3"]);
        assert!(found.frames.is_empty() && found.conns.is_empty());
    }
}
