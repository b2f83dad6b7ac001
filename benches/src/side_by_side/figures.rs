//! What was measured: samples by what they are of and by whom, and their medians.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Contender;

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests, or items of streams, per second: more is better.
    PerSecond,
    /// Microseconds: less is better.
    Micros,
}

/// One line of the table: what each system reached in one respect.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub key: String,
    /// What it is in.
    pub unit: Unit,
    samples: Vec<(Contender, Vec<f64>)>,
}

impl Row {
    /// The median of what this system reached, if it took part.
    pub fn median(&self, of: Contender) -> Option<f64> {
        let (_, samples) = self.samples.iter().find(|(contender, _)| *contender == of)?;
        median(samples)
    }

    /// The medians of all that took part, in their order.
    pub fn medians(&self) -> impl Iterator<Item = (Contender, f64)> {
        let all = Contender::ALL.into_iter();
        all.filter_map(|contender| Some((contender, self.median(contender)?)))
    }
}

/// The middle of the samples, or the mean of the two in the middle.
fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let high = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        0 => Some(f64::midpoint(sorted[sorted.len() / 2 - 1], high)),
        _ => Some(high),
    }
}

/// All that was measured.
///
/// Displayed, it is a table. Serialised, it is an object of objects: the medians by key and by
/// system, a system that did not take part left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<Row>);

impl Figures {
    /// One more sample.
    pub fn add(&mut self, key: String, unit: Unit, contender: Contender, value: f64) {
        let found = self.0.iter().position(|row| row.key == key);
        let index = found.unwrap_or_else(|| {
            self.0.push(Row { key, unit, samples: Vec::new() });
            self.0.len() - 1
        });
        let samples = &mut self.0[index].samples;
        match samples.iter_mut().find(|(found, _)| *found == contender) {
            Some((_, samples)) => samples.push(value),
            None => samples.push((contender, vec![value])),
        }
    }

    /// The line of this key.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.key == key)
    }

    fn contenders(&self) -> Vec<Contender> {
        let took_part = |contender: &Contender| {
            self.0.iter().any(|row| row.samples.iter().any(|(found, _)| found == contender))
        };
        Contender::ALL.into_iter().filter(took_part).collect()
    }

    fn fmt_rows(
        &self,
        f: &mut fmt::Formatter<'_>,
        unit: Unit,
        contenders: &[Contender],
    ) -> fmt::Result {
        let rows = || self.0.iter().filter(|row| row.unit == unit);
        if rows().next().is_none() {
            return Ok(());
        }
        let (title, decimals) = match unit {
            Unit::PerSecond => ("requests or items/s", 0),
            Unit::Micros => ("µs", 1),
        };
        write!(f, "{title:<24}")?;
        contenders.iter().try_for_each(|contender| write!(f, "{contender:>13}"))?;
        writeln!(f)?;
        for row in rows() {
            write!(f, "{:<24}", row.key)?;
            for contender in contenders {
                match row.median(*contender) {
                    Some(value) => write!(f, "{value:>13.decimals$}")?,
                    None => write!(f, "{:>13}", "–")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f)
    }

    /// What is compared with what, in rates.
    fn fmt_ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Contender::{Ours, OursInline, Raw, RawTasks, Smol, Tarpc, Tonic, Yamux};
        let pairs = [
            (Ours, RawTasks),
            (OursInline, Raw),
            (Ours, Tonic),
            (Ours, Tarpc),
            (Ours, Yamux),
            (Smol, Ours),
        ];
        let ratio = |row: &Row, (one, other)| {
            let other = row.median(other).filter(|rate| *rate > 0.0)?;
            Some(row.median(one)? / other)
        };
        let rows = self.0.iter().filter(|row| row.unit == Unit::PerSecond);
        let rows: Vec<_> =
            rows.filter(|row| pairs.iter().any(|pair| ratio(row, *pair).is_some())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        write!(f, "{:<24}", "ratio")?;
        for (one, other) in pairs {
            write!(f, "{:>18}", format!("{one}/{other}"))?;
        }
        writeln!(f)?;
        for row in rows {
            write!(f, "{:<24}", row.key)?;
            for pair in pairs {
                match ratio(row, pair) {
                    Some(ratio) => write!(f, "{ratio:>18.2}")?,
                    None => write!(f, "{:>18}", "–")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contenders = self.contenders();
        self.fmt_rows(f, Unit::PerSecond, &contenders)?;
        self.fmt_rows(f, Unit::Micros, &contenders)?;
        self.fmt_ratios(f)
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|row| map.serialize_entry(&row.key, row))?;
        map.end()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decimals = match self.unit {
            Unit::PerSecond => 10.0,
            Unit::Micros => 1000.0,
        };
        let medians = self
            .medians()
            .map(|(contender, value)| (contender.name(), (value * decimals).round() / decimals));
        serializer.collect_map(medians)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.04] {
            figures.add("unary-1".into(), Unit::PerSecond, Contender::Ours, value);
        }
        for value in [4.0, 2.0] {
            figures.add("unary-1".into(), Unit::PerSecond, Contender::RawTasks, value);
        }
        figures.add("p99-unary-1".into(), Unit::Micros, Contender::RawTasks, 1.5);
        figures
    }

    #[test]
    fn medians_are_of_odd_and_even_numbers_of_rounds() {
        let figures = figures();
        let row = figures.row("unary-1").unwrap();
        assert_eq!(row.median(Contender::Ours), Some(2.04));
        assert_eq!(row.median(Contender::RawTasks), Some(3.0));
        assert_eq!(row.median(Contender::Tonic), None);
    }

    #[test]
    fn json_is_in_the_order_of_measurement_and_leaves_out_who_did_not_take_part() {
        assert_eq!(
            serde_json::to_string(&figures()).unwrap(),
            r#"{"unary-1":{"ours":2.0,"raw-tasks":3.0},"p99-unary-1":{"raw-tasks":1.5}}"#
        );
    }

    #[test]
    fn the_table_has_a_dash_for_what_was_not_measured() {
        let table = figures().to_string();
        let lines: Vec<Vec<_>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["requests", "or", "items/s", "ours", "raw-tasks"]);
        assert_eq!(lines[1], ["unary-1", "2", "3"]);
        assert_eq!(lines[4], ["p99-unary-1", "–", "1.5"]);
        assert_eq!(lines[7], ["unary-1", "0.68", "–", "–", "–", "–", "–"]);
    }
}
