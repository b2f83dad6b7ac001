//! What both loops run: a node that is one more name of a running cluster. It answers echo calls,
//! and asks every peer for an echo; after the first one it has that peer's connection cut, and
//! wants another echo over the next one. It knows no socket, thread or poll: those are the loop's.
#![allow(unreachable_pub, reason = "each example has this module to itself")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gridmux_core::auth::SharedSecret;
use gridmux_core::event::{Event, LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::mux::OutgoingKey;
use gridmux_core::node::Node;
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::Peer;
use gridmux_core::route::Unary;
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

const USAGE: &str = "--name NAME --peers NAME,NAME,... [--seconds N] [--expect-calls]";

/// The cluster's echo route.
const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");

/// So large that a transport takes it piece by piece.
const ECHO_LEN: usize = 300_000;
const BETWEEN_ECHOES: Duration = Duration::from_secs(1);
const ECHO_WITHIN: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(1);

/// What the loop is to do.
pub enum Order {
    /// What the peer's machine says.
    Obey(LinkCommand),
    /// Break this one, as a network does.
    Cut(LinkId),
}

/// How far we are with one peer.
#[derive(Default)]
struct Visit {
    connected: u32,
    asked: Option<OutgoingKey>,
    next_echo: Instant,
    /// Echoes over the first link and over later ones.
    echoes: [u32; 2],
    cut: Option<LinkId>,
    answered: u32,
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
        let missing = |visit: &Visit| match visit {
            Visit { connected: 0, .. } => Some("was never connected"),
            Visit { echoes: [0, _], .. } => Some("gave no echo"),
            Visit { echoes: [_, 0], .. } => Some("gave no echo after a reconnect"),
            Visit { answered: 0, .. } if self.expects_calls => Some("never called"),
            _ => None,
        };
        self.visits
            .iter()
            .filter_map(move |(name, visit)| Some(format!("{name} {}", missing(visit)?)))
    }

    /// What the process says and returns at its end.
    pub fn verdict(&self) -> ExitCode {
        for (name, Visit { connected, echoes: [first, later], answered, .. }) in &self.visits {
            println!(
                "{name}: {connected} links, {first}+{later} echoes, {answered} calls answered"
            );
        }
        let failures = self.missing().map(|what| eprintln!("failed: {what}")).count();
        if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Visit {
    fn note_link(&mut self, peer: &Peer) {
        let (name, is_open) = (peer.name(), peer.check_open().is_ok());
        match (is_open, self.connected) {
            (true, 0) => println!("connected to {name}"),
            (true, _) => println!("reconnected to {name}"),
            (false, _) => println!("{}: {name}, {:?}", peer.state(), peer.last_failure()),
        }
        self.connected += u32::from(is_open);
    }

    /// Asks for an echo if it is time and there is a link.
    fn ask(&mut self, now: Instant, peer: &mut Peer) {
        if self.asked.is_some() || now < self.next_echo || peer.check_open().is_err() {
            return;
        }
        self.next_echo = now.after(BETWEEN_ECHOES);
        // A full queue, or a peer that is about to go: the next time, then.
        self.asked =
            peer.request(now, ECHO.info().target(), Data::Owned(payload()), Some(ECHO_WITHIN)).ok();
    }

    /// The call that was asked has ended. Gives the link that is to be cut, after the first echo.
    fn take_echo(&mut self, now: Instant, peer: &mut Peer) -> Option<LinkId> {
        let outcome = peer.take_response(self.asked?)?;
        (self.asked, self.next_echo) = (None, now.after(BETWEEN_ECHOES));
        let name = peer.name();
        if !outcome.as_ref().is_ok_and(|echo| echo.as_slice() == payload()) {
            println!("no echo from {name}: {outcome:?}");
            return None;
        }
        println!("echo from {name}");
        let later = self.cut.is_some_and(|cut| peer.link() != Some(cut));
        self.echoes[usize::from(later)] += 1;
        if self.cut.is_some() {
            return None;
        }
        println!("cutting the connection to {name}");
        self.cut = peer.link();
        self.cut
    }
}

fn payload() -> bytes::Bytes {
    (0..ECHO_LEN).map(|at| at as u8).collect()
}
