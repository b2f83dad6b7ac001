//! Situations that take several things at once, which chance alone seldom brings together.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Call, Deed, Fault, Line, Moment, Route, Script};
use crate::world::{Damage, Death};

/// One seed in so many has such a scene.
const RARE: u64 = 12;

/// Adds one to a script, whose limits and network are as it needs them.
pub(crate) fn add(draw: Draw, script: &mut Script) {
    if !draw.one_in("scene", RARE) {
        return;
    }
    let (from, to) = draw.pair("pair", script.nodes.len());
    let at = draw.range("at", SECOND, script.heal - 4 * SECOND);
    let scene = Scene { draw, from, to, at };
    match draw.below("kind", 3) {
        0 => scene.heap(script),
        1 => scene.full_queue(script),
        _ => scene.late_damage(script),
    }
}

/// What one node says to another, and when.
#[derive(Clone, Copy)]
struct Scene {
    draw: Draw,
    from: usize,
    to: usize,
    at: u64,
}

impl Scene {
    /// Very many small messages leave one by one, and arrive together after a long way.
    fn heap(self, script: &mut Script) {
        script.knobs.latency = (50 * MILLI, 150 * MILLI);
        script.knobs.buffer = script.knobs.buffer.max(256 << 10);
        self.call(script, 250, MILLI / 1_000, (8, 40), 0);
    }

    /// The process that is called dies without a word and is back at once, while more waits for it
    /// than the path holds: the next connection comes when the queue of the old one is full.
    fn full_queue(self, script: &mut Script) {
        script.knobs.buffer = script.knobs.buffer.min(64 << 10);
        script.limits.queued_bytes = script.limits.queued_bytes.min(32 << 10);
        let back = self.draw.spread("back", 10 * MILLI, SECOND);
        let dies = Fault::Crash { node: self.to, how: Death::Silent, back: Some(back) };
        self.fault(script, dies);
        let most = u64::try_from(script.limits.message).unwrap_or(u64::MAX) - 1_024;
        let size = most.min(10_000);
        self.call(script, 16, 0, (size, size), 0);
    }

    /// Much waits for a path that is slow when a byte of the first answer is changed: the
    /// connection ends in order, with a message that it has not begun to write. The others are
    /// answered late, so that nothing comes for an end that is gone.
    fn late_damage(self, script: &mut Script) {
        script.knobs.buffer = 4 << 10;
        script.knobs.latency = (MILLI / 10, 3 * MILLI / 10);
        let slow = Fault::Squeeze { from: self.from, to: self.to, rate: 10_000, lasts: 2 * SECOND };
        self.fault(script, slow);
        let damage = Damage::Flip(1 << self.draw.range("bit", 4, 6));
        self.fault(script, Fault::Damage { from: self.to, to: self.from, damage });
        self.call(script, 12, MILLI, (300, 700), 4 * SECOND);
    }

    fn fault(self, script: &mut Script, fault: Fault) {
        script.lines.push(Line { moment: Moment::At(self.at), deed: Deed::Fault(fault) });
    }

    /// So many plain calls, the first a little later than the scene begins; all others are
    /// answered after some time.
    fn call(
        self,
        script: &mut Script,
        count: u64,
        apart: u64,
        (low, high): (u64, u64),
        after: u64,
    ) {
        for n in 0..count {
            let mut call = Call::new(format!("g{n}"), self.from, self.to, Route::Echo);
            let size = self.draw.nth(n).range("size", low, high);
            call.size = u32::try_from(size).ok();
            call.plan.after = if n > 0 { after } else { 0 };
            let moment = Moment::At(self.at + MILLI + n * apart);
            script.lines.push(Line { moment, deed: Deed::Call(call) });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_a_scene_of_each_kind() {
        let mut counts = [0; 3];
        for seed in 0..600 {
            let script = script(seed, Profile::Quick);
            match script.calls().filter(|call| call.name.starts_with('g')).count() {
                0 => {}
                250 => counts[0] += 1,
                16 => counts[1] += 1,
                12 => counts[2] += 1,
                count => panic!("{seed}: {count} calls"),
            }
        }
        assert!(counts.iter().all(|count| (6..40).contains(count)), "{counts:?}");
    }
}
