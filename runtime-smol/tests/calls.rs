//! Two nodes on smol call each other over loopback.

use std::time::Duration;

use gridmux_smol::Grid;
use gridmux_smol::auth::SharedSecret;
use gridmux_smol::payload::Payload;
use gridmux_smol::route::{TwoWay, Unary};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const TALK: TwoWay<Payload, Payload, Payload> = TwoWay::new(2, "talk");

/// A name with a port that is free.
fn name() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

async fn node(name: &str, names: &[String]) -> Grid {
    Grid::builder(name)
        .peers(names.iter().cloned())
        .auth(SharedSecret::new("a secret of the test, long enough").expect("long enough"))
        .serve(ECHO, |payload, _| async move { Ok::<_, String>(payload) })
        .serve_two_way(TALK, |_, mut input, mut output, _| async move {
            while let Some(item) = input.try_next().await.map_err(|e| e.to_string())? {
                output.send(item).await.map_err(|e| e.to_string())?;
            }
            Ok::<_, String>(())
        })
        .bind(name.strip_prefix("http://").expect("a name"))
        .await
        .expect("the settings work")
}

#[test]
fn nodes_on_smol_call_each_other_stream_and_drain() {
    smol::block_on(async {
        let names = [name(), name()];
        let (one, other) = (node(&names[0], &names).await, node(&names[1], &names).await);
        one.connected(Duration::from_secs(10)).await.expect("connected");
        let peer = one.peer(&names[1]).expect("configured");
        let question = Payload::from(vec![7; 100_000]);
        assert_eq!(peer.call(ECHO, &question).await, Ok(question));
        let (mut sender, mut receiver) = peer.open(TALK, &Payload::NIL).await.expect("opened");
        for n in 0..100_u8 {
            sender.send(Payload::from(vec![n])).await.expect("sent");
            let item = receiver.try_next().await.expect("no error").expect("an item");
            assert_eq!(item.as_slice(), [n]);
        }
        sender.close();
        assert_eq!(receiver.try_next().await, Ok(None));
        one.shutdown(Duration::from_secs(1)).await;
        other.shutdown(Duration::from_secs(1)).await;
        let state = one.peer(&names[1]).expect("configured").state();
        assert_eq!(state, gridmux_smol::link::LinkState::Shutdown);
    });
}
