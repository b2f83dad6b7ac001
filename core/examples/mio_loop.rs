//! A node on a loop of its own: one thread, `mio`, and the machines of `gridmux-core`.
//!
//! It joins a running cluster as one more of its names (see `guest` for what it does there):
//!
//! ```sh
//! export GRID_SECRET=a-secret-that-all-nodes-share
//! cargo cluster --names http://127.0.0.1:9101,http://127.0.0.1:9102 --guest http://127.0.0.1:9103
//! cargo run -p gridmux-core --example mio_loop -- \
//!     --name http://127.0.0.1:9103 --peers http://127.0.0.1:9101,http://127.0.0.1:9102
//! ```

#![allow(clippy::disallowed_methods, reason = "a loop has the clock")]

mod guest;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::process::ExitCode;

use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::guest::{Guest, Order};

const LISTENER: Token = Token(0);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut mio_loop = MioLoop::new(Guest::from_args()?)?;
    mio_loop.run()?;
    Ok(mio_loop.guest.verdict())
}

/// A transport, and the machine that knows what its bytes mean.
struct Open {
    stream: TcpStream,
    socket: Socket,
    /// mio says once that a stream has become ready; it stays so until it would block.
    readable: bool,
    writable: bool,
}

struct MioLoop {
    guest: Guest,
    poll: Poll,
    listener: TcpListener,
    open: BTreeMap<Token, Open>,
    last_token: Token,
}

impl MioLoop {
    fn new(guest: Guest) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(guest::address(&guest.grid.node().name)?)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { guest, poll, listener, open: BTreeMap::new(), last_token: LISTENER })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while !(self.guest.is_over() && self.open.is_empty()) {
            let now = self.guest.now();
            let wait = self.wake_up_at(now.instant).since(now.instant);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let now = self.guest.now();
            for event in &events {
                if event.token() == LISTENER {
                    self.accept(now.instant);
                } else if let Some(open) = self.open.get_mut(&event.token()) {
                    open.readable |= event.is_readable() || event.is_error();
                    open.writable |= event.is_writable() || event.is_error();
                }
            }
            self.turn(now);
        }
        Ok(())
    }

    /// When there is something to do at the latest.
    fn wake_up_at(&self, now: Instant) -> Instant {
        let socket = |open: &Open| match open.readable && open.socket.wants_read() {
            true => Some(now),
            false => open.socket.poll_timeout(),
        };
        self.open.values().filter_map(socket).fold(self.guest.poll_timeout(now), Instant::min)
    }

    /// All that has come goes in, the application and the machines have their say, and all that
    /// is to go out goes out.
    fn turn(&mut self, now: Now) {
        for open in self.open.values_mut() {
            open.read(now.instant);
            open.write(now, &mut self.guest);
        }
        for (peer, order) in self.guest.turn(now) {
            self.carry_out(now, &peer, order);
        }
        for open in self.open.values_mut() {
            open.write(now, &mut self.guest);
        }
        // What is dropped is closed, and mio forgets it.
        self.open.retain(|_, open| !open.socket.is_finished());
    }

    fn carry_out(&mut self, now: Now, peer: &str, order: Order) {
        match order {
            // It becomes writable once it is connected, or has failed.
            Order::Obey(LinkCommand::Dial { link }) => {
                match guest::address(peer).and_then(TcpStream::connect) {
                    Ok(stream) => {
                        let socket = Socket::dialled(&mut self.guest.grid, now, peer, link);
                        self.insert(stream, socket);
                    }
                    Err(error) => {
                        self.guest.grid.handle_dial_failed(now, peer, link, error.into());
                    }
                }
            }
            Order::Obey(LinkCommand::Close { link, how, .. }) => {
                if let Some(open) = self.find(peer, link) {
                    open.socket.close(now.instant, how);
                }
            }
            Order::Cut(link) => {
                // The next read finds the end, as if the network had broken.
                if let Some(open) = self.find(peer, link) {
                    let _ = open.stream.shutdown(Shutdown::Both);
                }
            }
            Order::Obey(other) => unreachable!("a command of a later version: {other:?}"),
        }
    }

    fn find(&mut self, peer: &str, link: LinkId) -> Option<&mut Open> {
        self.open.values_mut().find(|open| open.socket.link() == Some((peer, link)))
    }

    /// Takes all connections that wait; if too many have not proved who they are, closes them.
    fn accept(&mut self, now: Instant) {
        loop {
            // Nobody waits, or the system has no more sockets: the next event tells of more.
            let Ok((stream, _)) = self.listener.accept() else { return };
            let strangers = self.open.values().filter(|open| open.socket.link().is_none());
            if strangers.count() < self.guest.grid.node().limits.unauthenticated {
                let socket = Socket::accepted(&mut self.guest.grid, now);
                self.insert(stream, socket);
            }
        }
    }

    /// A stream that cannot be watched is dropped; its machine hears of it by its own time limit.
    fn insert(&mut self, mut stream: TcpStream, socket: Socket) {
        self.last_token.0 += 1;
        let (token, both) = (self.last_token, Interest::READABLE | Interest::WRITABLE);
        let watched = self.poll.registry().register(&mut stream, token, both);
        if watched.and_then(|()| stream.set_nodelay(true)).is_ok() {
            self.open.insert(token, Open { stream, socket, readable: false, writable: false });
        }
    }
}

impl Open {
    /// Reads once, so that each socket gets its turn.
    fn read(&mut self, now: Instant) {
        if self.readable && self.socket.wants_read() {
            self.readable = self.socket.read_from(now, &mut self.stream);
        }
    }

    /// Writes until there is nothing more to write, or the system takes no more for now. It writes
    /// before it looks at the time: only what cannot be written has stalled.
    fn write(&mut self, now: Now, guest: &mut Guest) {
        loop {
            self.writable = self.writable && self.socket.write_to(now.instant, &mut self.stream);
            self.socket.drive(now, &mut guest.grid);
            if !self.writable || self.socket.write_buf().is_empty() {
                return;
            }
        }
    }
}
