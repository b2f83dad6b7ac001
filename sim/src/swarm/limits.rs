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
        message: draw.pick("message", &[8 << 10, 64 << 10, usual.message]),
        queued_bytes: draw.pick("queued", &[300, 1 << 10, 8 << 10, 64 << 10]),
        received_bytes: draw.pick("received", &[24 << 10, 100 << 10, usual.received_bytes]),
        response_bytes: draw.pick("responses", &[1 << 10, 16 << 10, usual.response_bytes]),
        handler_bytes: draw.pick("handlers", &[8 << 10, 100 << 10, usual.handler_bytes]),
        unauthenticated: draw.pick("unproved", &[3, 8, usual.unauthenticated]),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::limits::Limits;

    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_tight_limits_of_each_kind() {
        let usual = Limits::default();
        let seeds: Vec<_> = (0..400).map(|seed| script(seed, Profile::Quick).limits).collect();
        let tight = |is: &dyn Fn(&Limits) -> bool| seeds.iter().filter(|limits| is(limits)).count();
        assert!((60..160).contains(&tight(&|limits| *limits != usual)));
        assert!(tight(&|limits| limits.message != usual.message) > 20);
        assert!(tight(&|limits| limits.queued_bytes != usual.queued_bytes) > 20);
        assert!(tight(&|limits| limits.received_bytes != usual.received_bytes) > 20);
        assert!(tight(&|limits| limits.response_bytes != usual.response_bytes) > 20);
        assert!(tight(&|limits| limits.handler_bytes != usual.handler_bytes) > 20);
        assert!(tight(&|limits| limits.unauthenticated != usual.unauthenticated) > 20);
    }
}
