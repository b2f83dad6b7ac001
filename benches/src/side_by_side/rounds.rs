//! The rounds: in each, every system has its turn at the same work.

use std::io;
use std::time::Duration;

use super::figures::{Figures, Unit};
use super::{BESIDE_LARGE, Contender, Running};
use crate::load::Rate;
use crate::work::{Shape, WORKLOADS, Workload};

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Only these workloads; all if empty.
    pub only: Vec<String>,
    /// How many rounds; the figures are their medians.
    pub rounds: usize,
    /// How long each system has in each round of a workload.
    pub turn: Duration,
}

impl Settings {
    /// The names of all workloads.
    pub fn names() -> impl Iterator<Item = &'static str> {
        WORKLOADS.iter().map(|workload| workload.name).chain([BESIDE_LARGE])
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Measures all of it on the current tokio runtime. `progress` is told of each round that is over.
///
/// # Errors
///
/// If a system cannot be started, one of its calls fails, or an answer is wrong.
pub async fn measure(settings: &Settings, mut progress: impl FnMut(&str)) -> io::Result<Figures> {
    let mut systems = Vec::new();
    for &contender in &settings.contenders {
        let system = contender.start().await.map_err(|error| name(contender, &error))?;
        systems.push((contender, system));
    }
    let mut figures = Figures::default();
    for workload in WORKLOADS.iter().filter(|workload| settings.wants(workload.name)) {
        let able = |(contender, _): &&(Contender, _)| contender.can(workload);
        let able: Vec<_> = systems.iter().filter(able).collect();
        for round in 0..settings.rounds {
            for (contender, system) in in_turn(&able, round) {
                let rate = system.run(workload, settings.turn).await;
                let rate = rate.map_err(|error| name(*contender, &error))?;
                add_rate(&mut figures, workload, *contender, &rate);
            }
            progress(&format!("{} {}/{}", workload.name, round + 1, settings.rounds));
        }
    }
    if settings.wants(BESIDE_LARGE) {
        let all: Vec<_> = systems.iter().collect();
        for round in 0..settings.rounds {
            for (contender, system) in in_turn(&all, round) {
                add_beside_large(&mut figures, *contender, &**system, settings.turn).await?;
            }
            progress(&format!("{BESIDE_LARGE} {}/{}", round + 1, settings.rounds));
        }
    }
    for (_, system) in systems {
        system.stop().await;
    }
    Ok(figures)
}

/// Everyone, beginning with another one in each round.
fn in_turn<'a, T>(all: &'a [&'a T], round: usize) -> impl Iterator<Item = &'a T> {
    let first = round % all.len().max(1);
    all[first..].iter().chain(&all[..first]).copied()
}

fn name(contender: Contender, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{contender}: {error}"))
}

fn add_rate(figures: &mut Figures, workload: &Workload, contender: Contender, rate: &Rate) {
    let messages = f64::from(workload.shape.messages());
    let mut add = |key: String, unit, value| figures.add(key, unit, contender, value);
    add(workload.name.into(), Unit::PerSecond, rate.per_second * messages);
    if workload.shape == Shape::Unary {
        add(format!("p50-{}", workload.name), Unit::Micros, micros(rate.p50));
        add(format!("p99-{}", workload.name), Unit::Micros, micros(rate.p99));
    }
    if let Some(cpu) = rate.cpu_per_call() {
        add(format!("cpu-{}", workload.name), Unit::Micros, micros(cpu) / messages);
    }
}

async fn add_beside_large(
    figures: &mut Figures,
    contender: Contender,
    system: &dyn Running,
    turn: Duration,
) -> io::Result<()> {
    let found = system.beside_large(turn).await.map_err(|error| name(contender, &error))?;
    let mut add = |key: &str, unit, value| figures.add(key.into(), unit, contender, value);
    add("p50-small-alone", Unit::Micros, micros(found.small_alone));
    add("p50-small-beside-large", Unit::Micros, micros(found.small_beside));
    add("large-4-alone", Unit::PerSecond, found.large_alone);
    add("large-4-beside-small", Unit::PerSecond, found.large_beside);
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_begins_once() {
        let all = [&1, &2, &3];
        let order = |round| in_turn(&all, round).copied().collect::<Vec<_>>();
        assert_eq!([order(0), order(1), order(2)], [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
        assert_eq!(order(3), order(0));
        assert_eq!(in_turn::<i32>(&[], 1).count(), 0);
    }
}
