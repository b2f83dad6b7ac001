//! Prints what the raw multiplexer reaches.
//!
//! `raw-mux [--seconds S] [--workers N] [--size BYTES] [--callers A,B,…] [--only NAME]`

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use gridmux_benches::load::{Caller, Rate, closed_loop};
use gridmux_benches::raw_mux::{Handlers, RawClient, RawServer};

const STREAM_ITEMS: u32 = 10;

struct Options {
    duration: Duration,
    workers: usize,
    size: usize,
    callers: Vec<usize>,
    only: Option<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        duration: Duration::from_secs(2),
        workers: 2,
        size: 512,
        callers: vec![1, 16, 64, 256],
        only: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seconds" => options.duration = Duration::try_from_secs_f64(value.parse()?)?,
            "--workers" => options.workers = value.parse()?,
            "--size" => options.size = value.parse()?,
            "--callers" => {
                options.callers = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--only" => options.only = Some(value),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(options)
}

#[derive(Debug, Clone, Copy)]
enum Load {
    Unary,
    ServerStream,
    ClientStream,
    TwoWay,
}

/// One caller. Its calls borrow its handle, so that none of them counts references.
#[derive(Clone)]
struct RawCaller {
    client: RawClient,
    payload: Bytes,
    load: Load,
}

impl Caller for RawCaller {
    async fn call(&mut self) -> io::Result<()> {
        let size = self.payload.len();
        match self.load {
            Load::Unary => {
                expect(self.client.call(self.payload.clone()).await?.len() == size)?;
            }
            Load::ServerStream => {
                let mut stream = self.client.server_stream(STREAM_ITEMS, size as u32)?;
                let mut count = 0;
                while let Some(item) = stream.next().await? {
                    expect(item.len() == size)?;
                    count += 1;
                }
                expect(count == STREAM_ITEMS)?;
            }
            Load::ClientStream => {
                let mut stream = self.client.client_stream()?;
                for _ in 0..STREAM_ITEMS {
                    stream.send(self.payload.clone())?;
                }
                stream.finish()?;
                let count = stream.next().await?;
                expect(count.as_deref() == Some(&u64::from(STREAM_ITEMS).to_le_bytes()))?;
            }
            Load::TwoWay => {
                let mut stream = self.client.echo_stream()?;
                for _ in 0..STREAM_ITEMS {
                    stream.send(self.payload.clone())?;
                    expect(stream.next().await?.is_some_and(|item| item.len() == size))?;
                }
                stream.finish()?;
                expect(stream.next().await?.is_none())?;
            }
        }
        Ok(())
    }
}

fn expect(right: bool) -> io::Result<()> {
    if right { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

async fn measure(
    handlers: Handlers,
    load: Load,
    size: usize,
    callers: usize,
    duration: Duration,
) -> io::Result<Rate> {
    let server = RawServer::bind(handlers).await?;
    let client = RawClient::connect(server.addr()).await?;
    let caller = RawCaller { client, payload: Bytes::from(vec![7; size]), load };
    Ok(closed_loop(callers, duration, caller).await)
}

async fn run(options: &Options) -> io::Result<()> {
    let mut cases = Vec::new();
    for &callers in &options.callers {
        cases.push(("unary", Load::Unary, options.size, callers));
    }
    cases.push(("large", Load::Unary, 1 << 20, 4));
    cases.push(("server-stream", Load::ServerStream, options.size, 64));
    cases.push(("client-stream", Load::ClientStream, options.size, 64));
    cases.push(("two-way", Load::TwoWay, options.size, 64));
    cases.retain(|(name, ..)| options.only.as_ref().is_none_or(|only| only == name));
    for (name, load, size, callers) in cases {
        for handlers in [Handlers::Inline, Handlers::Tasks] {
            let rate = measure(handlers, load, size, callers, options.duration).await?;
            let handlers = format!("{handlers:?}");
            print!("{name:13} {size:>7} B  {callers:>4} callers  {handlers:6}  {rate}");
            match load {
                Load::Unary => println!(),
                _ => println!("  {:.0} items/s", rate.per_second * f64::from(STREAM_ITEMS)),
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.workers)
        .enable_all()
        .build()?;
    println!("{} workers, {:?} a case", options.workers, options.duration);
    runtime.block_on(async { tokio::spawn(async move { run(&options).await }).await? })?;
    Ok(())
}
