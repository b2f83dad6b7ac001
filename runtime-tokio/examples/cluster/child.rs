//! One node in a process of its own, watched by its parent: it says what it does, line by line, on
//! standard output, and is led by standard input.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use gridmux_smol::Smol;
use gridmux_tokio::Tokio;
use gridmux_tokio::driver::runtime::Runtime;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cluster::Failure;
use crate::homes::{Kind, on_async_std};
use crate::ledger::HoldEvent;
use crate::node::{Node, Plan, View};
use crate::signals;

/// Between two looks at the node.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What the parent says to have the node begin nothing new; the end of input ends it.
pub(crate) const QUIESCE: &str = "quiesce";

/// One line of a child's output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    Hold(HoldEvent),
    View(View),
    /// Nothing is running any more.
    Quiet,
    /// This process got SIGINT or SIGTERM. It does not end before the parent has decided.
    Signal,
}

/// Says it at once: when this returns, the parent will hear it even if this process is killed.
fn say(line: &Line) {
    if let Ok(mut text) = serde_json::to_string(line) {
        text.push('\n');
        let mut stdout = std::io::stdout().lock();
        // Without a parent there is nobody to tell; the end of input follows.
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// Runs the node until the parent ends it.
pub(crate) async fn run(plan: Plan) -> Result<(), Failure> {
    match plan.runtime {
        Kind::Tokio => run_on(Tokio::default(), plan).await,
        Kind::Smol => run_on(Smol::default(), plan).await,
        Kind::AsyncStd => run_on(on_async_std(), plan).await,
    }
}

async fn run_on<R: Runtime>(runtime: R, plan: Plan) -> Result<(), Failure> {
    // Signals may reach a whole group of processes or this one alone: the parent has all drain.
    let signals = signals::watch()?;
    let witness = Arc::new(|event| say(&Line::Hold(event)));
    let node = Node::start(runtime, plan, witness).await?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut tick = tokio::time::interval(REPORT_EVERY);
    loop {
        tokio::select! {
            () = signals.notified() => say(&Line::Signal),
            _ = tick.tick() => say(&Line::View(node.view())),
            order = orders.next_line() => match order? {
                Some(order) if order == QUIESCE => {
                    node.quiesce().await;
                    say(&Line::View(node.view()));
                    say(&Line::Quiet);
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    node.quiesce().await;
    node.shutdown().await;
    say(&Line::View(node.view()));
    Ok(())
}
