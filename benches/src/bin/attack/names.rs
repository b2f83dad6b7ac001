//! Names of nodes on the loopback, and what all of them share.

use std::io;
use std::net::TcpListener;

use gridmux_core::link::dials;
use gridmux_core::route::{ClientStream, ServerStream, Unary};
use gridmux_tokio::payload::{NoPayload, Payload};

/// The token of the grid.
pub(crate) const TOKEN: &str = "the-token-of-the-grid";

/// Answers what it got.
pub(crate) const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
/// Keeps what it got for as long as the call lives.
pub(crate) const SLOW: Unary<Payload, Payload> = Unary::new(2, "slow");
/// Answers a megabyte.
pub(crate) const LARGE: Unary<Payload, Payload> = Unary::new(3, "large");
/// Keeps a typed value for as long as the call lives.
pub(crate) const TYPED: Unary<Vec<Vec<u8>>, NoPayload> = Unary::new(4, "typed");
/// Panics.
pub(crate) const PANIC: Unary<Payload, Payload> = Unary::new(5, "panic");
/// Takes items as fast as they come; the capacity is one that an attacker does not overrun by accident.
pub(crate) const SINK: ClientStream<Payload, Payload, Payload> =
    ClientStream::new(6, "sink").in_capacity(65_536);
/// Has the node open [`SOURCE`] at its caller.
pub(crate) const PULL: Unary<Payload, Payload> = Unary::new(7, "pull");
/// The routes of a hostile callee.
pub(crate) const SOURCE: ServerStream<Payload, Payload> =
    ServerStream::new(8, "source").out_capacity(65_536);

/// A name on which something can listen: its port is free now.
pub(crate) fn free() -> io::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok(format!("http://127.0.0.1:{port}"))
}

/// Names at which nothing listens, and which dial `other` rather than wait for it.
pub(crate) fn diallers(other: &str, count: usize) -> Vec<String> {
    let names = (1..).map(|number| format!("http://127.0.0.1:{}/", 1 + number % 60_000));
    let names = names.map(|name| name.trim_end_matches('/').to_owned());
    names.filter(|name| name != other && dials(name, other)).take(count).collect()
}

/// A listener whose name `other` dials.
pub(crate) fn dialled_by(other: &str) -> io::Result<(TcpListener, String)> {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let name = format!("http://{}", listener.local_addr()?);
        if dials(other, &name) {
            return Ok((listener, name));
        }
    }
}

/// Host and port of a name.
pub(crate) fn address(name: &str) -> &str {
    name.trim_start_matches("http://")
}
