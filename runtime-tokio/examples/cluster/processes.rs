//! Nodes as child processes: to kill one is SIGKILL.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::SECRET_VARIABLE;
use crate::child::{Line, QUIESCE};
use crate::clock;
use crate::cluster::{Cluster, Failure};
use crate::homes::Runtimes;
use crate::ledger::Ledger;
use crate::report::Lives;

/// How long children may take to become quiet, and to end after that: a little more than the
/// grace periods of a node.
const QUIET_WITHIN: Duration = Duration::from_secs(4);
const END_WITHIN: Duration = Duration::from_secs(6);

/// What the readers of the children's output write down.
#[derive(Debug)]
struct Records {
    lives: Vec<Lives>,
    quiet: Vec<bool>,
    /// A child got a signal that asks it to end.
    asked_to_end: bool,
    ledger: Ledger,
}

struct Running {
    child: Child,
    orders: Option<ChildStdin>,
    reader: JoinHandle<()>,
    holder: u64,
}

/// A cluster of child processes.
pub(crate) struct Processes {
    names: Vec<String>,
    secret: String,
    runtimes: Runtimes,
    options: Vec<OsString>,
    seed: u64,
    running: Vec<Option<Running>>,
    records: Arc<Mutex<Records>>,
    holders: u64,
}

impl Processes {
    /// Starts a child for each name, with further command line options.
    pub(crate) async fn start_all(
        names: Vec<String>,
        secret: String,
        runtimes: Runtimes,
        options: Vec<OsString>,
        seed: u64,
    ) -> Result<Self, Failure> {
        let records = Records {
            lives: names
                .iter()
                .enumerate()
                .map(|(node, name)| Lives::new(name.clone(), runtimes.of_node(node)))
                .collect(),
            quiet: vec![false; names.len()],
            asked_to_end: false,
            ledger: Ledger::default(),
        };
        let running = names.iter().map(|_| None).collect();
        let records = Arc::new(Mutex::new(records));
        let mut cluster =
            Self { names, secret, runtimes, options, seed, running, records, holders: 0 };
        for node in 0..cluster.names.len() {
            cluster.start(node).await?;
        }
        Ok(cluster)
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        locked(&self.records)
    }

    /// After the child's end: its last words are read, and what it held it holds no more.
    async fn bury(&self, running: Running) -> Result<(), Failure> {
        let dead = clock::now();
        running.reader.await?;
        let mut records = self.records();
        records.ledger.gone(running.holder, dead);
        Ok(())
    }
}

impl Cluster for Processes {
    async fn kill(&mut self, node: usize) -> Result<(), Failure> {
        let Some(mut running) = self.running[node].take() else { return Ok(()) };
        running.child.kill().await?;
        self.bury(running).await?;
        self.records().lives[node].die();
        Ok(())
    }

    async fn start(&mut self, node: usize) -> Result<(), Failure> {
        self.holders += 1;
        let holder = self.holders;
        let (name, names) = (self.names[node].clone(), self.names.join(","));
        let seed = self.seed.wrapping_add(holder).to_string();
        let runtime = self.runtimes.of_node(node).name().to_owned();
        let mut args: Vec<OsString> = vec!["--child".into()];
        for (option, value) in
            [("--node", name), ("--peers", names), ("--seed", seed), ("--runtime", runtime)]
        {
            args.extend([option.into(), value.into()]);
        }
        args.extend_from_slice(&self.options);
        let mut child = this_program(args)?
            .env(SECRET_VARIABLE, &self.secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a child without standard input and output".into());
        };
        self.records().quiet[node] = false;
        let reader = tokio::spawn(read(output, node, holder, self.records.clone()));
        self.running[node] = Some(Running { child, orders: Some(orders), reader, holder });
        Ok(())
    }

    fn look(&mut self) -> Result<(), Failure> {
        for (node, running) in self.running.iter_mut().enumerate() {
            if let Some(running) = running
                && let Some(status) = running.child.try_wait()?
            {
                return Err(format!("{} ended by itself: {status}", self.names[node]).into());
            }
        }
        Ok(())
    }

    fn is_asked_to_end(&self) -> bool {
        self.records().asked_to_end
    }

    fn nodes(&self) -> Vec<Lives> {
        self.records().lives.clone()
    }

    fn overlaps(&self) -> (u64, u64) {
        let records = self.records();
        (records.ledger.overlaps(), records.ledger.holds())
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        for running in self.running.iter_mut().flatten() {
            if let Some(orders) = &mut running.orders {
                orders.write_all(format!("{QUIESCE}\n").as_bytes()).await?;
            }
        }
        let until = tokio::time::Instant::now() + QUIET_WITHIN;
        let loud = |cluster: &Self| {
            let records = cluster.records();
            (0..cluster.names.len())
                .any(|node| cluster.running[node].is_some() && !records.quiet[node])
        };
        while loud(self) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.running.iter_mut().flatten().for_each(|running| drop(running.orders.take()));
        for node in 0..self.names.len() {
            let Some(mut running) = self.running[node].take() else { continue };
            let status = match tokio::time::timeout(END_WITHIN, running.child.wait()).await {
                Ok(status) => status?,
                Err(_) => return Err(format!("{} does not end", self.names[node]).into()),
            };
            if !status.success() {
                return Err(format!("{} ended badly: {status}", self.names[node]).into());
            }
            self.bury(running).await?;
            self.records().lives[node].end();
        }
        Ok(())
    }
}

/// A command that runs this program once more.
#[cfg(not(test))]
fn this_program(args: Vec<OsString>) -> std::io::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(args);
    Ok(command)
}

/// The same where the program is one of its own tests.
#[cfg(test)]
use crate::tests::this_program;

/// Writes down what a child says, until its end. A line that SIGKILL has cut is not heard.
async fn read(output: ChildStdout, node: usize, holder: u64, records: Arc<Mutex<Records>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut records = locked(&records);
        match serde_json::from_str(&line) {
            Ok(Line::Hold(event)) => records.ledger.record(holder, event),
            Ok(Line::View(view)) => records.lives[node].see(view),
            Ok(Line::Signal) => records.asked_to_end = true,
            Ok(Line::Quiet) => records.quiet[node] = true,
            Err(error) => tracing::debug!(%error, line, "not a line of a child"),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
