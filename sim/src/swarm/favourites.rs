//! What a seed favours, for a person.

use std::fmt::{self, Display};

use super::draw::Draw;
use super::{FaultKind, calls, faults};
use crate::keyed::{Keyed, Purpose};
use crate::script::{Form, Route, Way};

/// What a seed favours, with weights: a kind of weight 0 is left out altogether, but for what the
/// scenes of a seed add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Favourites {
    /// Whom its calls go to.
    pub routes: Vec<(u64, Route)>,
    /// In which types they travel.
    pub forms: Vec<(u64, Form)>,
    /// By which functions.
    pub ways: Vec<(u64, Way)>,
    /// What befalls the nodes.
    pub faults: Vec<(u64, FaultKind)>,
}

/// What a seed favours, of either profile.
///
/// ```
/// let favourites = gridmux_sim::swarm::favourites(7);
/// assert!(favourites.routes.iter().any(|(weight, _)| *weight > 0));
/// ```
pub fn favourites(seed: u64) -> Favourites {
    let draw = Draw::new(Keyed::new(seed), Purpose::Script);
    let manners = calls::manners(draw.of("calls"));
    Favourites {
        routes: calls::favourites(draw.of("calls")),
        forms: manners.forms,
        ways: manners.ways,
        faults: faults::favourites(draw.of("faults"), &FaultKind::ALL),
    }
}

/// The weights that are not 0, the greatest first.
impl Display for Favourites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls {}", weights(&self.routes, |route| route.word().into()))?;
        write!(f, "; forms {}", weights(&self.forms, |form| form.word().into()))?;
        write!(f, "; ways {}", weights(&self.ways, |way| way.word().into()))?;
        write!(f, "; faults {}", weights(&self.faults, |kind| format!("{kind:?}")))
    }
}

fn weights<T>(all: &[(u64, T)], word: impl Fn(&T) -> String) -> String {
    let mut all: Vec<_> = all.iter().filter(|(weight, _)| *weight > 0).collect();
    all.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let words: Vec<_> =
        all.iter().map(|(weight, what)| format!("{} {weight}", word(what))).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::favourites;
    use crate::swarm::{Profile, script};

    #[test]
    fn a_route_that_a_seed_does_not_favour_gets_no_calls_of_the_swarm() {
        let mut without = 0;
        for seed in 0..40 {
            let script = script(seed, Profile::Quick);
            // The swarm's own calls are named by their numbers.
            let of_swarm =
                |name: &str| name.strip_prefix('c').is_some_and(|rest| rest.parse::<u64>().is_ok());
            for (_, route) in favourites(seed).routes.iter().filter(|(weight, _)| *weight == 0) {
                without += 1;
                let drawn =
                    script.calls().find(|call| call.route == *route && of_swarm(&call.name));
                assert_eq!(drawn, None, "seed {seed}");
            }
        }
        assert!(without > 40, "{without}");
    }

    #[test]
    fn what_is_of_no_weight_is_not_told() {
        let mut some = favourites(1);
        some.routes.iter_mut().for_each(|(weight, _)| *weight = 0);
        some.routes[1].0 = 2;
        some.routes[2].0 = 3;
        let told = some.to_string();
        let [two, three] = [some.routes[1].1.word(), some.routes[2].1.word()];
        assert!(told.starts_with(&format!("calls {three} 3, {two} 2; forms ")), "{told}");
    }
}
