//! Runs of one script at a time: all oracles judge, and none takes for ever.

use gridmux_sim::guard::{Broken, run_quietly};
use gridmux_sim::run::{Options, Run};
use gridmux_sim::script::Script;
use gridmux_sim::verdict::Outcome;

use super::watchdog::{Patience, Watchdog};

/// Runs scripts, one after the other.
#[derive(Debug)]
pub(super) struct Player(Watchdog);

impl Player {
    pub(super) fn new(patience: Patience) -> Self {
        Self(Watchdog::start(patience))
    }

    /// Runs a script, which is called so if it takes too long. The machines are looked into while
    /// it runs, whatever the options say: a failure that is seen in that way alone is seen again.
    pub(super) fn run(&self, name: &str, script: &Script, options: Options) -> Result<Run, Broken> {
        let options = Options { invariants: true, ..options };
        self.0.watch(name.to_owned(), || run_quietly(script, &options)).0
    }

    /// What a script comes to.
    pub(super) fn outcome(&self, name: &str, script: &Script) -> Outcome {
        match self.run(name, script, Options::default()) {
            Ok(run) => run.outcome,
            Err(broken) => broken.outcome(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gridmux_sim::script::Script;
    use gridmux_sim::verdict::OracleId;

    use super::{Patience, Player};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        patience: Patience,
    }

    #[test]
    fn every_oracle_that_looks_into_machines_judges_a_run() {
        let Cli { patience } = Cli::parse_from(["play"]);
        let script = "gridmux-sim 1\nnodes 2\nat 2s call a n0 n1 echo\nheal 3s\n";
        let script: Script = script.parse().unwrap();
        let outcome = Player::new(patience).outcome("a script", &script);
        for oracle in [17, 24].map(OracleId) {
            assert!(outcome.judged.contains_key(&oracle), "{oracle}: {:?}", outcome.judged);
        }
    }
}
