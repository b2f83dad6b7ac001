//! Names for nodes on loopback.

use std::io;
use std::net::TcpListener;

/// Where ports are looked for: below those that the system gives to outgoing connections, which
/// could take the port of a node that is down.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

const TRIES: usize = 1000;

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

/// Gives each name on port 0 a free port instead.
pub(crate) fn choose(names: &mut [String], rng: &mut fastrand::Rng) -> io::Result<()> {
    for name in names.iter_mut().filter(|name| name.ends_with(":0")) {
        let free = loopback_names(1, rng)?.remove(0);
        let port = free.rsplit(':').next().unwrap_or_default();
        name.truncate(name.len() - 1);
        name.push_str(port);
    }
    Ok(())
}
