//! A node on a loop of its own: blocking sockets on threads, and the machines of `gridmux-core`.
//!
//! The machines are behind one lock. Each connection has a thread that reads and one that writes,
//! each dial has one, and so has the listener; none of them holds the lock while it waits for the
//! network. What the node does, and how it is run, is as in `mio_loop`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a loop has all of it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use gridmux_core::auth::SharedSecret;
use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::mux::OutgoingKey;
use gridmux_core::node::{Node, dial_target};
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::Peer;
use gridmux_core::route::Unary;
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};

/// The cluster's echo route, and a text that is written in several pieces.
const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");
const TEXT: &[u8] = &[b'x'; 300_000];
/// Bytes of one read or write at most.
const PIECE: usize = 32 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [name, peer, ..] = &names[..] else { return Err("usage: OWN-NAME PEER...".into()) };
    // Every hasher of the standard library has random keys from the system.
    let random = || RandomState::new().hash_one(name);
    let instance = (u128::from(random()) << 64 | u128::from(random())).to_le_bytes();
    let mut node = Node::new(name, instance, Arc::new(SharedSecret::from_env("GRID_SECRET")?));
    node.routes.insert(ECHO.info())?;
    let listener = TcpListener::bind(dial_target(name).unwrap_or_default())?;
    let state = State {
        grid: GridState::new(Arc::new(node), &names, random(), 0, Instant::ZERO)?,
        origin: std::time::Instant::now(),
        open: BTreeMap::new(),
        last_number: 0,
        peer: peer.clone(),
        asked: None,
        echoes: Vec::new(),
        calls_served: 0,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let accepting = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(Duration::from_millis(100)); // out of descriptors, say
                continue;
            };
            let shared = accepting.clone();
            thread::spawn(move || shared.serve(stream, |g, now| Socket::accepted(g, now.instant)));
        }
    });
    shared.run()
}

/// What the threads share: whoever has changed something tells the others.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    grid: GridState,
    origin: std::time::Instant,
    /// Transports, and the machines that know what their bytes mean.
    open: BTreeMap<u64, (TcpStream, Socket)>,
    last_number: u64,
    /// Who is asked, and over which links it has given an echo.
    peer: String,
    asked: Option<OutgoingKey>,
    echoes: Vec<LinkId>,
    calls_served: u64,
}

/// A peer, and the number of the link to be.
type Dial = (Arc<str>, LinkId);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.lock();
        let now = state.now();
        // Whoever waits looks once the lock is free.
        self.changed.notify_all();
        change(&mut state, now)
    }

    /// The machines have their say whenever something has changed, or time has come.
    fn run(self: &Arc<Self>) -> Result<(), Box<dyn Error>> {
        let mut state = self.lock();
        let now = state.now();
        state.grid.start(now);
        while !(state.open.is_empty() && state.grid.peers().all(Peer::is_drained)) {
            for (peer, link) in state.turn()? {
                let shared = self.clone();
                thread::spawn(move || shared.dial(&peer, link));
            }
            self.changed.notify_all();
            let now = state.now().instant;
            let sockets = state.open.values().filter_map(|(_, socket)| socket.poll_timeout());
            let grid = state.grid.poll_timeout(now).map(|(at, _)| at);
            let at = sockets.chain(grid).min().unwrap_or(now.after(Duration::from_secs(1)));
            let waited = self.changed.wait_timeout(state, at.since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        println!("{} echoes, {} calls served", state.echoes.len(), state.calls_served);
        Ok(())
    }

    fn dial(&self, peer: &str, link: LinkId) {
        match TcpStream::connect(dial_target(peer).unwrap_or_default()) {
            // If it was given up meanwhile, the socket is finished at once.
            Ok(stream) => self.serve(stream, |grid, now| Socket::dialled(grid, now, peer, link)),
            Err(error) => self.change(|state, now| {
                state.grid.handle_dial_failed(now, peer, link, error.into());
            }),
        }
    }

    /// Reads on this thread and writes on another one, as long as the socket is open.
    fn serve(&self, stream: TcpStream, socket: impl FnOnce(&mut GridState, Now) -> Socket) {
        let _ = stream.set_nodelay(true);
        let (Ok(mut from), Ok(to)) = (stream.try_clone(), stream.try_clone()) else { return };
        let insert = |state: &mut State, now| {
            let socket = socket(&mut state.grid, now);
            state.insert(stream, socket)
        };
        let Some(number) = self.change(insert) else { return };
        thread::scope(|scope| {
            scope.spawn(|| self.write(number, to));
            let (mut buf, mut len) = (vec![0; PIECE], PIECE);
            while len > 0 {
                len = from.read(&mut buf).unwrap_or(0);
                self.change(|state, now| {
                    let Some((_, socket)) = state.open.get_mut(&number) else { return };
                    // A slice is a reader too, and where it is empty is the end.
                    let mut bytes = &buf[..len];
                    while socket.read_from(now.instant, &mut bytes) && !bytes.is_empty() {
                        socket.drive(now, &mut state.grid);
                    }
                });
            }
        });
    }

    fn write(&self, number: u64, mut to: TcpStream) {
        let mut state = self.lock();
        while let Some((_, socket)) = state.open.get_mut(&number) {
            let bytes = socket.write_buf();
            if bytes.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let piece = bytes[..bytes.len().min(PIECE)].to_vec();
            drop(state);
            let result = to.write_all(&piece);
            self.change(|state, now| match (state.open.get_mut(&number), result) {
                (Some((_, socket)), Ok(())) => socket.handle_written(now.instant, piece.len()),
                (Some((_, socket)), Err(error)) => socket.handle_failure(error.into()),
                (None, _) => {}
            });
            state = self.lock();
        }
    }
}

impl State {
    fn now(&self) -> Now {
        Now { instant: Instant::ZERO.after(self.origin.elapsed()), wall: SystemTime::now().into() }
    }

    /// Nothing, if too many have not said who they are; the stream is closed then.
    fn insert(&mut self, stream: TcpStream, socket: Socket) -> Option<u64> {
        let strangers = self.open.values().filter(|(_, socket)| socket.link().is_none()).count();
        let welcome = strangers < self.grid.node().limits.unauthenticated;
        (socket.link().is_some() || welcome).then(|| {
            self.last_number += 1;
            self.open.insert(self.last_number, (stream, socket));
            self.last_number
        })
    }

    /// The application and the machines have their say; who is to be dialled.
    fn turn(&mut self) -> Result<Vec<Dial>, Box<dyn Error>> {
        let (now, mut dials) = (self.now(), Vec::new());
        self.grid.handle_timeout(now);
        self.apply(now)?;
        while let Some((peer, command)) = self.grid.poll_command() {
            match command {
                LinkCommand::Dial { link } => dials.push((peer, link)),
                LinkCommand::Close { link, how, .. } => {
                    let mut sockets = self.open.values_mut().map(|(_, socket)| socket);
                    if let Some(socket) = sockets.find(|s| s.link() == Some((&peer, link))) {
                        socket.close(now.instant, how);
                    }
                }
                other => unreachable!("a command of a later version: {other:?}"),
            }
        }
        for (stream, socket) in self.open.values_mut() {
            socket.drive(now, &mut self.grid);
            // The link of the first echo is broken, as by the network: the reader finds the end.
            let link = socket.link();
            let cut = link.is_some_and(|(peer, link)| peer == self.peer && self.echoes == [link]);
            if cut || socket.is_finished() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.open.retain(|_, (_, socket)| !socket.is_finished());
        Ok(dials)
    }

    /// The application: it answers calls, and asks for an echo over each of two links. It looks at
    /// all there is to see, and so needs no event that says where to look.
    fn apply(&mut self, now: Now) -> Result<(), Box<dyn Error>> {
        for peer in self.grid.peers_mut() {
            while let Some(call) = peer.poll_call() {
                peer.respond(now, call.key, Ok(call.payload.into()));
                self.calls_served += 1;
            }
            while peer.poll_event().is_some() {}
        }
        let peer = self.grid.peer_mut(&self.peer).ok_or("no such peer")?;
        if let Some(outcome) = self.asked.and_then(|key| peer.take_response(key)) {
            self.asked = None;
            assert!(outcome?.as_slice() == TEXT, "an echo is what was sent");
            self.echoes.extend(peer.link());
        }
        let is_new = peer.link().is_some_and(|link| !self.echoes.contains(&link));
        if self.asked.is_none() && self.echoes.len() < 2 && is_new {
            // Refused while the link is being made: at the next turn, then.
            let target = ECHO.info().target();
            self.asked = peer.request(now.instant, target, Data::Borrowed(TEXT), None).ok();
        }
        if self.echoes.len() == 2 && self.calls_served > 0 {
            self.grid.shutdown(now, Duration::from_secs(1));
        }
        Ok(())
    }
}
