//! Has nodes refuse configurations that cannot work.

use gridmux_core::auth::SharedSecret;
use gridmux_core::builder::BuildError;
use gridmux_core::error::ConfigError;
use gridmux_core::handle::Grid;

use crate::script::Trial;
use crate::world::SimRuntime;

/// A mistake that was tried, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The node.
    pub node: usize,
    /// The mistake.
    pub trial: Trial,
    /// The error; `None` if the configuration was accepted.
    pub answer: Option<ConfigError>,
}

impl Tried {
    /// Whether the answer is the error that names the mistake.
    pub fn is_refused(&self) -> bool {
        match self.trial {
            Trial::OwnTwice => matches!(self.answer, Some(ConfigError::DuplicateName(_))),
            Trial::Slash | Trial::Capitals => {
                matches!(self.answer, Some(ConfigError::InvalidName { .. }))
            }
            Trial::UnknownPeer => matches!(self.answer, Some(ConfigError::UnknownPeer(_))),
            Trial::OwnPeer | Trial::SamePeer => {
                matches!(self.answer, Some(ConfigError::NameTaken(_)))
            }
        }
    }
}

/// Makes the mistake on a node that is about to start; what it is answered.
pub(super) fn attempt(
    trial: Trial,
    runtime: &SimRuntime,
    names: &[String],
    node: usize,
    secret: &SharedSecret,
) -> Option<ConfigError> {
    let own = &names[node];
    let mut list = names.to_vec();
    // Some node's name; its own if there is no other.
    let other = (node + 1) % names.len();
    match trial {
        Trial::OwnTwice => list.push(own.clone()),
        Trial::Slash => list[other].push('/'),
        Trial::Capitals => list[other] = list[other].replacen("http", "HTTP", 1),
        Trial::UnknownPeer | Trial::OwnPeer | Trial::SamePeer => {}
    }
    let builder = Grid::builder_on(runtime.clone(), own).peers(list).auth(secret.clone());
    let grid = match builder.start_gate().build() {
        Ok(grid) => grid,
        Err(BuildError::Config(error)) => return Some(error),
        Err(_) => return None,
    };
    match trial {
        Trial::UnknownPeer => grid.peer("http://stranger:9000").err(),
        Trial::OwnPeer => grid.add_peer(own).err(),
        Trial::SamePeer => grid.add_peer(&names[other]).err(),
        Trial::OwnTwice | Trial::Slash | Trial::Capitals => None,
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::auth::SharedSecret;
    use gridmux_core::error::ConfigError;

    use super::{Tried, attempt};
    use crate::script::{Script, Trial};
    use crate::world::Shared;

    #[test]
    fn every_mistake_is_refused_by_its_type() {
        let script = Script::new(1, 3);
        let names: Vec<_> = (0..3).map(|node| script.node_name(node)).collect();
        let shared = Shared::new(1, names.clone(), script.knobs);
        let secret = SharedSecret::new("a secret that is long enough for anybody").unwrap();
        for trial in Trial::ALL {
            let answer = attempt(trial, &shared.start(1), &names, 1, &secret);
            let tried = Tried { node: 1, trial, answer };
            assert!(tried.is_refused(), "{tried:?}");
        }
    }

    #[test]
    fn what_is_accepted_or_refused_as_something_else_is_not_refused() {
        let tried = |answer| Tried { node: 0, trial: Trial::OwnTwice, answer };
        assert!(tried(Some(ConfigError::DuplicateName("a".into()))).is_refused());
        assert!(!tried(Some(ConfigError::UnknownPeer("a".into()))).is_refused());
        assert!(!tried(None).is_refused());
    }
}
