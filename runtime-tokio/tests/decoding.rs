//! Typed requests are decoded beside the link's task, which goes on with other calls meanwhile.

use std::convert::Infallible;
use std::sync::Barrier;
use std::time::Duration;

use gridmux_tokio::Tokio;
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::route::{ServerStream, Unary};
use gridmux_tokio::test_util::TestGrid;
use serde::{Deserialize, Deserializer, Serialize};

/// Far longer than anything here takes: a link's task that decodes would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(20);

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const REQUEST: Unary<Held<0>, NoPayload> = Unary::new(2, "request");
const STREAM: ServerStream<Held<1>, NoPayload> = ServerStream::new(3, "stream");
const INLINE: Unary<Held<2>, NoPayload> = Unary::new(4, "inline");

/// Passed twice: when the decoding begins, and when it is to go on.
static GATES: [Barrier; 3] = [const { Barrier::new(2) }; 3];

/// A text whose decoding is held up at the gate of this number.
#[derive(Serialize)]
struct Held<const GATE: usize>(String);

impl<'de, const GATE: usize> Deserialize<'de> for Held<GATE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        GATES[GATE].wait();
        GATES[GATE].wait();
        Ok(Self(text))
    }
}

async fn pass<const GATE: usize>() {
    let passed = tokio::task::spawn_blocking(|| GATES[GATE].wait());
    passed.await.expect("it does not panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_goes_on_while_a_request_is_decoded() {
    // In memory: a blocked worker of tokio may be the one that waits for sockets.
    let grid = TestGrid::in_memory(&Tokio::default(), 2, |_, builder| {
        builder
            .serve_inline(ECHO, |request, _| Ok::<_, Infallible>(request))
            .serve(REQUEST, |_, _| std::future::ready(Ok::<_, Infallible>(NoPayload)))
            .serve_stream(STREAM, |_, _, _| std::future::ready(Ok::<_, Infallible>(())))
            .serve_inline(INLINE, |_, _| Ok::<_, Infallible>(NoPayload))
    });
    grid.connected().await;
    let peer = grid.peer(0, 1);
    let echo = || async {
        let small = Payload::from(vec![7; 10]);
        peer.call(ECHO, &small).timeout(PATIENCE).await == Ok(small)
    };

    let caller = peer.clone();
    let call = tokio::spawn(async move { caller.call(REQUEST, &Held("small".into())).await });
    pass::<0>().await;
    let goes_on = echo().await;
    pass::<0>().await;
    assert!(goes_on, "the link's task is free");
    assert_eq!(call.await.expect("it ends"), Ok(NoPayload));

    let mut stream = peer.open(STREAM, &Held("small".into())).await.expect("opened");
    pass::<1>().await;
    let goes_on = echo().await;
    pass::<1>().await;
    assert!(goes_on, "the link's task is free");
    assert_eq!(stream.try_next().await, Ok(None));

    // An inline handler decodes on the link's task, but for a large request.
    let (caller, large) = (peer.clone(), Held("x".repeat(20_000)));
    let call = tokio::spawn(async move { caller.call(INLINE, &large).await });
    pass::<2>().await;
    let goes_on = echo().await;
    pass::<2>().await;
    assert!(goes_on, "the link's task is free");
    assert_eq!(call.await.expect("it ends"), Ok(NoPayload));
}
