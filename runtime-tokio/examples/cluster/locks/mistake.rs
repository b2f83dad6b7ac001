//! What the service can be told to get wrong.

/// A mistake that the service makes on purpose, to see that whoever judges it finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mistake {
    /// Half of the tables, rounded down, is a quorum.
    SmallQuorum,
    /// A table that has just been started grants at once.
    ReadyAtOnce,
    /// A holder believes that it holds the lock for as long as no table says otherwise.
    NoDoubt,
}
