//! Runs that may panic, without noise and without an end of the program.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::run::{Options, Run, run};
use crate::script::Script;
use crate::verdict::{Class, Failure, OracleId, Outcome};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A run that has not come to its end: the simulator itself has panicked, or a part of the core
/// outside of all tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What the panic said, and where.
    pub panic: String,
}

impl Broken {
    /// The outcome of a run of which nothing else is known.
    pub fn outcome(&self) -> Outcome {
        let failure = Failure {
            oracle: OracleId(18),
            class: Class::Panic,
            rule: "the run has panicked",
            detail: self.panic.clone(),
            at: 0,
            call: None,
        };
        Outcome { failures: vec![failure], ..Outcome::default() }
    }
}

/// Runs a script. Panics, which scripts ask for in handlers, print nothing while it runs.
///
/// # Errors
///
/// The run has panicked.
pub fn run_quietly(script: &Script, options: &Options) -> Result<Run, Broken> {
    install();
    let before = QUIET.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(|| run(script, options)));
    QUIET.set(before);
    ran.map_err(|_| Broken { panic: LAST.take().unwrap_or_default() })
}

/// What a script comes to.
pub fn outcome(script: &Script, options: &Options) -> Outcome {
    match run_quietly(script, options) {
        Ok(run) => run.outcome,
        Err(broken) => broken.outcome(),
    }
}

/// Panics on threads that run a script are remembered and not printed.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            if QUIET.get() {
                LAST.set(Some(info.to_string()));
            } else {
                loud(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::{outcome, run_quietly};
    use crate::run::Options;
    use crate::script::Script;
    use crate::verdict::{Class, OracleId};

    #[test]
    fn a_panic_of_the_run_itself_is_a_failure_with_its_place() {
        let mut script = Script::new(1, 2);
        script.core = vec![7];
        let found = outcome(&script, &Options::default());
        assert_eq!(found.failures.len(), 1);
        let failure = &found.failures[0];
        assert_eq!((failure.oracle, failure.class), (OracleId(18), Class::Panic));
        assert!(failure.detail.contains(".rs:"), "{}", failure.detail);
    }

    #[test]
    fn a_run_after_a_panic_is_as_any_other() {
        let calm = Script::new(1, 2);
        let first = outcome(&calm, &Options::default());
        let mut broken = calm.clone();
        broken.core = vec![7];
        assert!(run_quietly(&broken, &Options::default()).is_err());
        assert_eq!(outcome(&calm, &Options::default()), first);
    }
}
