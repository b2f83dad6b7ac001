//! Storms: hundreds of calls in one instant, with limits that they reach.

use gridmux_core::limits::Limits;

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Call, Deed, Line, Moment, NodeKind, Route, Script};

/// One seed in so many has a storm.
const RARE: u64 = 40;

/// Limits that the calls of a storm reach, and the others of a seed do not.
pub(crate) fn limits(draw: Draw) -> Option<Limits> {
    draw.one_in("storm", RARE).then(|| Limits {
        message: draw.pick("message", &[8 << 10, 64 << 10]),
        queued_bytes: draw.pick("queued", &[2 << 10, 64 << 10]),
        outgoing_muxes: draw.pick("outgoing", &[120, 400, 131_072]),
        incoming_muxes: draw.pick("incoming", &[100, 200, 131_072]),
        ..Limits::default()
    })
}

/// The calls of the storm, from one node of ours to another node.
pub(crate) fn draw(draw: Draw, script: &Script) -> Vec<Line> {
    let (from, to) = draw.pair("pair", script.nodes.len());
    if script.nodes[from] != NodeKind::Ours {
        return Vec::new();
    }
    let at = draw.range("at", SECOND, script.heal - SECOND / 2);
    let drop_after = draw.pick("drop after", &[None, Some(1), Some(1_000), Some(5 * MILLI)]);
    let mut lines = Vec::new();
    for n in 0..draw.range("calls", 300, 1_000) {
        let own = draw.nth(n);
        let mut call = Call::new(format!("s{n}"), from, to, Route::Echo);
        let too_large = u32::try_from(script.limits.message).unwrap_or(u32::MAX);
        let size = if own.one_in("too large", 50) { too_large } else { 8 };
        call.size = Some(size);
        if let Some(wait) = drop_after {
            let deed = Deed::Cancel(call.name.clone());
            lines.push(Line { moment: Moment::At(at + wait), deed });
        }
        lines.push(Line { moment: Moment::At(at), deed: Deed::Call(call) });
    }
    lines
}

#[cfg(test)]
mod tests {
    use gridmux_core::limits::Limits;

    use crate::swarm::{Profile, script};

    #[test]
    fn few_seeds_have_a_storm_and_those_have_limits() {
        let mut storms = 0;
        for seed in 0..400 {
            let script = script(seed, Profile::Quick);
            let calls = script.calls().filter(|call| call.name.starts_with('s')).count();
            assert!(calls == 0 || (300..=1_000).contains(&calls), "{seed}: {calls}");
            assert!(calls == 0 || script.limits != Limits::default(), "{seed}");
            storms += usize::from(calls > 0);
        }
        assert!((3..25).contains(&storms), "{storms}");
    }
}
