//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::homes::Runtimes;

/// Several nodes that lock, walk and talk over gridmux, and check every answer.
///
/// Ctrl-C drains. The last line is one JSON object; the exit code is 0 only if no answer was
/// wrong and no call was stuck.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster")]
pub(crate) struct Args {
    /// How many nodes, all of them here, on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) nodes: u16,

    /// Run one node only, by its name: its base URL, such as http://10.0.0.1:9000. The secret of
    /// the cluster is read from the environment variable GRID_SECRET.
    #[arg(long, value_name = "NAME", requires = "peers")]
    pub(crate) node: Option<String>,

    /// The names of all nodes, for --node and --guest; with commas between them, or given several
    /// times. Without --node all of them run here, and --nodes does not count.
    #[arg(long, visible_alias = "names", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,

    /// The name of one more node, which runs elsewhere and serves no more than echoes, such as
    /// the examples of gridmux-core; can be given several times. http://127.0.0.1:0 stands for one
    /// with a free port. All names are told when the cluster starts.
    #[arg(long, value_name = "NAME", conflicts_with = "bench")]
    pub(crate) guest: Vec<String>,

    /// Run each node as a process of its own.
    #[arg(long, conflicts_with = "node")]
    pub(crate) processes: bool,

    /// What the nodes run on.
    #[arg(long, value_enum, value_name = "RUNTIME", default_value_t = Runtimes::Tokio)]
    pub(crate) runtime: Runtimes,

    /// End after this time; without it, at Ctrl-C.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,

    /// Kill nodes and start them again while the load runs.
    #[arg(long, conflicts_with = "node")]
    pub(crate) chaos: bool,

    /// Measure a 512-byte echo between two nodes, against a raw TCP multiplexer. The callers, and
    /// the multiplexer, are on tokio whatever the nodes run on.
    #[arg(long, conflicts_with_all = ["node", "processes", "chaos"])]
    pub(crate) bench: bool,

    /// How many locks the nodes fight over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) locks: u16,

    /// The directory that nodes walk for each other; hidden files and `target` are skipped.
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Where the load's random choices come from; the system unless set.
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// A child of --processes: progress goes to standard output as JSON lines, and the end of
    /// standard input ends it.
    #[arg(long, hide = true, requires = "node")]
    pub(crate) child: bool,
}
