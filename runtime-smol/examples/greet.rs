//! Two nodes in one process: one calls the other and reads a stream from it.

use std::time::Duration;

use gridmux_smol::Grid;
use gridmux_smol::auth::SharedSecret;
use gridmux_smol::route::{ServerStream, Unary};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Greeting {
    name: String,
}

// Declared once, used at both ends.
const GREET: Unary<Greeting, String> = Unary::new(1, "greet");
const COUNT: ServerStream<u32, u32> = ServerStream::new(2, "count").out_capacity(16);

async fn node(name: &str, names: &[&str]) -> Result<Grid, Box<dyn std::error::Error>> {
    let grid = Grid::builder(name)
        .peers(names.iter().copied())
        .auth(SharedSecret::new("at least 16 bytes of secret")?)
        .serve(GREET, |hello, context| async move {
            Ok::<_, String>(format!("{} greets {}", context.caller(), hello.name))
        })
        .serve_stream(COUNT, |to, mut out, _context| async move {
            for n in 1..=to {
                out.send(n).await?;
            }
            Ok::<_, gridmux_smol::error::CallError>(())
        })
        .bind(name.trim_start_matches("http://"))
        .await?;
    Ok(grid)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["http://127.0.0.1:9101", "http://127.0.0.1:9102"];
    let (one, two) = (node(names[0], &names).await?, node(names[1], &names).await?);
    one.connected(Duration::from_secs(10)).await?;

    let peer = one.peer(names[1])?;
    let hello = Greeting { name: "you".into() };
    println!("{}", peer.call(GREET, &hello).timeout(Duration::from_secs(2)).await?);

    let mut numbers = peer.open(COUNT, &10).await?;
    while let Some(n) = numbers.try_next().await? {
        println!("{n}");
    }

    one.shutdown(Duration::from_secs(1)).await;
    two.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
