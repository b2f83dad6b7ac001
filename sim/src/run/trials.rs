//! Has nodes refuse configurations that cannot work.

use std::io::ErrorKind;
use std::time::Duration;

use futures::FutureExt as _;
use gridmux_core::auth::{SecretError, SharedSecret, StaticToken};
use gridmux_core::builder::{BuildError, Builder};
use gridmux_core::error::ConfigError;
use gridmux_core::handle::Grid;
use gridmux_core::limits::Limits;
use gridmux_core::payload::NoPayload;
use gridmux_core::route::Unary;

use crate::script::Trial;
use crate::world::{Dialling, SimRuntime};

/// A mistake that was tried, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The node.
    pub node: usize,
    /// The mistake.
    pub trial: Trial,
    /// The error; `None` if the configuration was accepted.
    pub answer: Option<Refusal>,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A setting cannot work.
    Config(ConfigError),
    /// What nodes are to know each other by cannot do.
    Secret(SecretError),
    /// There is nothing that they know each other by.
    NoAuth,
    /// Nobody can listen there, or the runtime cannot run.
    System(ErrorKind),
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Config(error) => Self::Config(error),
            BuildError::NoAuth => Self::NoAuth,
            BuildError::Runtime(source) | BuildError::Listen { source, .. } => {
                Self::System(source.kind())
            }
            other => unreachable!("an error of a later version: {other:?}"),
        }
    }
}

impl Tried {
    /// Whether the answer is the error that names the mistake.
    pub fn is_refused(&self) -> bool {
        use ConfigError::{
            DuplicateName, InvalidName, InvalidRoute, Limit, NameTaken, OwnName, UnknownPeer,
        };
        use Refusal::{Config, NoAuth, Secret, System};
        let Some(answer) = &self.answer else { return false };
        match self.trial {
            Trial::OwnTwice => matches!(answer, Config(DuplicateName(_))),
            Trial::Slash | Trial::Capitals => matches!(answer, Config(InvalidName { .. })),
            Trial::UnknownPeer => matches!(answer, Config(UnknownPeer(_))),
            Trial::OwnHandle | Trial::OwnPeer => matches!(answer, Config(OwnName(_))),
            Trial::SamePeer => matches!(answer, Config(NameTaken(_))),
            Trial::NoAuth => *answer == NoAuth,
            Trial::ShortSecret => matches!(answer, Secret(SecretError::TooShort { .. })),
            Trial::ShortLife => *answer == Secret(SecretError::LifetimeTooShort),
            Trial::SplitToken => *answer == Secret(SecretError::NotHeaderSafe),
            Trial::SameRoute => matches!(answer, Config(ConfigError::Route(_))),
            Trial::HttpRoute => matches!(answer, Config(InvalidRoute(_))),
            Trial::Limit => matches!(answer, Config(Limit { .. })),
            Trial::Elsewhere => *answer == System(ErrorKind::AddrNotAvailable),
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
) -> Option<Refusal> {
    let own = &names[node];
    let mut list = names.to_vec();
    // Some node's name; its own if there is no other.
    let other = (node + 1) % names.len();
    match trial {
        Trial::OwnTwice => list.push(own.clone()),
        Trial::Slash => list[other].push('/'),
        Trial::Capitals => list[other] = list[other].replacen("http", "HTTP", 1),
        Trial::ShortSecret => return SharedSecret::new("short").err().map(Refusal::Secret),
        Trial::ShortLife => {
            let short = secret.clone().lifetime(Duration::from_secs(1));
            return short.err().map(Refusal::Secret);
        }
        Trial::SplitToken => return StaticToken::new("two words").err().map(Refusal::Secret),
        _ => {}
    }
    let builder = Grid::builder_on(runtime.clone(), own).peers(list).start_gate();
    let dialling = Dialling { shared: runtime.shared.clone(), life: runtime.life };
    let builder = builder.connector(dialling);
    let builder = match trial {
        Trial::NoAuth => builder,
        _ => builder.auth(secret.clone()),
    };
    let grid = match build(trial, builder) {
        Ok(grid) => grid,
        Err(error) => return Some(error.into()),
    };
    let answer = match trial {
        Trial::UnknownPeer => grid.peer("http://stranger:9000").err(),
        Trial::OwnHandle => grid.peer(own).err(),
        Trial::OwnPeer => grid.add_peer(own).err(),
        Trial::SamePeer => grid.add_peer(&names[other]).err(),
        _ => None,
    };
    answer.map(Refusal::Config)
}

fn build(trial: Trial, builder: Builder<SimRuntime>) -> Result<Grid<SimRuntime>, BuildError> {
    const TWICE: Unary<NoPayload, NoPayload> = Unary::new(1, "twice");
    let nothing = |_, _| async { Ok::<_, String>(NoPayload) };
    match trial {
        Trial::SameRoute => builder.serve(TWICE, nothing).serve(TWICE, nothing).build(),
        Trial::HttpRoute => builder.http_route("no/slash").build(),
        Trial::Limit => builder.limits(Limits { message: 1, ..Limits::default() }).build(),
        Trial::Elsewhere => {
            // It does not wait.
            let bound = builder.bind("elsewhere:1").now_or_never();
            bound.unwrap_or_else(|| Err(BuildError::Runtime(ErrorKind::WouldBlock.into())))
        }
        _ => builder.build(),
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::auth::SharedSecret;
    use gridmux_core::error::ConfigError;

    use super::{Refusal, Tried, attempt};
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
        let config = |error| tried(Some(Refusal::Config(error)));
        assert!(config(ConfigError::DuplicateName("a".into())).is_refused());
        assert!(!config(ConfigError::UnknownPeer("a".into())).is_refused());
        assert!(!tried(Some(Refusal::NoAuth)).is_refused());
        assert!(!tried(None).is_refused());
    }
}
