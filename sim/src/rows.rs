//! The rows of the fault table: every kind of fault that seeds are to have, by its id.

/// All rows. A batch of seeds in which one of them had no effect has a hole.
///
/// `B` are faults of bytes and connections, `N` of nodes, `C` of clocks, `A` what applications do
/// to themselves, `D` what befalls dials and links, `S` stress.
///
/// N9, a panic of a link's machine, is none of the wire's or the system's faults, as the others are, but a bug
/// of ours on purpose: it must cost that link and nothing else.
pub const ROWS: [&str; 49] = [
    "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13",
    "B14", //
    "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", //
    "C1", "C2", "C3", "C4", "C5", //
    "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", //
    "D1", "D2", "D3", "D4", "D5", "D6", "D7", //
    "S1", "S2",
];

/// Cases of rows that have several, behind the name of their row: each is counted by itself as well as in
/// its row, so that none hides behind another that happens often.
pub const CASES: [&str; 15] = [
    "A8.mistake",
    "A8.lists",
    "A10.wrap",
    "A10.same-ids",
    "A12.crossed",
    "A12.deadline",
    "A12.not-found",
    "B1.cut",
    "B1.coalesced",
    "B1.fragments",
    "C3.awake",
    "C3.late",
    "C3.spurious",
    "C5.edge",
    "C5.refused",
];

/// The row of a case.
pub fn row_of(case: &'static str) -> &'static str {
    case.split_once('.').map_or(case, |(row, _)| row)
}

/// The rows of lines of scripts. The others are about what machines, networks and applications do
/// in every seed: these alone make no seed that something has befallen.
pub const OF_LINES: [&str; 20] = [
    "A7", "B12", "B13", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "C1", "C2", "D3", "D4", "D7",
    "N1", "N2", "N3", "N7", "N9",
];

#[cfg(test)]
mod tests {
    use super::{CASES, OF_LINES, ROWS, row_of};
    use crate::swarm::{Profile, script};

    #[test]
    fn every_case_is_of_a_row_of_the_table() {
        assert!(CASES.iter().all(|case| row_of(case) != *case && ROWS.contains(&row_of(case))));
    }

    #[test]
    fn the_rows_of_lines_are_rows_of_the_table() {
        assert!(OF_LINES.iter().all(|row| ROWS.contains(row)));
    }

    #[test]
    fn every_fault_of_a_seed_is_in_a_row_of_the_table() {
        for seed in 0..50 {
            for line in script(seed, Profile::Full).lines {
                if let crate::script::Deed::Fault(fault) = line.deed {
                    assert!(OF_LINES.contains(&fault.row()), "{fault}: {}", fault.row());
                }
            }
        }
    }
}
