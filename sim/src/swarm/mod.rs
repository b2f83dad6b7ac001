//! From a seed to a script: which nodes, which network, which calls, which faults.
//!
//! Each seed has a swarm configuration of its own: kinds of faults and of calls that it favours
//! and others that it leaves out altogether, so that no kind always drowns another one.

mod bulk;
mod calls;
mod draw;
mod edges;
mod faults;
mod favourites;
mod kinds;
mod knobs;
mod limits;
mod manners;
mod scenes;
mod storm;
mod ways;

pub(crate) use self::draw::Draw;
pub use self::faults::FaultKind;
pub(crate) use self::faults::draw_among as draw_faults;
pub use self::favourites::{Favourites, favourites};
pub(crate) use self::knobs::draw as draw_knobs;

use crate::keyed::{Keyed, Purpose};
use crate::script::{NodeKind, Script, Trial};

/// How much a seed is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Two to four nodes, some dozens of calls, some ten faults.
    #[default]
    Quick,
    /// Two to eight nodes, and several times as much of everything.
    Full,
}

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;

/// The script of a seed.
///
/// ```
/// use gridmux_sim::swarm::{Profile, script};
///
/// let script = script(7, Profile::Quick);
/// assert!((2..=4).contains(&script.nodes.len()));
/// assert!(script.calls().count() > 10);
/// ```
pub fn script(seed: u64, profile: Profile) -> Script {
    let draw = Draw::new(Keyed::new(seed), Purpose::Script);
    let nodes = match profile {
        Profile::Quick => draw.range("nodes", 2, 4),
        Profile::Full => draw.range("nodes", 2, 8),
    };
    let nodes = usize::try_from(nodes).unwrap_or(2);
    let mut script = Script::new(seed, nodes);
    script.knobs = knobs::draw(draw.of("knobs"));
    script.secure = draw.one_in("secure", 8);
    // Near the end of the generations in half of all seeds.
    script.first_generation = match draw.one_in("wrap", 2) {
        true => 0x7fff_fff0 + u32::try_from(draw.below("generation", 15)).unwrap_or(0),
        false => 0,
    };
    // Some have time for streams that live longer than their pings may be missed.
    let patient = draw.one_in("patient", 8);
    script.heal = match profile {
        Profile::Quick if patient => draw.range("heal", 75 * SECOND, 110 * SECOND),
        Profile::Quick => draw.range("heal", 8 * SECOND, 30 * SECOND),
        Profile::Full => draw.range("heal", 30 * SECOND, 120 * SECOND),
    };
    let faults = match profile {
        Profile::Quick if patient => draw.range("faults", 4, 10),
        Profile::Quick => draw.range("faults", 8, 16),
        Profile::Full => draw.range("faults", 15, 60),
    };
    let calls = match profile {
        Profile::Quick => draw.range("calls", 24, 60),
        Profile::Full => draw.range("calls", 80, 300),
    };
    script.core = core(draw, nodes);
    kinds::draw(draw.of("kinds"), &mut script);
    script.nested = draw.one_in("nested", 10);
    // What a stranger says is wrong is wrong of tokens that are made of a secret.
    let hostile = script.nodes.iter().any(|kind| matches!(kind, NodeKind::Hostile(_)));
    script.token = !hostile && draw.one_in("token", 8);
    script.trials = trials(draw.of("trials"), nodes);
    let limits = storm::limits(draw.of("storm"));
    let storms = limits.is_some();
    script.limits = limits.unwrap_or_else(|| limits::draw(draw.of("limits")));
    script.gates = gates(draw.of("gates"), nodes);
    let mut lines = faults::draw(draw.of("faults"), &script, faults);
    lines.extend(calls::draw(draw.of("calls"), &script, calls, &lines));
    if storms {
        lines.extend(storm::draw(draw.of("storm"), &script));
    }
    script.lines = lines;
    bulk::add(draw.of("bulk"), &mut script);
    scenes::add(draw.of("scenes"), &mut script);
    edges::add(draw.of("edges"), &mut script);
    ways::add(draw.of("ways"), &mut script);
    script
}

/// Mistakes in the configurations of a few nodes.
fn trials(draw: Draw, nodes: usize) -> Vec<(usize, Trial)> {
    let count = if draw.one_in("any", 5) { draw.range("count", 1, 3) } else { 0 };
    let trial = |n| (draw.nth(n).node("node", nodes), draw.nth(n).pick("trial", &Trial::ALL));
    (0..count).map(trial).collect()
}

/// In some seeds, a node that listens for a while before it starts.
fn gates(draw: Draw, nodes: usize) -> Vec<(usize, u64)> {
    let gate = |draw: Draw| (draw.node("node", nodes), draw.spread("wait", 10 * MILLI, 5 * SECOND));
    draw.one_in("any", 6).then(|| gate(draw)).into_iter().collect()
}

/// The nodes that must be well after the healing: all, or all but some.
fn core(draw: Draw, nodes: usize) -> Vec<usize> {
    let lost = match nodes {
        0..3 => 0,
        _ if !draw.one_in("smaller core", 4) => 0,
        _ => draw.below("lost", nodes as u64 - 2) + 1,
    };
    let mut core: Vec<usize> = (0..nodes).collect();
    for n in 0..lost {
        let at = draw.of("lose").nth(n).below("which", core.len() as u64);
        core.remove(usize::try_from(at).unwrap_or(0));
    }
    core
}
