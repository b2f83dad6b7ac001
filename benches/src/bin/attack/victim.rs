//! The child process: the node under attack, its healthy peer, and the calls between them.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gridmux_tokio::auth::StaticToken;
use gridmux_tokio::builder::Builder;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::timings::Timings;
use gridmux_tokio::{Grid, Tokio};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::names::{ECHO, LARGE, PANIC, PULL, SINK, SLOW, SOURCE, TOKEN, TYPED, address};

/// Between two calls of one direction.
const PACE: Duration = Duration::from_millis(2);
const DEADLINE: Duration = Duration::from_secs(2);
/// A latency is the median of what it is in windows of this length.
const WINDOW: Duration = Duration::from_millis(200);
/// How long a handler runs that is to run for ever.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The role of the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) healthy: String,
    /// The other peers of the node under attack.
    pub(crate) peers: Vec<String>,
    /// How many descriptors the process may have.
    pub(crate) descriptors: Option<u64>,
}

/// Events since the last report.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) calls: usize,
    /// Calls that were not answered within two seconds, or not at all.
    pub(crate) missed: usize,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) log_lines: u64,
    pub(crate) log_bytes: u64,
}

static LOG_LINES: AtomicU64 = AtomicU64::new(0);
static LOG_BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts what would be written.
struct Counting;

impl Write for Counting {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let lines = buf.iter().filter(|byte| **byte == b'\n').count();
        LOG_LINES.fetch_add(lines as u64, Ordering::Relaxed);
        LOG_BYTES.fetch_add(buf.len() as u64, Ordering::Relaxed);
        if std::env::var_os("ATTACK_LOG").is_some() {
            io::stderr().write_all(buf)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One stretch of time between two reports.
#[derive(Debug, Default)]
struct Stretch {
    open: AtomicUsize,
    /// When each call was due, and its latency if it was answered.
    calls: Mutex<Vec<(Instant, Option<Duration>)>>,
}

/// Runs until the parent closes the pipe; each line of it asks for a report.
pub(crate) fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Counting).init();
    // What a panic itself writes is the application's.
    std::panic::set_hook(Box::new(|_| {}));
    super::system::limit_descriptors(settings.descriptors);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let peers = settings.peers.iter().chain([&settings.healthy]).cloned();
    let own = Arc::new(OnceLock::new());
    let node = routes(Grid::builder(&settings.name).peers(peers), own.clone())
        .auth(StaticToken::new(TOKEN)?)
        .timings(Timings { retry_min: PACE * 50, retry_max: PACE * 100, ..Timings::default() })
        .bind(address(&settings.name))
        .await?;
    let _ = own.set(node.clone());
    let healthy = Grid::builder(&settings.healthy)
        .peers([&settings.name])
        .auth(StaticToken::new(TOKEN)?)
        .serve(ECHO, |payload, _| async move { Ok::<_, String>(payload) })
        .bind(address(&settings.healthy))
        .await?;
    healthy.connected(Duration::from_secs(10)).await?;

    let current = Arc::new(Mutex::new(Arc::new(Stretch::default())));
    for peer in [node.peer(&settings.healthy)?, healthy.peer(&settings.name)?] {
        tokio::spawn(call(peer, current.clone()));
    }
    let (lines, mut asked) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    println!("ready");
    while asked.recv().await.is_some() {
        let next = Arc::new(Stretch::default());
        let stretch = std::mem::replace(&mut *lock(&current), next);
        while stretch.open.load(Ordering::Acquire) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let report = report(&std::mem::take(&mut *lock(&stretch.calls)));
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

fn routes(builder: Builder<Tokio>, own: Arc<OnceLock<Grid>>) -> Builder<Tokio> {
    let large = Payload::from(Bytes::from(vec![7; 1 << 20]));
    builder
        .serve(ECHO, |payload, _| async move { Ok::<_, String>(payload) })
        .serve(SLOW, |payload: Payload, _| async move {
            sleep(FOR_EVER).await;
            Ok::<_, String>(payload)
        })
        .serve(LARGE, move |_, _| {
            // A copy of its own, as if it had been made for this call.
            let answer = Payload::from(large.to_vec());
            async move { Ok::<_, String>(answer) }
        })
        .serve(TYPED, |value: Vec<Vec<u8>>, _| async move {
            sleep(FOR_EVER).await;
            drop(value);
            Ok::<_, String>(NoPayload)
        })
        .serve(PANIC, |payload: Payload, _| async move {
            if payload.len() < usize::MAX {
                panic!("a handler's bug: {}", "x".repeat(2000));
            }
            Ok::<_, String>(payload)
        })
        .serve_input(SINK, |_, mut input, _| async move {
            while let Ok(Some(_)) = input.try_next().await {}
            Ok::<_, String>(Payload::EMPTY)
        })
        .serve(PULL, move |_, context| {
            let peer = own.get().and_then(|grid: &Grid| grid.peer(context.caller()).ok());
            async move {
                let peer = peer.ok_or("not yet")?;
                let mut items =
                    peer.open(SOURCE, &Payload::EMPTY).await.map_err(|e| e.to_string())?;
                while let Ok(Some(_)) = items.try_next().await {}
                Ok::<_, String>(Payload::EMPTY)
            }
        })
}

/// Calls at an even pace, however long each takes; the time from when it was due counts.
async fn call(peer: PeerHandle, current: Arc<Mutex<Arc<Stretch>>>) {
    let payload = Payload::from(vec![0x5a; 512]);
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let due = ticks.tick().await;
        let stretch = lock(&current).clone();
        stretch.open.fetch_add(1, Ordering::AcqRel);
        let (peer, payload) = (peer.clone(), payload.clone());
        tokio::spawn(async move {
            let answer = peer.call(ECHO, &payload).timeout(DEADLINE).await;
            let latency = due.elapsed();
            let right = answer.is_ok_and(|answer| answer == payload) && latency <= DEADLINE;
            lock(&stretch.calls).push((due, right.then_some(latency)));
            stretch.open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn report(calls: &[(Instant, Option<Duration>)]) -> Report {
    let first = calls.iter().map(|(due, _)| *due).min();
    let mut windows: Vec<Vec<Duration>> = Vec::new();
    for (due, latency) in calls {
        let since = first.map_or(Duration::ZERO, |first| *due - first);
        let at = (since.as_nanos() / WINDOW.as_nanos()) as usize;
        windows.resize(windows.len().max(at + 1), Vec::new());
        windows[at].push(latency.unwrap_or(DEADLINE));
    }
    let of_windows = |part: f64| {
        let mut all: Vec<_> = windows
            .iter_mut()
            .filter(|window| !window.is_empty())
            .map(|window| quantile(window, part))
            .collect();
        if all.is_empty() { 0 } else { quantile(&mut all, 0.5).as_micros() as u64 }
    };
    let (p50_us, p99_us) = {
        let mut of = of_windows;
        (of(0.5), of(0.99))
    };
    Report {
        calls: calls.len(),
        missed: calls.iter().filter(|(_, latency)| latency.is_none()).count(),
        p50_us,
        p99_us,
        log_lines: LOG_LINES.swap(0, Ordering::Relaxed),
        log_bytes: LOG_BYTES.swap(0, Ordering::Relaxed),
    }
}

fn quantile(values: &mut [Duration], part: f64) -> Duration {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
