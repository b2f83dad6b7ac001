//! Memory that is held while nothing happens, and the time that pings take meanwhile.

use std::io;
use std::time::Duration;

use gridmux_benches::load::cpu_time;
use gridmux_benches::mux_loop::{Bytes, MuxLoop};
use gridmux_benches::systems::{Handlers, Ours, System, TALK};
use gridmux_core::payload::NoPayload;
use gridmux_tokio::Tokio;
use tokio::time::sleep;

use crate::counted::Count;
use crate::report::Report;

/// After this long, an idle link has given back what it does not need.
pub(crate) const IDLE: Duration = Duration::from_secs(3);

const LINKS: usize = 16;
const MIB: f64 = 1024.0 * 1024.0;

/// Simulated time in which streams ping.
const PINGS: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(10);

/// Open streams, at each end of the machines, and their pings.
pub(crate) fn streams_of_machines(report: &mut Report, streams: usize) {
    let mut machines = MuxLoop::<Bytes>::new();
    machines.open_streams(streams);
    // Whatever opening them took is given back first.
    idle(&mut machines, IDLE);
    let before = cpu_time();
    idle(&mut machines, PINGS);
    if let Some((before, after)) = before.zip(cpu_time()) {
        let share = (after - before).as_secs_f64() / PINGS.as_secs_f64();
        report.add("pings-machines-percent", share * 100.0, "% of a core for pings, both ends");
    }
    let (caller, callee) = machines.into_ends();
    let count = Count::start();
    drop(caller);
    let caller = -count.held();
    drop(callee);
    let callee = -count.held() - caller;
    for (end, held) in [("caller", caller), ("callee", callee)] {
        let key = format!("idle-streams-{end}-mib");
        report.add(key, held as f64 / MIB, "MiB held at this end for all idle streams");
        let key = format!("idle-stream-{end}-bytes");
        report.add(key, held as f64 / streams as f64, "bytes a stream");
    }
}

fn idle(machines: &mut MuxLoop<Bytes>, time: Duration) {
    let steps = time.as_nanos() / STEP.as_nanos();
    (0..steps).for_each(|_| machines.pass(STEP));
}

/// Answers of 25 bytes that the application keeps, from frames of one and of many.
pub(crate) fn kept_payloads(report: &mut Report, payloads: usize) {
    for at_once in [1, 64] {
        let mut machines = MuxLoop::<Bytes>::new();
        let mut kept = Vec::with_capacity(payloads);
        let count = Count::start();
        while kept.len() + at_once <= payloads {
            machines.round_trips_into(&[7; 25], at_once, |answer| kept.push(answer));
        }
        let each = count.held() as f64 / kept.len() as f64;
        let key = format!("kept-payloads-{at_once}-mib");
        let all = (each + size_of_val(&kept[0]) as f64) * payloads as f64;
        report.add(key, all / MIB, "MiB for all kept payloads of 25 bytes, handles among it");
        report.add(format!("kept-payload-{at_once}-bytes"), each, "bytes on the heap for each");
    }
}

/// What a link adds to two nodes that have none, once it is idle.
pub(crate) async fn idle_links(report: &mut Report, wait: Duration) -> io::Result<()> {
    let mut nodes = Vec::new();
    for _ in 0..LINKS {
        nodes.push(Ours::build(Tokio::default(), Handlers::Tasks).await?);
    }
    let count = Count::start();
    for nodes in &nodes {
        nodes.link().await?;
    }
    sleep(wait).await;
    let each = count.held() as f64 / (2 * LINKS) as f64;
    report.add("idle-link-kib", each / 1024.0, "KiB an idle link holds at each end");
    for nodes in nodes {
        nodes.stop().await;
    }
    Ok(())
}

/// Open streams between two nodes, with the users' handles and the tasks of handlers; and how much
/// of a core their pings take.
pub(crate) async fn streams_end_to_end(
    report: &mut Report,
    streams: usize,
    watch: Duration,
) -> io::Result<()> {
    let system = Ours::start(Tokio::default(), Handlers::Tasks).await?;
    let peer = system.peer()?;
    let mut open = Vec::with_capacity(streams);
    let count = Count::start();
    for _ in 0..streams {
        open.push(peer.open(TALK, &NoPayload).await.map_err(io::Error::other)?);
    }
    // The last one answers when all have been opened.
    if let Some((sender, receiver)) = open.last_mut() {
        sender.send(vec![7; 25].into()).await.map_err(io::Error::other)?;
        let answer = receiver.try_next().await.map_err(io::Error::other)?;
        answer.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    sleep(watch.min(IDLE)).await;
    let held = count.held() as f64;
    let what = "bytes a stream at both ends together, with handles and the handler's task";
    report.add("idle-stream-tokio-bytes", held / streams as f64, what);
    let before = cpu_time();
    sleep(watch).await;
    if let Some((before, after)) = before.zip(cpu_time()) {
        let share = (after - before).as_secs_f64() / watch.as_secs_f64();
        let what = "% of a core for pings over loopback, both ends, kernel included";
        report.add("pings-tokio-percent", share * 100.0, what);
    }
    drop(open);
    system.stop().await;
    Ok(())
}
