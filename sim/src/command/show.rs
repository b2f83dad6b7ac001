//! `show`: pictures of a run.

use std::path::PathBuf;

use gridmux_sim::run::Options;
use gridmux_sim::show::{Filter, html, perfetto, text};

use super::exit::{Done, Exit, Trouble};
use super::play::Player;
use super::report::shown;
use super::subject::{Subject, Swarm};
use super::watchdog::Patience;
use super::{files, out};

/// Show a run: as a page for a browser, as a trace for Perfetto, as text.
///
/// The page needs no network. The text has one line per event; it is what is printed if nothing
/// else is asked for.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A seed, or a script file
    #[arg(value_name = "SEED|FILE")]
    what: String,

    #[command(flatten)]
    swarm: Swarm,

    /// Write a page with a diagram of space and time
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    html: Option<PathBuf>,

    /// Write a trace for https://ui.perfetto.dev
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    perfetto: Option<PathBuf>,

    /// Print the log as text
    #[arg(long)]
    text: bool,

    /// Only the call of this name, in the text
    #[arg(long, value_name = "NAME")]
    call: Option<String>,

    /// Only the last lines of the text
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of(&args.what, &args.swarm)?;
    let traced = Options { traced: true, ..Options::default() };
    let run = Player::new(args.patience).run(&subject.label, &subject.script, traced);
    let run = run.map_err(|broken| Trouble { text: broken.panic, exit: Exit::Panic })?;
    let Some(shown) = shown(&subject.script, &run) else { return Ok(Exit::Pass) };
    let call = |name: &String| {
        let found = shown.played.calls().position(|call| call.name == *name);
        found.ok_or_else(|| Trouble::usage(format!("there is no call `{name}`")))
    };
    let call = args.call.as_ref().map(call).transpose()?;
    for (path, write) in [(&args.html, html as fn(&_) -> String), (&args.perfetto, perfetto)] {
        if let Some(path) = path {
            files::write(path, &write(&shown))?;
            out::note(path.display());
        }
    }
    if args.text || (args.html.is_none() && args.perfetto.is_none()) {
        out::text(text(&shown, &Filter { call, last: args.last, ..Filter::default() }))?;
    }
    Ok(Exit::Pass)
}
