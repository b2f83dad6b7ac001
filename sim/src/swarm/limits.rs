//! Limits that ordinary traffic reaches: queues that are soon full, and few connections that may
//! be unproved at a time.

use gridmux_core::limits::Limits;

use super::draw::Draw;

/// One seed in so many has such limits.
const TIGHT: u64 = 4;

pub(super) fn draw(draw: Draw) -> Limits {
    let usual = Limits::default();
    if !draw.one_in("tight", TIGHT) {
        return usual;
    }
    Limits {
        queued_bytes: draw.pick("queued", &[300, 1 << 10, 8 << 10, 64 << 10]),
        unauthenticated: draw.pick("unproved", &[3, 8, usual.unauthenticated]),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::limits::Limits;

    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_tight_limits() {
        let is_tight = |limits: &Limits| {
            let usual = Limits::default();
            limits.queued_bytes < usual.queued_bytes && limits.message == usual.message
        };
        let tight = (0..400).filter(|seed| is_tight(&script(*seed, Profile::Quick).limits)).count();
        assert!((40..120).contains(&tight), "{tight}");
    }
}
