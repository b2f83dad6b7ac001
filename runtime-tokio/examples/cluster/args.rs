//! The command line.

use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use gridmux_tokio::node::{check_name, check_names};

use crate::homes::Runtimes;
use crate::ports;

/// How many nodes may run here.
const MOST_NODES: u16 = 16;

/// Several nodes that lock, walk and talk over gridmux, and check every answer.
///
/// Ctrl-C and SIGTERM drain. The last line is one JSON object. The exit code is 0 only if no answer
/// was wrong, no call was stuck and every node had a link to every other one; it is 2 for a command
/// line or a GRID_SECRET that cannot work.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster")]
pub(crate) struct Args {
    /// How many nodes, all of them here, on loopback; one alone only with a guest.
    #[arg(long, default_value_t = 3, conflicts_with = "peers",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_NODES)))]
    pub(crate) nodes: u16,

    /// Run one node only, by its name: its base URL, such as http://10.0.0.1:9000. The secret of
    /// the cluster is read from the environment variable GRID_SECRET.
    #[arg(long, value_name = "NAME", requires = "peers")]
    pub(crate) node: Option<String>,

    /// The names of all nodes, for --node and --guest; with commas between them, or given several
    /// times. Without --node all of them run here.
    #[arg(long, visible_alias = "names", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,

    /// The name of one more node, which runs elsewhere and serves no more than echoes, such as
    /// the examples of gridmux-core; can be given several times. It may stay away.
    /// http://127.0.0.1:0 stands for one with a free port, but not with --node. All names are
    /// printed when the cluster starts.
    #[arg(long, value_name = "NAME")]
    pub(crate) guest: Vec<String>,

    /// Run each node as a process of its own.
    #[arg(long, conflicts_with = "node")]
    pub(crate) processes: bool,

    /// What the nodes run on.
    #[arg(long, value_enum, value_name = "RUNTIME", default_value_t = Runtimes::Tokio)]
    pub(crate) runtime: Runtimes,

    /// End after this time, or up to 5 s later if nodes have not met yet; without it, at Ctrl-C or
    /// SIGTERM.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<NonZeroU64>,

    /// Kill nodes and start them again while the load runs.
    #[arg(long, conflicts_with = "node")]
    pub(crate) chaos: bool,

    /// Measure a 512-byte echo between two nodes, against a raw TCP multiplexer. The callers, and
    /// the multiplexer, are on tokio whatever the nodes run on.
    #[arg(long, conflicts_with_all = ["nodes", "node", "peers", "guest", "processes", "seconds",
        "chaos", "locks", "dir"])]
    pub(crate) bench: bool,

    /// How many locks the nodes fight over.
    #[arg(long, default_value = "4")]
    pub(crate) locks: NonZeroU16,

    /// The directory that nodes walk for each other; hidden files and `target` are skipped.
    #[arg(long, value_name = "PATH", default_value = ".", value_parser = readable_directory)]
    pub(crate) dir: PathBuf,

    /// Where the load's random choices come from; the system unless set.
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// A child of --processes: progress goes to standard output as JSON lines, and the end of
    /// standard input ends it.
    #[arg(long, hide = true, requires = "node")]
    pub(crate) child: bool,
}

impl Args {
    /// Refuses what clap cannot know to be wrong.
    ///
    /// # Errors
    /// Of clap's kind, so that all look alike.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        if self.bench {
            return Ok(());
        }
        let refuse = |problem: String| {
            Err(Self::command().error(ErrorKind::ValueValidation, format!("{problem}\n")))
        };
        let here = if self.peers.is_empty() { self.nodes.into() } else { self.peers.len() };
        if self.node.is_none() && here > usize::from(MOST_NODES) {
            return refuse(format!(
                "{here} nodes are too many to run here, {MOST_NODES} are the most"
            ));
        }
        if here < 2 && self.guest.is_empty() {
            return refuse("one node alone has no peer: add a node or a --guest".into());
        }
        let own = self.node.as_ref().or_else(|| self.peers.first());
        if let Some(own) = own
            && let Err(error) = check_names(own, &self.peers)
        {
            return refuse(format!("--peers: {error}"));
        }
        for (number, guest) in self.guest.iter().enumerate() {
            if let Err(error) = check_name(guest) {
                return refuse(format!("--guest: {error}"));
            }
            if guest == ports::ANY && self.node.is_some() {
                return refuse(format!("--guest {guest}: with --node, a guest has a port"));
            }
            let taken = self.peers.contains(guest) || self.guest[..number].contains(guest);
            if taken && guest != ports::ANY {
                return refuse(format!("--guest {guest}: the name is taken"));
            }
        }
        Ok(())
    }
}

/// A directory that can be read now. One that cannot would be walked as if it were empty.
fn readable_directory(path: &str) -> Result<PathBuf, std::io::Error> {
    std::fs::read_dir(path)?;
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let args = Args::try_parse_from(std::iter::once("cluster").chain(line.split_whitespace()));
        let refused = args.and_then(|args| args.check());
        let error = refused.expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_name_and_exit_code_2() {
        let two = "--peers http://a:1,http://b:1";
        for (line, problem) in [
            ("--nodes 0".into(), "0 is not in 1..=16"),
            ("--nodes 1".into(), "one node alone has no peer"),
            ("--nodes 1000".into(), "1000 is not in 1..=16"),
            ("--seconds 0".into(), "'0' for '--seconds <N>'"),
            ("--locks 0".into(), "'0' for '--locks <LOCKS>'"),
            ("--dir /no/such/directory".into(), "'/no/such/directory'"),
            ("--dir Cargo.toml/".into(), "'Cargo.toml/'"),
            ("--node http://a:1".into(), "--peers <NAMES>"),
            (format!("--node http://c:1 {two}"), "http://c:1"),
            (format!("--node http://a:1 --chaos {two}"), "--chaos"),
            (format!("--nodes 2 {two}"), "--nodes"),
            (format!("--bench --node http://a:1 {two}"), "--bench"),
            ("--bench --seconds 3".into(), "--bench"),
            ("--peers http://a:1".into(), "one node alone has no peer"),
            ("--peers http://a:1,http://a:1".into(), "http://a:1"),
            ("--peers http://a:1,b:1".into(), "b:1"),
            ("--guest nowhere".into(), "nowhere"),
            (format!("--guest http://a:1 {two}"), "http://a:1: the name is taken"),
            (format!("--node http://a:1 --guest http://127.0.0.1:0 {two}"), "has a port"),
        ] {
            let refusal = refusal(&line);
            assert!(refusal.contains(problem), "{line}: {refusal}");
        }
    }

    #[test]
    fn one_node_may_have_guests_only_and_many_names_run_elsewhere() {
        let names: Vec<_> = (0..40).map(|port| format!("http://a:{}", 9000 + port)).collect();
        let names = names.join(",");
        for line in [
            "--nodes 1 --guest http://127.0.0.1:0",
            &format!("--node http://a:9000 --peers {names}"),
        ] {
            let args = Args::try_parse_from(std::iter::once("cluster").chain(line.split(' ')));
            args.and_then(|args| args.check()).expect(line);
        }
        assert!(refusal(&format!("--peers {names}")).contains("40 nodes are too many"));
    }
}
