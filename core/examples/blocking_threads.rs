//! A node on a loop of its own: blocking sockets on threads, and the machines of `gridmux-core`.
//!
//! The main thread owns the machines and writes; each connection has a thread that reads, each dial
//! has one, and so has the listener. What the node does, and how it is run, is as in `mio_loop`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a loop has all of it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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

/// The cluster's echo route, and a text so large that a transport takes it piece by piece.
const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");
const TEXT: &[u8] = &[b'x'; 300_000];

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [name, peer, ..] = &names[..] else { return Err("usage: OWN-NAME PEER...".into()) };
    let random = || RandomState::new().hash_one(name);
    let instance = (u128::from(random()) << 64 | u128::from(random())).to_le_bytes();
    let mut node = Node::new(name, instance, Arc::new(SharedSecret::from_env("GRID_SECRET")?));
    node.routes.insert(ECHO.info())?;
    let listener = TcpListener::bind(dial_target(name).unwrap_or_default())?;
    let (tasks, inbox) = sync_channel::<Task>(16);
    let mut owner = Owner {
        grid: GridState::new(Arc::new(node), &names, random(), 0, Instant::ZERO)?,
        origin: std::time::Instant::now(),
        tasks: tasks.clone(),
        open: BTreeMap::new(),
        last_number: 0,
        peer: peer.clone(),
        asked: None,
        echoes: Vec::new(),
        calls_served: 0,
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(Duration::from_millis(100)); // out of descriptors, say
                continue;
            };
            let _ = tasks.send(Box::new(|owner, now| {
                let from = stream.peer_addr().ok();
                owner.insert(stream, |grid| Socket::accepted(grid, now.instant, from));
            }));
        }
    });
    owner.run(&inbox)?;
    println!("{} echoes, {} calls served", owner.echoes.len(), owner.calls_served);
    Ok(())
}

/// What a thread gives the owner to do.
type Task = Box<dyn FnOnce(&mut Owner, Now) + Send>;

struct Owner {
    grid: GridState,
    origin: std::time::Instant,
    tasks: SyncSender<Task>,
    /// Transports, and the machines that know what their bytes mean.
    open: BTreeMap<u64, (TcpStream, Socket)>,
    last_number: u64,
    /// Who is asked, and over which links it has given an echo.
    peer: String,
    asked: Option<OutgoingKey>,
    echoes: Vec<LinkId>,
    calls_served: u64,
}

impl Owner {
    fn now(&self) -> Now {
        Now { instant: Instant::ZERO.after(self.origin.elapsed()), wall: SystemTime::now().into() }
    }

    fn run(&mut self, inbox: &Receiver<Task>) -> Result<(), Box<dyn Error>> {
        self.grid.start(self.now());
        while !(self.open.is_empty() && self.grid.peers().all(Peer::is_drained)) {
            let now = self.now().instant;
            let sockets = self.open.values_mut().filter_map(|(_, socket)| {
                // A write waits for room, but not for long: what is left is tried again soon.
                if socket.write_buf().is_empty() { socket.poll_timeout() } else { Some(now) }
            });
            let at = sockets.chain(self.grid.poll_timeout(now).map(|(at, _)| at)).min();
            let first = inbox.recv_timeout(at.map_or(Duration::MAX, |at| at.since(now)));
            for task in first.into_iter().chain(inbox.try_iter().take(16)) {
                task(self, self.now());
            }
            let now = self.now();
            self.grid.handle_timeout(now);
            self.apply(now)?;
            while let Some((peer, command)) = self.grid.poll_command() {
                self.obey(now, peer, command);
            }
            self.open.retain(|_, (stream, socket)| {
                socket.handle_ready(false, true);
                socket.transfer(now, &mut self.grid, stream);
                // The link of the first echo is broken, as by the network: a read finds the end.
                let link = socket.link().filter(|(peer, _)| *peer == self.peer);
                if socket.is_finished() || link.is_some_and(|(_, link)| self.echoes == [link]) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                !socket.is_finished()
            });
        }
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

    fn obey(&mut self, now: Now, peer: Arc<str>, command: LinkCommand) {
        match command {
            LinkCommand::Dial { link } => {
                let tasks = self.tasks.clone();
                thread::spawn(move || {
                    let result = TcpStream::connect(dial_target(&peer).unwrap_or_default());
                    tasks.send(Box::new(move |owner, now| match result {
                        Ok(to) => owner.insert(to, |g| Socket::dialled(g, now, &peer, link)),
                        Err(e) => owner.grid.handle_dial_failed(now, &peer, link, e.into()),
                    }))
                });
            }
            LinkCommand::Close { link, how, .. } => {
                let mut sockets = self.open.values_mut().map(|(_, socket)| socket);
                if let Some(socket) = sockets.find(|socket| socket.link() == Some((&peer, link))) {
                    socket.close(now.instant, how);
                }
            }
            other => unreachable!("a command of a later version: {other:?}"),
        }
    }

    /// A stream has a thread that reads; one that cannot have it is closed.
    fn insert(&mut self, tcp: TcpStream, socket: impl FnOnce(&mut GridState) -> Socket) {
        let socket = socket(&mut self.grid);
        let _ = tcp.set_write_timeout(Some(Duration::from_millis(5)));
        let Ok(mut from) = tcp.set_nodelay(true).and_then(|()| tcp.try_clone()) else { return };
        self.last_number += 1;
        let (number, tasks) = (self.last_number, self.tasks.clone());
        self.open.insert(number, (tcp, socket));
        thread::spawn(move || {
            let (mut buf, mut len) = (vec![0; 32 * 1024], 1);
            while len > 0 {
                len = from.read(&mut buf).unwrap_or(0);
                let bytes = buf[..len].to_vec();
                let _ = tasks.send(Box::new(move |owner, now| {
                    let Some((_, socket)) = owner.open.get_mut(&number) else { return };
                    socket.receive(now, &mut owner.grid, &bytes);
                }));
            }
        });
    }
}
