//! Attacks a node of its own, with a healthy pair of calls beside, and fails where a bound does not hold.
//!
//! The node under attack runs in a child process, a new one for each attack, so that its memory is its
//! own. A healthy peer in the same child and the node call each other all the time; fresh nodes of the
//! parent join it during the attack; the attackers are raw sockets of the parent, at a lower priority.

mod attacks;
mod bounds;
mod hostile;
mod names;
mod parent;
mod strangers;
mod system;
mod victim;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::attacks::Attack;
use self::parent::Measured;

/// Attacks a node of its own as strangers and as a hostile peer would. Prints for each attack the memory of
/// the node before, during and after it, the fresh nodes that joined meanwhile, what the node has logged, and
/// the latency of a healthy pair before, during and after. Exits with 1 if a bound does not hold.
#[derive(Parser, Debug)]
struct Args {
    /// Shows the attacks and does nothing.
    #[arg(long)]
    list: bool,
    /// Only this attack; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How long all attacks take together, without starting and stopping.
    #[arg(long, value_name = "SECONDS", default_value_t = 50.0)]
    seconds: f64,
    /// Prints all and exits with 0 whatever was measured.
    #[arg(long)]
    no_bounds: bool,
    /// The process under attack, as the parent starts it.
    #[arg(long, hide = true)]
    victim: Option<String>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    if let Some(settings) = args.victim {
        victim::run(&serde_json::from_str(&settings)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.list {
        for attack in Attack::ALL {
            println!("{:<18} {}", attack.name(), attack.about());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let unknown = |name: &String| Attack::ALL.iter().all(|attack| attack.name() != name);
    if let Some(name) = args.only.iter().find(|name| unknown(name)) {
        return Err(format!("there is no attack {name}; --list shows them").into());
    }
    let mut attacks = Attack::ALL.to_vec();
    attacks.retain(|attack| args.only.is_empty() || args.only.iter().any(|n| n == attack.name()));
    let share = Duration::try_from_secs_f64(args.seconds / attacks.len() as f64)?;
    system::limit_descriptors(None);
    println!("{}", Measured::HEADING);
    let mut broken = Vec::new();
    for attack in attacks {
        let measured = parent::measure(attack, share)?;
        println!("{}", measured.row(attack));
        for problem in bounds::broken(attack, &measured) {
            println!("{:<18} ^ {problem}", "");
            broken.push(format!("{}: {problem}", attack.name()));
        }
    }
    println!("{}", bounds::ABOUT);
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} bounds do not hold:\n{}", broken.len(), broken.join("\n"));
    Ok(if args.no_bounds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
