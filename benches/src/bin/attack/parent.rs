//! Starts the child, attacks it and measures.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gridmux_tokio::Grid;
use gridmux_tokio::auth::StaticToken;
use gridmux_tokio::payload::Payload;

use super::attacks::{Attack, Target};
use super::names::{self, ECHO, TOKEN};
use super::system;
use super::victim::{Report, Settings};

/// How many fresh nodes join during an attack, and how long each may take.
const JOINS: usize = 20;
const JOIN_WITHIN: Duration = Duration::from_secs(3);

/// How often the memory of the child is looked at.
const LOOK: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The measurements of one attack.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Resident memory in KiB, where the system tells; the greatest during the attack.
    pub(crate) memory: [u64; 3],
    pub(crate) joins: (usize, usize),
    /// Before, during and after.
    pub(crate) reports: [Report; 3],
    /// Messages, requests or connections of the attackers.
    pub(crate) done: u64,
}

impl Measured {
    pub(crate) const HEADING: &str = "attack              memory MiB          joins   log lines, KiB    p99 ms               missed  attacked\n\
                               \x20                  before peak after                           before during after           times";

    pub(crate) fn row(&self, attack: Attack) -> String {
        let [before, peak, after] = self.memory.map(|kib| kib >> 10);
        let [b, d, a] = self.reports.each_ref().map(|report| report.p99_us as f64 / 1000.0);
        let (lines, bytes) = self.logged();
        let joins = format!("{}/{}", self.joins.0, self.joins.1);
        format!(
            "{:<18} {before:>5} {peak:>5} {after:>5}   {joins:>7} {lines:>9} {:>7}   {b:>6.1} {d:>7.1} {a:>6.1} {:>8} {:>9}",
            attack.name(),
            bytes >> 10,
            self.missed(),
            self.done,
        )
    }

    /// How much its memory has grown at the most, in MiB.
    pub(crate) fn growth(&self) -> u64 {
        self.memory[1].max(self.memory[2]).saturating_sub(self.memory[0]) >> 10
    }

    /// Lines and bytes that the node has logged since the attack began.
    pub(crate) fn logged(&self) -> (u64, u64) {
        let [_, during, after] = &self.reports;
        (during.log_lines + after.log_lines, during.log_bytes + after.log_bytes)
    }

    /// Calls of the healthy pair that were not answered in time.
    pub(crate) fn missed(&self) -> usize {
        self.reports[1].missed + self.reports[2].missed
    }
}

/// The process under attack.
struct Victim {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Victim {
    fn start(settings: &Settings) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--victim", &serde_json::to_string(settings)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no pipe")?;
        let output = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut victim = Self { child, input, output };
        match victim.line()?.as_str() {
            "ready" => Ok(victim),
            other => Err(format!("the node under attack does not start: {other:?}").into()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Events since the last report.
    fn report(&mut self) -> Result<Report> {
        writeln!(self.input, "report")?;
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|_| "the node under attack has died".into())
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        system::memory(self.child.id())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one attack: a quarter of the time before it, half of it during it.
pub(crate) fn measure(attack: Attack, share: Duration) -> Result<Measured> {
    let name = names::free()?;
    let (listener, dialled) = names::dialled_by(&name)?;
    let mut diallers = names::diallers(&name, JOINS + 1);
    let hostile = diallers.swap_remove(0);
    let mut peers = diallers.clone();
    peers.push(hostile.clone());
    if attack == Attack::RejectedReason {
        peers.push(dialled);
    }
    let settings = Settings {
        name: name.clone(),
        healthy: names::free()?,
        peers,
        descriptors: (attack == Attack::Descriptors).then_some(64),
    };
    let mut victim = Victim::start(&settings)?;
    std::thread::sleep(share / 10);
    victim.report()?;

    let mut measured = Measured::default();
    std::thread::sleep(share / 4);
    measured.reports[0] = victim.report()?;
    measured.memory[0] = victim.memory();

    let target = Target {
        name,
        hostile,
        listener: Arc::new(listener),
        stopped: Arc::new(AtomicBool::new(false)),
        done: Arc::new(AtomicU64::new(0)),
    };
    let attackers = runtime(true)?;
    let joiners = runtime(false)?;
    attackers.spawn(attack.run(target.clone()));
    let during = share / 2;
    let joins = joiners.spawn(join_all(target.name.clone(), diallers, during));
    let (process, stopped) = (victim.child.id(), target.stopped.clone());
    let looks = std::thread::spawn(move || {
        let mut peak = 0;
        while !stopped.load(Ordering::Relaxed) {
            peak = peak.max(system::memory(process));
            std::thread::sleep(LOOK);
        }
        peak
    });
    std::thread::sleep(during);
    measured.reports[1] = victim.report()?;
    measured.joins = joiners.block_on(joins)?;
    target.stopped.store(true, Ordering::Relaxed);
    measured.done = target.done.load(Ordering::Relaxed);
    attackers.shutdown_background();
    measured.memory[1] = looks.join().map_err(|_| "memory")?.max(measured.memory[0]);
    std::thread::sleep(share / 8);
    // Calls that were under way when the attack ended do not count for the time after it.
    let ending = victim.report()?;
    std::thread::sleep(share / 8);
    measured.reports[2] = victim.report()?;
    measured.reports[1].missed += ending.missed;
    measured.reports[1].log_lines += ending.log_lines;
    measured.reports[1].log_bytes += ending.log_bytes;
    measured.memory[2] = victim.memory();
    joiners.shutdown_background();
    Ok(measured)
}

/// Attackers leave the processor to what they attack: they stand for other machines.
fn runtime(attackers: bool) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    if attackers {
        builder.on_thread_start(system::be_nice);
    }
    Ok(builder.build()?)
}

/// Fresh nodes, evenly over the time: how many joined and were answered, and how many tried.
async fn join_all(victim: String, names: Vec<String>, during: Duration) -> (usize, usize) {
    let every = during / (names.len() as u32 + 1);
    let mut joins = Vec::new();
    for name in names {
        tokio::time::sleep(every).await;
        joins.push(tokio::spawn(join(victim.clone(), name)));
    }
    let (mut joined, tried) = (0, joins.len());
    for join in joins {
        joined += usize::from(join.await.is_ok_and(|joined| joined));
    }
    (joined, tried)
}

async fn join(victim: String, name: String) -> bool {
    let began = Instant::now();
    let Ok(token) = StaticToken::new(TOKEN) else { return false };
    let Ok(grid) = Grid::builder(name).peers([&victim]).auth(token).build() else { return false };
    let left = || JOIN_WITHIN.saturating_sub(began.elapsed());
    let joined = grid.connected(JOIN_WITHIN).await.is_ok();
    let answered = match grid.peer(&victim) {
        Ok(peer) if joined => {
            let hello = Payload::from(&b"hello"[..]);
            peer.call(ECHO, &hello).timeout(left()).await.is_ok()
        }
        _ => false,
    };
    grid.shutdown(Duration::ZERO).await;
    answered
}
