//! A node on a loop of its own: one thread, `mio`, and the machines of `gridmux-core`.
//!
//! It joins a running cluster as one more of its names, by `mio_loop OWN-NAME PEER...`; the secret
//! is in the environment variable `GRID_SECRET`. It answers echo calls, asks the first peer for an
//! echo, breaks that connection, and asks again over the next one; then it leaves.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a loop has all of it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
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
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// The cluster's echo route, and a text so large that a transport takes it piece by piece.
const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");
const TEXT: &[u8] = &[b'x'; 300_000];
const LISTENER: Token = Token(0);

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [name, peer, ..] = &names[..] else { return Err("usage: OWN-NAME PEER...".into()) };
    // Every hasher of the standard library has random keys from the system.
    let random = || RandomState::new().hash_one(name);
    let instance = (u128::from(random()) << 64 | u128::from(random())).to_le_bytes();
    let mut node = Node::new(name, instance, Arc::new(SharedSecret::from_env("GRID_SECRET")?));
    node.routes.insert(ECHO.info())?;
    let (poll, mut listener) = (Poll::new()?, TcpListener::bind(address(name)?)?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut mio_loop = MioLoop {
        grid: GridState::new(Arc::new(node), &names, random(), 0, Instant::ZERO)?,
        origin: std::time::Instant::now(),
        poll,
        listener,
        open: BTreeMap::new(),
        last_token: LISTENER,
        peer: peer.clone(),
        asked: None,
        echoes: Vec::new(),
        calls_served: 0,
    };
    mio_loop.run()?;
    println!("{} echoes, {} calls served", mio_loop.echoes.len(), mio_loop.calls_served);
    Ok(())
}

struct MioLoop {
    grid: GridState,
    origin: std::time::Instant,
    poll: Poll,
    listener: TcpListener,
    /// Transports, and the machines that know what their bytes mean.
    open: BTreeMap<Token, (TcpStream, Socket)>,
    last_token: Token,
    /// Who is asked, and over which links it has given an echo.
    peer: String,
    asked: Option<OutgoingKey>,
    echoes: Vec<LinkId>,
    calls_served: u64,
}

impl MioLoop {
    fn now(&self) -> Now {
        Now { instant: Instant::ZERO.after(self.origin.elapsed()), wall: SystemTime::now().into() }
    }

    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let mut events = Events::with_capacity(256);
        self.grid.start(self.now());
        while !(self.open.is_empty() && self.grid.peers().all(Peer::is_drained)) {
            let now = self.now().instant;
            let sockets = self.open.values().filter_map(|(_, socket)| socket.poll_timeout());
            let grid = self.grid.poll_timeout(now).map(|(at, _)| at);
            let wait = sockets.chain(grid).min().map(|at| at.since(now));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                polled => polled?,
            }
            let now = self.now();
            for event in &events {
                let Some((_, socket)) = self.open.get_mut(&event.token()) else { continue };
                socket.handle_ready(event.is_readable(), event.is_writable());
            }
            while let Ok((stream, from)) = self.listener.accept() {
                let socket = Socket::accepted(&mut self.grid, now.instant, Some(from));
                self.insert(stream, socket);
            }
            self.turn(now)?;
        }
        Ok(())
    }

    /// What has come goes in, the application has its say, and what is to go out goes out.
    fn turn(&mut self, now: Now) -> Result<(), Box<dyn Error>> {
        for (stream, socket) in self.open.values_mut() {
            socket.transfer(now, &mut self.grid, stream);
        }
        self.grid.handle_timeout(now);
        self.apply(now)?;
        while let Some((peer, command)) = self.grid.poll_command() {
            self.obey(now, &peer, command);
        }
        for (stream, socket) in self.open.values_mut() {
            socket.transfer(now, &mut self.grid, stream);
            // The link of the first echo is broken, as by the network: a read finds the end.
            if socket.link().is_some_and(|(peer, link)| peer == self.peer && self.echoes == [link])
            {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // What is dropped is closed, and mio forgets it.
        self.open.retain(|_, (_, socket)| !socket.is_finished());
        Ok(())
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

    fn obey(&mut self, now: Now, peer: &str, command: LinkCommand) {
        match command {
            LinkCommand::Dial { link } => match address(peer).and_then(TcpStream::connect) {
                // It becomes writable once it is connected, or has failed.
                Ok(stream) => {
                    let socket = Socket::dialled(&mut self.grid, now, peer, link);
                    self.insert(stream, socket);
                }
                Err(error) => self.grid.handle_dial_failed(now, peer, link, error.into()),
            },
            LinkCommand::Close { link, how, .. } => {
                let mut sockets = self.open.values_mut().map(|(_, socket)| socket);
                if let Some(socket) = sockets.find(|socket| socket.link() == Some((peer, link))) {
                    socket.close(now.instant, how);
                }
            }
            other => unreachable!("a command of a later version: {other:?}"),
        }
    }

    /// A stream that cannot be watched is closed.
    fn insert(&mut self, mut stream: TcpStream, socket: Socket) {
        self.last_token.0 += 1;
        let (token, both) = (self.last_token, Interest::READABLE | Interest::WRITABLE);
        let watched = self.poll.registry().register(&mut stream, token, both);
        if watched.and_then(|()| stream.set_nodelay(true)).is_ok() {
            self.open.insert(token, (stream, socket));
        }
    }
}

/// Where a node listens; its name has an address, not a host's name that would be looked up.
fn address(name: &str) -> io::Result<SocketAddr> {
    let target = dial_target(name).and_then(|target| target.parse().ok());
    target.ok_or_else(|| ErrorKind::InvalidInput.into())
}
