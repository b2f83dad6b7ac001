//! A cluster of nodes that do useful work over gridmux and check every answer: a replicated lock
//! service, walks through each other's directories, questions, and streams in both directions.
//!
//! ```sh
//! cargo run --release -p gridmux-tokio --example cluster
//! cargo run --release -p gridmux-tokio --example cluster -- --chaos --seconds 60
//! cargo run --release -p gridmux-tokio --example cluster -- --processes --chaos --seconds 60
//! cargo run --release -p gridmux-tokio --example cluster -- --runtime mixed --chaos --seconds 60
//! cargo run --release -p gridmux-tokio --example cluster -- --guest http://127.0.0.1:9104
//! cargo run --release -p gridmux-tokio --example cluster -- --bench
//! ```

mod args;
mod bench;
mod chaos;
mod child;
mod clock;
mod cluster;
mod display;
mod homes;
mod in_process;
mod ledger;
mod load;
mod locks;
mod node;
mod outcome;
mod ports;
mod processes;
mod report;
mod routes;
mod signals;
mod terminal;
#[cfg(all(test, unix))]
mod tests;
mod walk;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gridmux_tokio::auth::{SecretError, SharedSecret};
use gridmux_tokio::builder::BuildError;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::Args;
use crate::chaos::Chaos;
use crate::cluster::{Ends, Failure};
use crate::in_process::InProcess;
use crate::node::Plan;
use crate::outcome::Counts;
use crate::processes::Processes;
use crate::report::Summary;
use crate::terminal::Stderr;

/// Where the secret that all nodes share is found, if it is not to be a random one.
pub(crate) const SECRET_VARIABLE: &str = "GRID_SECRET";

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    program(Args::parse()).await.into()
}

/// Runs the program and gives its exit code: 0 if all was well, 2 if it was asked for something
/// that cannot work, 1 for everything else.
async fn program(args: Args) -> u8 {
    // Links that end are the everyday life of a cluster with chaos in it.
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::ERROR));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Stderr);
    tracing_subscriber::registry().with(lines).with(filter).init();
    if let Err(error) = args.check() {
        // Without standard error there is no reader.
        let _ = error.print();
        return USAGE;
    }
    match run(args).await {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            tell(format_args!("cluster: {error}"));
            exit_code(&error)
        }
    }
}

/// The exit code for what was asked for and cannot work.
const USAGE: u8 = 2;

fn exit_code(error: &Failure) -> u8 {
    let config = matches!(error.downcast_ref(), Some(BuildError::Config(_)));
    if config || error.is::<SecretError>() { USAGE } else { 1 }
}

/// Does what the command line says; whether all was well.
async fn run(mut args: Args) -> Result<bool, Failure> {
    let mut rng = args.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    if args.bench {
        let figures = bench::run(args.runtime, &SharedSecret::new(secret()?)?, &mut rng).await?;
        print(serde_json::to_string(&figures)?)?;
        return Ok(true);
    }
    if args.child {
        child::run(plan_of_one(&args, &mut rng, true)?).await?;
        return Ok(true);
    }
    let signals = signals::watch()?;
    let nodes = if args.peers.is_empty() { args.nodes.into() } else { args.peers.len() };
    let chaos = args.chaos.then(|| Chaos::new(rng.fork(), nodes));
    let ends = Ends {
        after: args.seconds.map(Into::into).map(Duration::from_secs),
        size: nodes,
        guests: args.guest.clone(),
    };
    let (summary, lives) = if args.node.is_some() {
        let cluster = InProcess::start_all(vec![plan_of_one(&args, &mut rng, false)?]).await?;
        cluster::run(cluster, &signals, &ends, chaos).await?
    } else if args.processes {
        let names = names(&mut args, nodes, &mut rng)?;
        let options = child_options(&args);
        let (secret, seed) = (secret()?, rng.u64(..));
        // Here rather than in each child.
        SharedSecret::new(&secret)?;
        let cluster = Processes::start_all(names, secret, args.runtime, options, seed).await?;
        cluster::run(cluster, &signals, &ends, chaos).await?
    } else {
        let names = names(&mut args, nodes, &mut rng)?;
        let secret = SharedSecret::new(secret()?)?;
        let plan = |name: &String| plan(&args, name, &names, &secret, rng.u64(..));
        let cluster = InProcess::start_all(names.iter().map(plan).collect()).await?;
        cluster::run(cluster, &signals, &ends, chaos).await?
    };
    print(serde_json::to_string(&summary)?)?;
    Ok(is_good(&summary, &ends.missed(&lives)))
}

/// Says what was not well, and whether all was.
fn is_good(summary: &Summary, missed: &[String]) -> bool {
    for missed in missed {
        tell(format_args!("cluster: {missed}"));
    }
    let Counts { wrong, stuck, ok, .. } = summary.counts;
    if wrong + stuck > 0 {
        tell(format_args!("cluster: {wrong} answers were wrong, {stuck} calls were stuck"));
    }
    if ok == 0 {
        tell("cluster: no call was answered");
    }
    missed.is_empty() && wrong + stuck == 0 && ok > 0
}

/// The names of the nodes that run here: those of the command line, or `nodes` on free ports.
/// Guests that have no port get one too, and are printed.
fn names(args: &mut Args, nodes: usize, rng: &mut fastrand::Rng) -> Result<Vec<String>, Failure> {
    let any = args.guest.iter().filter(|guest| *guest == ports::ANY).count();
    let here = if args.peers.is_empty() { nodes } else { 0 };
    let mut names = ports::loopback_names(here + any, rng)?;
    let ports = names.split_off(here);
    let guests = args.guest.iter_mut().filter(|guest| *guest == ports::ANY);
    guests.zip(ports).for_each(|(guest, name)| *guest = name);
    names.extend_from_slice(&args.peers);
    if !args.guest.is_empty() {
        tell(format_args!("names: {}\nguests: {}", names.join(","), args.guest.join(",")));
    }
    Ok(names)
}

/// The plan of a node on loopback, among others that share its directory.
fn plan(args: &Args, name: &str, names: &[String], secret: &SharedSecret, seed: u64) -> Plan {
    let node = names.iter().position(|other| other == name).unwrap_or_default();
    Plan {
        name: name.to_owned(),
        names: names.to_vec(),
        guests: args.guest.clone(),
        secret: secret.clone(),
        runtime: args.runtime.of_node(node),
        dir: args.dir.clone(),
        shares_directory: true,
        locks: args.locks.get(),
        seed,
    }
}

/// The plan of the one node that the command line names.
fn plan_of_one(
    args: &Args,
    rng: &mut fastrand::Rng,
    shares_directory: bool,
) -> Result<Plan, Failure> {
    let name = args.node.as_deref().unwrap_or_default();
    let secret = SharedSecret::from_env(SECRET_VARIABLE)?;
    let plan = plan(args, name, &args.peers, &secret, rng.u64(..));
    Ok(Plan { shares_directory, ..plan })
}

/// What children are told beside their names.
fn child_options(args: &Args) -> Vec<OsString> {
    let locks = args.locks.to_string();
    let guests = args.guest.iter().flat_map(|name| ["--guest".into(), name.into()]);
    let options = ["--locks".into(), locks.into(), "--dir".into(), args.dir.clone().into()];
    options.into_iter().chain(guests).collect()
}

/// The secret from the environment, or a random one for this run.
fn secret() -> Result<String, Failure> {
    if let Ok(secret) = std::env::var(SECRET_VARIABLE) {
        return Ok(secret);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Prints a line; a reader that has gone is an error and no panic.
fn print(line: impl Display) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").map_err(|error| format!("standard output: {error}").into())
}

/// Says a line on standard error, if there is one.
fn tell(line: impl Display) {
    let _ = writeln!(Stderr, "{line}");
}
