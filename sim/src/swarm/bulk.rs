//! Much to read: a crowd of small calls, a flood of messages for a node that is stopped, or huge
//! messages one behind the other.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Call, Deed, Fault, Line, Moment, Route, Script};

/// One seed in so many has something of the kind.
const RARE: u64 = 10;

/// Bytes that a connection holds then, unless its way is long.
const BUFFER: u64 = 1 << 20;

/// Adds it to a script, of which the network takes as much.
pub(crate) fn add(draw: Draw, script: &mut Script) {
    if !draw.one_in("bulk", RARE) {
        return;
    }
    script.knobs.buffer = script.knobs.buffer.max(BUFFER);
    let (from, to) = draw.pair("pair", script.nodes.len());
    let at = draw.range("at", SECOND, script.heal - 3 * SECOND);
    let line = |at, deed| Line { moment: Moment::At(at), deed };
    let kind = draw.below("kind", 3);
    let (count, apart, low, high) = match kind {
        0 => (250, 0, 8, 40),
        1 => (160, MILLI / 20, 6_000, 12_000),
        _ => (6, MILLI / 20, 100_000, 900_000),
    };
    if kind == 1 {
        let lasts = draw.range("lasts", 100 * MILLI, 2 * SECOND);
        script.lines.push(line(at - MILLI, Deed::Fault(Fault::Pause { node: to, lasts })));
    }
    for n in 0..count {
        let mut call = Call::new(format!("f{n}"), from, to, Route::Echo);
        let size = draw.nth(n).range("size", low, high);
        call.size = u32::try_from(size).ok().map(|size| size.min(super::calls::most(script)));
        script.lines.push(line(at + n * apart, Deed::Call(call)));
    }
}

#[cfg(test)]
mod tests {
    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_much_to_read() {
        let has_bulk = |seed: &u64| {
            let script = script(*seed, Profile::Quick);
            script.calls().any(|call| call.name.starts_with('f'))
        };
        let count = (0..400).filter(has_bulk).count();
        assert!((15..60).contains(&count), "{count}");
    }
}
