//! Compares gridmux with a raw TCP multiplexer, tonic, tarpc and yamux: see
//! [`gridmux_benches::side_by_side`]. The last line of its output is one JSON object.

use std::env;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use gridmux_benches::side_by_side::{Contender, Settings, measure, plot};

/// Measures gridmux and others on the same work, in alternating rounds: requests (or items of
/// streams) per second, latency and processor time, medians over the rounds. Both ends of each run
/// in this process, joined by one connection over loopback. Every answer is checked.
#[derive(Parser, Debug)]
struct Args {
    /// Under 3 minutes for all: 3 rounds of 0.4 seconds.
    #[arg(long, conflicts_with_all = ["rounds", "seconds_per_round"])]
    quick: bool,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "WORKLOAD", value_parser = PossibleValuesParser::new(Settings::names()))]
    only: Vec<String>,
    /// Only this system; may be given several times.
    #[arg(long, value_name = "SYSTEM", value_enum)]
    system: Vec<Contender>,
    /// Rounds in which each system has its turn at a workload.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long a turn is.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    seconds_per_round: f64,
    /// Threads that run tasks, of tokio and of smol alike.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// Writes pictures into this directory, which must exist.
    #[arg(long, value_name = "DIRECTORY", value_parser = directory)]
    svg: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 3600".into()),
    }
}

/// A directory that is there: a misspelt one is refused before anything is measured.
fn directory(path: &str) -> Result<PathBuf, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(path.into()),
        Ok(_) => Err("it is no directory".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The only way to tell smol's executor how many threads it has.
const SMOL_THREADS: &str = "SMOL_THREADS";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let workers = args.workers.to_string();
    if env::var(SMOL_THREADS).ok().as_ref() != Some(&workers) {
        let mut again = Command::new(env::current_exe()?);
        let status = again.args(env::args_os().skip(1)).env(SMOL_THREADS, workers).status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    run(&args)?;
    Ok(ExitCode::SUCCESS)
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let (rounds, seconds) =
        if args.quick { (3, 0.4) } else { (args.rounds.into(), args.seconds_per_round) };
    let mut contenders = args.system.clone();
    if contenders.is_empty() {
        contenders = Contender::ALL.to_vec();
    }
    contenders.sort_unstable();
    contenders.dedup();
    let turn = Duration::from_secs_f64(seconds);
    let settings = Settings { contenders, only: args.only.clone(), rounds, turn };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.workers.into())
        .enable_all()
        .build()?;
    eprintln!("{} workers, {rounds} rounds of {seconds} s for each system", args.workers);
    let measured = async move { measure(&settings, |round| eprintln!("{round}")).await };
    // On a worker: the thread that blocks is none.
    let figures =
        runtime.block_on(async { runtime.spawn(measured).await.map_err(io::Error::from) })??;
    println!("{figures}");
    if let Some(directory) = &args.svg {
        plot::write(&figures, directory)?;
    }
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
