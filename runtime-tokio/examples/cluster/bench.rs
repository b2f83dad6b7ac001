//! A 512-byte echo between two nodes, side by side with the same over a raw TCP multiplexer that
//! has neither protocol nor checks: the distance is what the grid costs.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use gridmux_benches::load::{Caller, Rate, closed_loop};
use gridmux_benches::raw_mux::{Handlers, RawClient, RawServer};
use gridmux_smol::Smol;
use gridmux_tokio::Tokio;
use gridmux_tokio::auth::SharedSecret;
use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::handle::{Context, Grid, PeerHandle};
use gridmux_tokio::node::authority;
use gridmux_tokio::payload::Payload;
use serde::Serialize;

use crate::cluster::Failure;
use crate::homes::{Runtimes, on_async_std};
use crate::ports::loopback_names;
use crate::print;
use crate::routes::ECHO;

const PAYLOAD: usize = 512;
const CALLERS: usize = 64;

/// The two take turns, so that a noisy machine is noisy for both.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1000);

/// Medians over the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    rps_1: f64,
    rps_64: f64,
    cpu_us_per_request: Option<f64>,
    raw_rps_1: f64,
    raw_rps_64: f64,
}

/// Measures, and prints a table as it goes.
pub(crate) async fn run(
    runtimes: Runtimes,
    secret: &SharedSecret,
    rng: &mut fastrand::Rng,
) -> Result<Figures, Failure> {
    let names = loopback_names(2, rng)?;
    match runtimes {
        Runtimes::Tokio => measure(Tokio::default(), Tokio::default(), &names, secret).await,
        Runtimes::Smol => measure(Smol::default(), Smol::default(), &names, secret).await,
        Runtimes::AsyncStd => measure(on_async_std(), on_async_std(), &names, secret).await,
        Runtimes::Mixed => measure(Tokio::default(), Smol::default(), &names, secret).await,
    }
}

async fn measure<A: Runtime, B: Runtime>(
    here: A,
    there: B,
    names: &[String],
    secret: &SharedSecret,
) -> Result<Figures, Failure> {
    let (here, there) =
        (grid(here, &names[0], names, secret), grid(there, &names[1], names, secret));
    let (here, there) = (here.await?, there.await?);
    here.connected(Duration::from_secs(10)).await?;
    let peer = here.peer(&names[1])?;
    let server = RawServer::bind(Handlers::Tasks).await?;
    let raw = RawClient::connect(server.addr()).await?;

    let (mut grid_1, mut grid_64) = (Vec::new(), Vec::new());
    let (mut raw_1, mut raw_64) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        print(format_args!("round {round} of {ROUNDS}"))?;
        grid_1.push(show("grid, 1 caller", measure_grid(&peer, 1).await)?);
        raw_1.push(show("raw, 1 caller", measure_raw(&raw, 1).await)?);
        grid_64.push(show("grid, 64 callers", measure_grid(&peer, CALLERS).await)?);
        raw_64.push(show("raw, 64 callers", measure_raw(&raw, CALLERS).await)?);
    }
    here.shutdown(Duration::ZERO).await;
    there.shutdown(Duration::ZERO).await;
    let rps = |rates: &[Rate]| median(rates.iter().map(|rate| rate.per_second)).round();
    let cpu = grid_64.iter().filter_map(Rate::cpu_per_call).map(|cpu| cpu.as_secs_f64() * 1e6);
    let cpu: Vec<_> = cpu.collect();
    Ok(Figures {
        rps_1: rps(&grid_1),
        rps_64: rps(&grid_64),
        cpu_us_per_request: (!cpu.is_empty()).then(|| (median(cpu) * 100.0).round() / 100.0),
        raw_rps_1: rps(&raw_1),
        raw_rps_64: rps(&raw_64),
    })
}

async fn grid<R: Runtime>(
    runtime: R,
    name: &str,
    names: &[String],
    secret: &SharedSecret,
) -> Result<Grid<R>, Failure> {
    let echo = |payload: Payload, _: Context| async { Ok::<_, std::convert::Infallible>(payload) };
    let builder = Grid::builder_on(runtime, name)
        .peers(names.to_vec())
        .auth(secret.clone())
        .serve(ECHO, echo);
    Ok(builder.bind(authority(name).unwrap_or_default()).await?)
}

async fn measure_grid(peer: &PeerHandle, callers: usize) -> Rate {
    let call = GridCall { peer: peer.clone(), payload: Bytes::from(vec![7; PAYLOAD]).into() };
    closed_loop(callers, ROUND, call).await
}

async fn measure_raw(client: &RawClient, callers: usize) -> Rate {
    let call = RawCall { client: client.clone(), payload: Bytes::from(vec![7; PAYLOAD]) };
    closed_loop(callers, ROUND, call).await
}

#[derive(Clone)]
struct GridCall {
    peer: PeerHandle,
    payload: Payload,
}

impl Caller for GridCall {
    async fn call(&mut self) -> io::Result<()> {
        let back = self.peer.call(ECHO, &self.payload).await.map_err(io::Error::other)?;
        check(&back, &self.payload)
    }
}

#[derive(Clone)]
struct RawCall {
    client: RawClient,
    payload: Bytes,
}

impl Caller for RawCall {
    async fn call(&mut self) -> io::Result<()> {
        let back = self.client.call(self.payload.clone()).await?;
        check(&back, &self.payload)
    }
}

fn check(back: &[u8], sent: &[u8]) -> io::Result<()> {
    if back == sent { Ok(()) } else { Err(io::Error::other("not the bytes that were sent")) }
}

/// Prints a row of the table. A measurement in which a call failed is none.
fn show(what: &str, rate: Rate) -> Result<Rate, Failure> {
    print(format_args!("  {what:<16} {rate}"))?;
    if rate.failed > 0 { Err(format!("{what}: calls failed").into()) } else { Ok(rate) }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
