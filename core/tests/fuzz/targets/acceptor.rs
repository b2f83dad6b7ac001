//! The acceptor through both of its doors, up to the link and a little beyond.

use std::sync::Arc;

use arbitrary::Unstructured;
use gridmux_core::auth::StaticToken;
use gridmux_core::connection::Connection;
use gridmux_core::grid::GridState;
use gridmux_core::link::{Accepting, Acceptor, dials};
use gridmux_core::node::Node;
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

use super::pieces::{fill, pieces};

/// The token of the node.
pub const TOKEN: &str = "token";

/// The most that a stranger is answered, in bytes: an upgrade's answer, a refusal with its reason, a
/// pong and a close.
const ANSWER: usize = 4 << 10;

/// The clocks of the node.
pub const NOW: Now = Now {
    instant: Instant::from_millis(1000),
    wall: Timestamp { seconds: 1_800_000_000, nanos: 0 },
};

/// The name of the node, and the one that may dial it.
pub fn names() -> [&'static str; 2] {
    let (one, other) = ("http://a:1", "http://b:1");
    if dials(one, other) { [other, one] } else { [one, other] }
}

/// One byte of settings, four of lengths of reads, then what a stranger sends.
pub fn acceptor(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((settings, steps)) = input.arbitrary::<(u8, [u8; 4])>() else { return };
    let bytes = input.take_rest();
    let whole = outcome(settings, pieces(bytes, &[]));
    let split = outcome(settings, pieces(bytes, &steps));
    assert_eq!(whole, split);
}

/// What became of a connection, and what was answered until then.
type Outcome = (Option<Accepting>, Vec<u8>);

fn outcome<'a>(settings: u8, mut pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let [own, _] = names();
    let token = StaticToken::new(TOKEN).expect("a token");
    let node = Arc::new(Node::new(own, [1; 16], Arc::new(token)));
    let first_message = node.limits.first_message;
    let mut grid =
        GridState::new(node, &names().map(String::from), 1, 0, NOW.instant).expect("the settings");
    if settings & 2 == 0 {
        grid.start(NOW);
    }
    let upgraded = settings & 1 == 1;
    let mut acceptor = if upgraded {
        grid.accept_upgraded(NOW.instant, pieces.next().unwrap_or_default())
    } else {
        grid.accept(NOW.instant)
    };
    let mut result = if upgraded { acceptor.handle_read(NOW, &grid) } else { Accepting::Pending };
    let mut read = 0;
    while result == Accepting::Pending
        && let Some(mut piece) = pieces.next()
    {
        while !piece.is_empty() && result == Accepting::Pending {
            read += fill(acceptor.read_buf(), &mut piece);
            result = acceptor.handle_read(NOW, &grid);
        }
        assert!(result != Accepting::Pending || read <= 4 * first_message, "it reads for ever");
    }
    assert!(acceptor.write_buf().len() <= ANSWER, "a stranger is answered at length");
    match &result {
        Accepting::Hello(hello) => match grid.handle_hello(NOW, hello, acceptor.came()) {
            Ok(link) => {
                let answer = acceptor.write_buf().to_vec();
                let host = hello.host.clone();
                let connection = acceptor.accept(NOW.instant, link).expect("it said hello");
                go_on(&mut grid, &host, connection, pieces);
                return (Some(result), answer);
            }
            Err(reason) => result = acceptor.refuse(reason),
        },
        Accepting::Pending => return (None, end_by_time(acceptor)),
        Accepting::Finished(_) => {}
    }
    let answer = acceptor.write_buf().to_vec();
    assert!(answer.len() <= ANSWER, "a stranger is answered at length");
    for mut piece in pieces {
        fill(acceptor.read_buf(), &mut piece);
        assert_eq!(acceptor.handle_read(NOW, &grid), Accepting::Pending, "it is over");
    }
    assert_eq!(acceptor.write_buf(), answer, "nothing is said after the end");
    (Some(result), answer)
}

/// A stranger who says no more loses the connection at its time and not before.
fn end_by_time(mut acceptor: Acceptor) -> Vec<u8> {
    let until = acceptor.poll_timeout();
    assert_eq!(acceptor.handle_timeout(NOW.instant), Accepting::Pending);
    assert!(matches!(acceptor.handle_timeout(until), Accepting::Finished(_)));
    assert!(acceptor.write_buf().len() <= ANSWER, "a stranger is answered at length");
    acceptor.write_buf().to_vec()
}

/// The peer says more on its link.
fn go_on<'a>(
    grid: &mut GridState,
    host: &str,
    mut connection: Connection,
    pieces: impl Iterator<Item = &'a [u8]>,
) {
    let peer = grid.peer_mut(host).expect("it was accepted");
    let mut buf = 0;
    connection.exchange(NOW, peer);
    for mut piece in pieces {
        while !piece.is_empty() && connection.wants_read() {
            let read = fill(connection.read_buf(), &mut piece);
            connection.handle_read(NOW.instant, read);
            loop {
                connection.exchange(NOW, peer);
                if !connection.decode_more() {
                    break;
                }
            }
            while peer.poll_call().is_some() {}
            while peer.poll_event().is_some() {}
            while peer.poll_command().is_some() {}
            let written = connection.write_buf().len();
            connection.handle_written(NOW.instant, written);
            buf = buf.max(written);
            peer.check_invariants();
        }
    }
    assert!(buf <= 1 << 20, "what waits to be written");
}
