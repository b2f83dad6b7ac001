//! Names for nodes on loopback.

use std::io;
use std::net::TcpListener;

/// Where ports are looked for: below those that the system gives to outgoing connections, which
/// could take the port of a node that is down.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

const TRIES: usize = 1000;

/// Stands for a name with a free port.
pub(crate) const ANY: &str = "http://127.0.0.1:0";

/// Names of `nodes` nodes, each with a port that is free now.
pub(crate) fn loopback_names(nodes: usize, rng: &mut fastrand::Rng) -> io::Result<Vec<String>> {
    let mut listeners = Vec::new();
    for _ in 0..TRIES {
        if listeners.len() == nodes {
            break;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", rng.u16(PORTS))) {
            listeners.push(listener);
        }
    }
    if listeners.len() < nodes {
        return Err(io::Error::other("no free ports on loopback"));
    }
    // They are held until all are found, so that none is found twice.
    let name = |listener: &TcpListener| Ok(format!("http://{}", listener.local_addr()?));
    listeners.iter().map(name).collect()
}
