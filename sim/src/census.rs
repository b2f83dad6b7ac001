//! Which faults were placed, which fired, and which their victims have felt.

use std::collections::BTreeMap;

/// A fault of a run, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u32);

/// How often something of a kind happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In a script.
    pub placed: u64,
    /// Its time or its point came.
    pub fired: u64,
    /// Its victim has felt it at least once.
    pub felt: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.placed += other.placed;
        self.fired += other.fired;
        self.felt += other.felt;
    }
}

#[derive(Clone, Debug)]
struct Entry {
    row: &'static str,
    fired: bool,
    felt: bool,
}

/// The faults of one run.
#[derive(Clone, Debug, Default)]
pub struct Census {
    faults: Vec<Entry>,
}

impl Census {
    /// A fault of this row of the fault table is in the script.
    pub fn place(&mut self, row: &'static str) -> FaultId {
        self.faults.push(Entry { row, fired: false, felt: false });
        FaultId(u32::try_from(self.faults.len() - 1).unwrap_or(u32::MAX))
    }

    /// It has happened.
    pub fn fired(&mut self, fault: FaultId) {
        if let Some(entry) = self.faults.get_mut(fault.0 as usize) {
            entry.fired = true;
        }
    }

    /// Its victim has felt it.
    pub fn felt(&mut self, fault: FaultId) {
        if let Some(entry) = self.faults.get_mut(fault.0 as usize) {
            entry.fired = true;
            entry.felt = true;
        }
    }

    /// The sums by row.
    pub fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        let mut tallies = BTreeMap::<_, Tally>::new();
        for entry in &self.faults {
            let one = Tally { placed: 1, fired: entry.fired.into(), felt: entry.felt.into() };
            tallies.entry(entry.row).or_default().add(one);
        }
        tallies
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, Tally};

    #[test]
    fn a_fault_counts_once_however_often_it_is_felt() {
        let mut census = Census::default();
        let (one, _) = (census.place("B4"), census.place("B4"));
        census.felt(one);
        census.felt(one);
        assert_eq!(census.tallies()["B4"], Tally { placed: 2, fired: 1, felt: 1 });
    }
}
