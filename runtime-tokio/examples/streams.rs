//! Streams with input: numbers go to another node, which sums them up, or squares each.

use std::time::Duration;

use gridmux_tokio::auth::SharedSecret;
use gridmux_tokio::handle::InputError;
use gridmux_tokio::payload::NoPayload;
use gridmux_tokio::route::{ClientStream, TwoWay};
use gridmux_tokio::{Builder, Grid};

// Declared once, used at both ends.
const SUM: ClientStream<NoPayload, u32, u64> = ClientStream::new(3, "sum");
const SQUARE: TwoWay<NoPayload, u32, u32> = TwoWay::new(4, "square");

fn node(name: &str, names: &[&str]) -> Result<Builder, Box<dyn std::error::Error>> {
    let secret = SharedSecret::new("at least 16 bytes of secret")?;
    Ok(Grid::builder(name).peers(names.iter().copied()).auth(secret))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["http://127.0.0.1:9103", "http://127.0.0.1:9104"];
    let one = node(names[0], &names)?.bind("127.0.0.1:9103").await?;
    let two = node(names[1], &names)?
        .serve_input(SUM, |_, mut input, _context| async move {
            let mut sum = 0;
            while let Some(number) = input.try_next().await? {
                sum += u64::from(number);
            }
            Ok::<_, InputError>(sum)
        })
        .serve_two_way(SQUARE, |_, mut input, mut output, _context| async move {
            while let Some(number) = input.try_next().await.map_err(|error| error.to_string())? {
                output.send(number * number).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        })
        .bind("127.0.0.1:9104")
        .await?;
    one.connected(Duration::from_secs(10)).await?;
    let peer = one.peer(names[1])?;

    let mut sum = peer.open(SUM, &NoPayload).await?;
    for number in 1..=100 {
        sum.send(number).await?;
    }
    println!("1 + ... + 100 = {}", sum.finish().await?);

    let (mut sender, mut squares) = peer.open(SQUARE, &NoPayload).await?;
    for number in 1..=5 {
        sender.send(number).await?;
        if let Some(square) = squares.try_next().await? {
            println!("{number} * {number} = {square}");
        }
    }
    sender.close();
    assert_eq!(squares.try_next().await?, None);

    one.shutdown(Duration::from_secs(1)).await;
    two.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
