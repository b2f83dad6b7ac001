//! Who writes a message: on one thread nothing else runs while a call is polled, so what has left
//! by then was written by its caller.

use std::convert::Infallible;

use futures::FutureExt;
use gridmux_tokio::Tokio;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::payload::Payload;
use gridmux_tokio::route::Unary;
use gridmux_tokio::test_util::TestGrid;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");

/// Bytes that both ends of a link have written.
fn written(ends: &[PeerHandle; 2]) -> u64 {
    ends.iter().map(|end| end.stats().bytes_out).sum()
}

/// Two nodes whose links have nothing left to do.
async fn at_rest() -> (TestGrid<Tokio>, [PeerHandle; 2]) {
    let grid = TestGrid::builder(&Tokio::default(), 2)
        .configure(|_, builder| {
            builder.serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        })
        .start()
        .expect("good settings");
    grid.connected().await;
    let ends = [grid.peer(0, 1), grid.peer(1, 0)];
    let request = Payload::from(vec![1; 100]);
    assert_eq!(ends[0].call(ECHO, &request).await, Ok(request));
    let mut before = 0;
    while std::mem::replace(&mut before, written(&ends)) != written(&ends) {
        tokio::task::yield_now().await;
    }
    (grid, ends)
}

#[tokio::test]
async fn a_request_alone_on_its_link_is_written_by_its_caller() {
    let (_grid, ends) = at_rest().await;
    let request = Payload::from(vec![2; 100]);
    let before = ends[0].stats().bytes_out;
    let mut call = ends[0].call(ECHO, &request);
    assert!((&mut call).now_or_never().is_none());
    assert!(ends[0].stats().bytes_out > before + 100);
    assert_eq!(call.await, Ok(request.clone()));
}

#[tokio::test]
async fn of_two_requests_at_once_the_second_is_left_to_the_task_of_the_link() {
    let (_grid, ends) = at_rest().await;
    let request = Payload::from(vec![3; 100]);
    let mut first = ends[0].call(ECHO, &request);
    assert!((&mut first).now_or_never().is_none());
    let before = ends[0].stats().bytes_out;
    let mut second = ends[0].call(ECHO, &request);
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(ends[0].stats().bytes_out, before);
    assert_eq!(futures::join!(first, second), (Ok(request.clone()), Ok(request.clone())));
}

#[tokio::test]
async fn a_large_request_is_left_to_the_task_of_the_link() {
    let (_grid, ends) = at_rest().await;
    let request = Payload::from(vec![4; 100_000]);
    let before = ends[0].stats().bytes_out;
    let mut call = ends[0].call(ECHO, &request);
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(ends[0].stats().bytes_out, before);
    assert_eq!(call.await, Ok(request.clone()));
}
