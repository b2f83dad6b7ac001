//! How the program ends.

use std::process::ExitCode;

use gridmux_sim::verdict::{Class, Outcome};

use super::out;

/// For `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
   0  passed
   2  something happened that must not (safety)
   3  something has not happened in time (liveness)
   4  two runs of one seed differ
   5  a panic, or a bug that the grid has caught itself
   6  too little was covered: a fault without effect, runs that prove nothing
   7  the simulator has failed to notice what it must notice
   8  a run took too long in real time
   9  the simulator is slower than it should be
  64  wrong usage: an option, a file, a script
  74  a file or the output could not be written
 141  nobody reads the output any more";

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Pass = 0,
    Safety = 2,
    Liveness = 3,
    Nondeterminism = 4,
    Panic = 5,
    Coverage = 6,
    SelfCheck = 7,
    Timeout = 8,
    Slow = 9,
    Usage = 64,
    Unwritten = 74,
    /// What a shell says of a tool that its pipe has ended.
    Unread = 141,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Safety => Self::Safety,
            Class::Liveness => Self::Liveness,
            Class::Nondeterminism => Self::Nondeterminism,
            Class::Panic => Self::Panic,
        }
    }
}

impl Exit {
    /// By the first failure of a run.
    pub(super) fn of(outcome: &Outcome) -> Self {
        outcome.failures.first().map_or(Self::Pass, |failure| failure.class.into())
    }
}

/// Why a command could not be done.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) text: String,
    pub(super) exit: Exit,
}

impl Trouble {
    /// Wrong usage.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: Exit::Usage }
    }

    /// Tells of it, unless all is as it should be with pipes.
    pub(super) fn tell(&self) {
        if self.exit != Exit::Unread {
            out::note(format_args!("error: {}", self.text));
        }
    }
}

/// What a command comes to.
pub(super) type Done<T = Exit> = Result<T, Trouble>;
