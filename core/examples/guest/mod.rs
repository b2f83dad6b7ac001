//! What both loops run: a node that is one more name of a running cluster. It answers echo calls,
//! and asks every peer for an echo; after the first one it has that peer's connection cut, and
//! wants another echo over the next one. It knows no socket, thread or poll: those are the loop's.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a loop has all of it")]
#![allow(unreachable_pub, reason = "each example has this module to itself")]

mod visit;

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gridmux_core::auth::SharedSecret;
use gridmux_core::event::{Event, LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::node::{Node, dial_target};
use gridmux_core::peer::Peer;
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

use self::visit::{ECHO, Visit};

const USAGE: &str = "--name NAME --peers NAME,NAME,... [--seconds N] [--expect-calls]";

/// What links get to end in good order.
const GRACE: Duration = Duration::from_secs(1);

/// What the loop is to do.
pub enum Order {
    /// What the peer's machine says.
    Obey(LinkCommand),
    /// Break this one, as a network does.
    Cut(LinkId),
}

pub struct Guest {
    pub grid: GridState,
    origin: std::time::Instant,
    visits: BTreeMap<String, Visit>,
    until: Instant,
    stays: bool,
    expects_calls: bool,
    leaving: bool,
}

impl Guest {
    /// The node that the command line describes.
    pub fn from_args() -> Result<Self, Box<dyn Error>> {
        let args: Vec<String> = std::env::args().collect();
        let value = |flag| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1));
        let (name, peers) = value("--name").zip(value("--peers")).ok_or(USAGE)?;
        let seconds = value("--seconds").map(|seconds| seconds.parse()).transpose()?;

        // Every hasher of the standard library has random keys from the system.
        let random = || RandomState::new().hash_one(name);
        let instance = (u128::from(random()) << 64 | u128::from(random())).to_le_bytes();
        let mut node = Node::new(name, instance, Arc::new(SharedSecret::from_env("GRID_SECRET")?));
        node.routes.insert(ECHO.info())?;
        let names: Vec<String> = peers.split(',').chain([name.as_str()]).map(Into::into).collect();
        let mut guest = Self {
            grid: GridState::new(Arc::new(node), &names, random(), 0, Instant::ZERO)?,
            origin: std::time::Instant::now(),
            visits: BTreeMap::new(),
            until: Instant::ZERO.after(Duration::from_secs(seconds.unwrap_or(30))),
            stays: seconds.is_some(),
            expects_calls: args.iter().any(|arg| arg == "--expect-calls"),
            leaving: false,
        };
        guest.visits = guest.grid.peers().map(|p| (p.name().into(), Visit::default())).collect();
        guest.grid.start(guest.now());
        Ok(guest)
    }

    /// Both clocks: one that never goes back, for the machines, and one for the wire.
    pub fn now(&self) -> Now {
        let nanos = self.origin.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_unix_nanos(since_1970.as_nanos().try_into().unwrap_or_default());
        Now { instant: Instant::from_nanos(nanos), wall }
    }

    /// When to call [`Self::turn`], whatever comes: a timer of the grid's, or of ours.
    pub fn poll_timeout(&self, now: Instant) -> Instant {
        let open = self.grid.peers().filter(|peer| peer.check_open().is_ok());
        let visits = open.filter_map(|peer| self.visits.get(peer.name()));
        let echoes = visits.filter(|visit| visit.asked.is_none()).map(|visit| visit.next_echo);
        let grid = self.grid.poll_timeout(now).map(|(at, _)| at);
        let until = (!self.leaving).then_some(self.until);
        echoes.chain(grid).chain(until).min().unwrap_or(self.until)
    }

    /// Takes everything that the machines give, in the order that they ask for: calls, events,
    /// commands. The commands are the loop's to carry out.
    pub fn turn(&mut self, now: Now) -> Vec<(String, Order)> {
        self.grid.handle_timeout(now);
        let done = !self.stays && self.missing().next().is_none();
        if (done || now.instant >= self.until) && !std::mem::replace(&mut self.leaving, true) {
            self.grid.shutdown(now, GRACE);
        }
        let mut orders = Vec::new();
        for peer in self.grid.peers_mut() {
            let name = peer.name().to_owned();
            let Some(visit) = self.visits.get_mut(&name) else { continue };
            while let Some(call) = peer.poll_call() {
                peer.respond(now, call.key, Ok(call.payload.into()));
                visit.answered += 1;
            }
            while let Some(event) = peer.poll_event() {
                match event {
                    Event::LinkState => visit.note_link(peer),
                    Event::Readable(key) if visit.asked == Some(key) => {
                        let cut = visit.take_echo(now.instant, peer).map(Order::Cut);
                        orders.extend(cut.map(|order| (name.clone(), order)));
                    }
                    _ => {}
                }
            }
            visit.ask(now.instant, peer);
            while let Some(command) = peer.poll_command() {
                orders.push((name.clone(), Order::Obey(command)));
            }
        }
        orders
    }

    /// Whether all links have ended in good order.
    pub fn is_over(&self) -> bool {
        self.grid.peers().all(Peer::is_drained)
    }

    fn missing(&self) -> impl Iterator<Item = String> {
        self.visits.iter().filter_map(|(name, visit)| {
            let what = match visit {
                Visit { connected: 0, .. } => "was never connected",
                Visit { echoes: [0, _], .. } => "gave no echo",
                Visit { echoes: [_, 0], .. } => "gave no echo after a reconnect",
                Visit { answered: 0, .. } if self.expects_calls => "never called",
                _ => return None,
            };
            Some(format!("{name} {what}"))
        })
    }

    /// What the process says and returns at its end.
    pub fn verdict(&self) -> ExitCode {
        for (name, Visit { connected, echoes: [first, later], answered, .. }) in &self.visits {
            println!("{name}: {connected} links, {first}+{later} echoes, {answered} calls served");
        }
        let failures = self.missing().map(|what| eprintln!("failed: {what}")).count();
        if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Where a node listens. A name without a number is looked up, which takes its time: larger nodes
/// do that on a thread of its own.
pub fn address(name: &str) -> io::Result<SocketAddr> {
    let target = dial_target(name).ok_or(ErrorKind::InvalidInput)?;
    target.to_socket_addrs()?.next().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}
