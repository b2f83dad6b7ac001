//! Many calls of inline handlers in one frame, which the link's task answers in parts.

mod standing;

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gridmux_tokio::handle::{Context, PeerHandle};
use gridmux_tokio::link::{LinkState, dials};
use gridmux_tokio::payload::Payload;
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::{Raw, TestGrid};
use gridmux_tokio::wire::{
    Flags, Header, MERGE_HEADER_LEN, MessageRef, Op, write_merge_header, write_part_header,
};

use self::standing::Standing;

const INLINE: Unary<Payload, Payload> = Unary::new(1, "inline");

/// Its inline handler counts its calls, and takes a millisecond for each.
struct Node {
    grid: TestGrid<Standing>,
    calls: Arc<AtomicUsize>,
    peer: PeerHandle,
    raw: Raw,
}

impl Node {
    /// With a link, on which it has answered a call.
    async fn new() -> Self {
        let (runtime, calls) = (Standing::default(), Arc::new(AtomicUsize::new(0)));
        let (clock, count) = (runtime.clone(), calls.clone());
        let grid = TestGrid::builder(&runtime, 1).configure(move |_, node| {
            let (clock, count) = (clock.clone(), count.clone());
            node.serve_inline(INLINE, move |request, _: &Context| {
                clock.pass(Duration::from_millis(1));
                count.fetch_add(1, Ordering::AcqRel);
                Ok::<_, Infallible>(request)
            })
        });
        let grid = grid.start().expect("good settings");
        let name = &grid.names()[0];
        let caller = (1..).map(|n| format!("http://caller:{n}")).find(|it| dials(it, name));
        let caller = caller.expect("half of them do");
        let peer = grid.node(0).add_peer(&caller).expect("a new name");
        let raw = Raw::join(&runtime, name, &caller, 9).await;
        let mut node = Self { grid, calls, peer, raw };
        node.raw.send(&frame(requests(1..2))).await.expect("written");
        node.raw.receive().await.expect("an answer");
        node
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

fn requests(ids: Range<u64>) -> Vec<Vec<u8>> {
    let request = |mux| {
        let header = Header { mux, handler: 1, flags: Flags::EOF, ..Header::new(Op::Request) };
        encoded(header)
    };
    ids.map(request).collect()
}

fn encoded(header: Header) -> Vec<u8> {
    let mut message = Vec::new();
    MessageRef { header, subroute: None, payload: b"" }.encode(&mut message);
    message
}

fn frame(messages: Vec<Vec<u8>>) -> Vec<u8> {
    let mut frame = vec![0; MERGE_HEADER_LEN];
    write_merge_header(&mut frame, messages.len() as u8);
    for message in messages {
        write_part_header(message.len(), &mut frame);
        frame.extend_from_slice(&message);
    }
    frame
}

#[tokio::test]
async fn none_run_for_a_connection_that_is_known_to_have_ended() {
    let mut node = Node::new().await;
    // On this one thread the node finds both together.
    node.raw.send(&frame(requests(2..50))).await.expect("written");
    drop(node.raw);
    while node.peer.state() == LinkState::Connected {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.calls.load(Ordering::Acquire), 1);
    drop(node.grid);
}

#[tokio::test]
async fn none_runs_whose_cancel_has_come_with_it() {
    let mut node = Node::new().await;
    let mut messages = requests(2..42);
    let cancel = Header { mux: 10, ..Header::new(Op::DisconnectServerMux) };
    messages.push(encoded(cancel));
    node.raw.send(&frame(messages)).await.expect("written");
    while node.calls() < 40 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(node.calls(), 40, "those of the other 39, and the one before");
}

#[tokio::test]
async fn an_answer_that_has_come_is_not_late_for_the_time_they_take() {
    let mut node = Node::new().await;
    let peer = node.peer.clone();
    let call = tokio::spawn(async move {
        peer.call(INLINE, &Payload::NIL).timeout(Duration::from_millis(10)).await
    });
    let request = node.raw.receive().await.expect("the request");
    let request = MessageRef::decode(&request).expect("well-formed").message.header;
    let mut messages = requests(2..50);
    let answer =
        Header { mux: request.mux, flags: Flags::PAYLOAD_IS_ZERO, ..Header::new(Op::Response) };
    messages.push(encoded(answer));
    node.raw.send(&frame(messages)).await.expect("written");
    assert!(call.await.expect("it ends").is_ok());
    assert!(node.calls() > 10, "they took longer than the call may");
}
