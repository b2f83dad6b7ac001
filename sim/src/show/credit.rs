//! What the two sides of a stream may still send (PROTOCOL.md section 5.2), as the trace shows it.

use std::collections::BTreeMap;

use gridmux_core::wire::Flags;

use super::view::{Frame, MuxKey, View};
use crate::history::CallId;
use crate::trace::Brief;

/// The credits of a stream over time.
pub(super) struct Gauge {
    pub(super) call: CallId,
    /// In and out capacity.
    pub(super) capacities: (u32, u32),
    /// When, and what the caller and the callee then have. Below 0 is a violation.
    pub(super) steps: Vec<(u64, i64, i64)>,
}

/// The gauges of all streams whose mux is known, in the order of the calls.
pub(super) fn gauges(view: &View<'_>) -> Vec<Gauge> {
    let mut streams = BTreeMap::new();
    for issued in &view.calls {
        if let (Some(mux), Some(capacities)) = (issued.mux, issued.call.route.capacities()) {
            let out = issued.call.route.served_capacities().map_or(0, |(_, out)| out);
            let capacities = (capacities.0, out);
            streams.insert(mux, Gauge { call: issued.id, capacities, steps: Vec::new() });
        }
    }
    for (at, frame, arrived) in moments(view) {
        for message in frame.messages {
            let Some(mux) = MuxKey::of(frame, message) else { continue };
            let Some(gauge) = streams.get_mut(&mux) else { continue };
            let (_, caller, callee) = gauge.steps.last().copied().unwrap_or_default();
            let (up, down) = change(message, arrived, gauge.capacities);
            if up != 0 || down != 0 {
                gauge.steps.push((at, caller + up, callee + down));
            }
        }
    }
    let mut gauges: Vec<_> = streams.into_values().collect();
    gauges.sort_by_key(|gauge| gauge.call);
    gauges
}

/// Each frame when it is sent, and again when it has arrived, in the order of the times.
fn moments<'a, 'v>(view: &'v View<'a>) -> Vec<(u64, &'v Frame<'a>, bool)> {
    let sent = view.frames.iter().map(|frame| (frame.sent, frame, false));
    let arrived = view.frames.iter().filter_map(|frame| Some((frame.arrived?, frame, true)));
    let mut moments: Vec<_> = sent.chain(arrived).collect();
    // What has arrived in an instant may be answered in the same one.
    moments.sort_by_key(|(at, _, arrived)| (*at, !arrived));
    moments
}

/// What a message changes for the caller and for the callee: items cost when they are sent,
/// credits count when they arrive.
fn change(message: &Brief, arrived: bool, (into, out): (u32, u32)) -> (i64, i64) {
    let is_end = Flags::from_bits_retain(message.flags).contains(Flags::EOF);
    match (message.op, arrived) {
        ("ConnectMux", true) => (0, i64::from(out)),
        ("AckMux", true) => (i64::from(into), 0),
        ("MuxClientMsg", false) if !is_end => (-1, 0),
        ("UnblockClMux", true) => (1, 0),
        ("MuxServerMsg", false) => (0, -1),
        ("UnblockSrvMux", true) => (0, 1),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::gauges;
    use crate::show::sample::Sample;
    use crate::show::view::View;

    #[test]
    fn items_cost_when_they_are_sent_and_credits_count_when_they_arrive() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        let [gauge] = &gauges(&view)[..] else { panic!("one stream") };
        assert_eq!((gauge.call, gauge.capacities), (1, (4, 2)));
        let steps: Vec<_> =
            gauge.steps.iter().map(|(at, up, down)| (at / 1_000_000, *up, *down)).collect();
        let opened = [(23, 0, 2), (26, 4, 2)];
        let items = [(27, 3, 2), (27, 2, 2), (34, 3, 2), (35, 3, 1), (39, 2, 1)];
        assert_eq!(steps, [&opened[..], &items[..]].concat());
    }
}
