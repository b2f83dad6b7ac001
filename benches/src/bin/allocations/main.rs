//! Counts allocations and the memory that is held, with a counting global allocator. The last line
//! of its output is one JSON object.
//!
//! What is counted at the machines alone is the same in every run; what is counted end to end has
//! the tasks and the timers of tokio in it.

mod counted;
mod held;
mod report;
mod steady;

use std::error::Error;
use std::time::Duration;

use clap::Parser;

use self::report::Report;

/// Counts the allocations of calls in a steady state, and the memory that idle links, idle streams
/// and kept payloads hold; and how much of a core the pings of idle streams take.
#[derive(Parser, Debug)]
struct Args {
    /// Streams that are open and idle.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=130_000))]
    streams: u32,
    /// Payloads of 25 bytes that are kept.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(64..))]
    payloads: u32,
    /// Calls end to end whose allocations are counted.
    #[arg(long, default_value_t = 6_400, value_parser = clap::value_parser!(u32).range(64..))]
    calls: u32,
    /// How long idle links and streams are watched, in seconds; a stream pings every 15.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (streams, payloads) = (args.streams as usize, args.payloads as usize);
    let watch = Duration::from_secs(args.seconds.into());
    let mut report = Report::default();
    steady::machines(&mut report);
    held::streams_of_machines(&mut report, streams);
    held::kept_payloads(&mut report, payloads);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // First: nothing else of the runtime comes or goes meanwhile.
        held::idle_links(&mut report, watch.min(held::IDLE)).await?;
        steady::end_to_end(&mut report, args.calls as usize).await?;
        held::streams_end_to_end(&mut report, streams, watch).await
    })?;
    println!("{report}");
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
