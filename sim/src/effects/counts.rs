//! What the world and the network have counted themselves.

use super::Felt;

/// What the simulated machines did to what runs on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorldCounts {
    /// Tasks of applications that were polled late.
    pub lazy: u64,
    /// Timers that fired later than they were due.
    pub late_timers: u64,
    /// Tasks that were woken for nothing.
    pub spurious: u64,
    /// Turns that links' tasks have yielded.
    pub yields: u64,
    /// Events that had another one in their instant, which the seed has put behind.
    pub ties: u64,
    /// Writers that heard of room more than 3 s after they had found none, though bytes left meanwhile.
    pub steps: u64,
}

/// What came of messages on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Arrivals that ended within a message.
    pub cut: u64,
    /// Arrivals with the ends of several messages.
    pub coalesced: u64,
    /// Messages in several WebSocket frames, with control frames between them.
    pub fragmented: u64,
    /// Connects that were refused because the clocks differ.
    pub refused_for_clock: u64,
    /// Connects that were accepted though the clock was off by 290 s or more.
    pub accepted_at_the_edge: u64,
    /// Callers' generations of mux ids that went past the last.
    pub wrapped: u64,
    /// Muxes that were opened under an id which the other side had a live one under.
    pub same_ids: u64,
    /// Pings for a mux whose end was already under way.
    pub crossed_pings: u64,
    /// Pongs that know no such mux.
    pub unknown_pongs: u64,
}

impl WorldCounts {
    pub(super) fn count(&self, felt: &mut Felt) {
        felt.add("N6", self.lazy);
        felt.add_case("C3.late", self.late_timers);
        felt.add_case("C3.spurious", self.spurious);
        felt.add_case("C3.awake", self.yields);
        felt.add("S1", self.ties);
        felt.add("B14", self.steps);
    }
}

impl WireCounts {
    pub(super) fn count(&self, felt: &mut Felt) {
        felt.add_case("B1.cut", self.cut);
        felt.add_case("B1.coalesced", self.coalesced);
        felt.add_case("B1.fragments", self.fragmented);
        felt.add_case("C5.refused", self.refused_for_clock);
        felt.add_case("C5.edge", self.accepted_at_the_edge);
        felt.add_case("A10.wrap", self.wrapped);
        felt.add_case("A10.same-ids", self.same_ids);
        felt.add_case("A12.crossed", self.crossed_pings);
        felt.add_case("A12.not-found", self.unknown_pongs);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Felt;
    use super::{WireCounts, WorldCounts};

    #[test]
    fn nothing_counted_is_nothing_felt() {
        let mut felt = Felt::default();
        WorldCounts::default().count(&mut felt);
        WireCounts::default().count(&mut felt);
        assert_eq!(felt, Felt::default());
    }

    #[test]
    fn every_count_has_its_row() {
        let mut felt = Felt::default();
        WorldCounts { lazy: 1, late_timers: 2, spurious: 3, yields: 6, ties: 4, steps: 7 }
            .count(&mut felt);
        let wire = WireCounts {
            cut: 10,
            coalesced: 20,
            fragmented: 5,
            refused_for_clock: 30,
            accepted_at_the_edge: 40,
            wrapped: 50,
            same_ids: 60,
            crossed_pings: 70,
            unknown_pongs: 80,
        };
        wire.count(&mut felt);
        let felt = |name: &str| felt.0.get(name).copied();
        for (row, count) in [
            ("A10", 110),
            ("A12", 150),
            ("B1", 35),
            ("C3", 11),
            ("C5", 70),
            ("N6", 1),
            ("S1", 4),
            ("B14", 7),
            ("A10.wrap", 50),
            ("A10.same-ids", 60),
            ("A12.crossed", 70),
            ("A12.not-found", 80),
            ("B1.cut", 10),
            ("B1.coalesced", 20),
            ("B1.fragments", 5),
            ("C3.late", 2),
            ("C3.spurious", 3),
            ("C3.awake", 6),
            ("C5.refused", 30),
            ("C5.edge", 40),
        ] {
            assert_eq!(felt(row), Some(count), "{row}");
        }
    }
}
