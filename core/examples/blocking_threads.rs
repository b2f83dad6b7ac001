//! A node on a loop of its own: blocking sockets on threads, and the machines of `gridmux-core`.
//!
//! One thread owns the machines and never waits for a socket. Each connection has a thread that
//! reads and one that writes, each dial has one, and so has the listener; they tell the owner what
//! happened through one bounded channel. A peer that sends faster than the owner works fills it,
//! its reader waits, and so does the peer.
//!
//! It joins a running cluster as one more of its names: see `mio_loop`.

mod guest;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::node::dial_target;
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};

use crate::guest::{Guest, Order};

/// Inputs that wait for the owner at most, and bytes of one read or write at most: a write is told
/// of piece by piece, for one that makes no progress ends the link.
const INPUTS: usize = 64;
const PIECE: usize = 32 * 1024;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (sender, inputs) = sync_channel(INPUTS);
    let guest = Guest::from_args()?;
    let listener = TcpListener::bind(resolve(&guest.grid.node().name)?)?;
    let accepted = sender.clone();
    thread::spawn(move || accept(&listener, &accepted));
    let mut owner = Owner { guest, sender, open: BTreeMap::new(), last_number: 0 };
    owner.run(&inputs);
    Ok(owner.guest.verdict())
}

/// What the threads tell the owner; the numbers are of connections.
enum Input {
    Accepted(TcpStream),
    Dialled(String, LinkId, io::Result<TcpStream>),
    /// No bytes are the end.
    Read(u64, io::Result<Vec<u8>>),
    Wrote(u64, usize),
}

/// A transport, and the machine that knows what its bytes mean.
struct Open {
    stream: TcpStream,
    socket: Socket,
    /// Holds one order: the next one is given when that is carried out.
    writer: SyncSender<Vec<u8>>,
    /// Bytes that the writer has and has not told of.
    unwritten: usize,
}

struct Owner {
    guest: Guest,
    sender: SyncSender<Input>,
    open: BTreeMap<u64, Open>,
    last_number: u64,
}

impl Owner {
    fn run(&mut self, inputs: &Receiver<Input>) {
        while !(self.guest.is_over() && self.open.is_empty()) {
            let now = self.guest.now().instant;
            let sockets = self.open.values().filter_map(|open| open.socket.poll_timeout());
            let wake_up_at = sockets.chain([self.guest.poll_timeout(now)]).min().unwrap_or(now);
            let first = inputs.recv_timeout(wake_up_at.since(now)).ok();
            let now = self.guest.now();
            for input in first.into_iter().chain(inputs.try_iter().take(INPUTS)) {
                self.handle(now, input);
            }
            self.turn(now);
        }
    }

    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Accepted(stream) => {
                let strangers = self.open.values().filter(|open| open.socket.link().is_none());
                if strangers.count() < self.guest.grid.node().limits.unauthenticated {
                    let socket = Socket::accepted(&mut self.guest.grid, now.instant);
                    self.insert(stream, socket);
                }
            }
            Input::Dialled(peer, link, Ok(stream)) => {
                let socket = Socket::dialled(&mut self.guest.grid, now, &peer, link);
                self.insert(stream, socket);
            }
            Input::Dialled(peer, link, Err(error)) => {
                self.guest.grid.handle_dial_failed(now, &peer, link, error.into());
            }
            Input::Read(number, result) => {
                if let Some(open) = self.open.get_mut(&number) {
                    open.read(now, result, &mut self.guest);
                }
            }
            Input::Wrote(number, bytes) => {
                if let Some(open) = self.open.get_mut(&number) {
                    open.unwritten -= bytes;
                    open.socket.handle_written(now.instant, bytes);
                }
            }
        }
    }

    /// The application and the machines have their say, and what is to go out goes to the writers.
    fn turn(&mut self, now: Now) {
        for open in self.open.values_mut() {
            open.socket.drive(now, &mut self.guest.grid);
        }
        for (peer, order) in self.guest.turn(now) {
            self.carry_out(now.instant, peer, order);
        }
        for open in self.open.values_mut() {
            open.socket.drive(now, &mut self.guest.grid);
            open.write();
        }
        for (_, open) in self.open.extract_if(.., |_, open| open.socket.is_finished()) {
            // This wakes its threads.
            let _ = open.stream.shutdown(Shutdown::Both);
        }
    }

    fn carry_out(&mut self, now: Instant, peer: String, order: Order) {
        match order {
            Order::Obey(LinkCommand::Dial { link }) => {
                let (sender, within) = (self.sender.clone(), self.guest.grid.node().timings.dial);
                thread::spawn(move || {
                    let address = resolve(&peer);
                    let result = address.and_then(|at| TcpStream::connect_timeout(&at, within));
                    sender.send(Input::Dialled(peer, link, result))
                });
            }
            // A dial that is under way comes in all the same; its socket is finished at once.
            Order::Obey(LinkCommand::Close { link, how, .. }) => {
                if let Some(open) = self.find(&peer, link) {
                    open.socket.close(now, how);
                }
            }
            Order::Cut(link) => {
                if let Some(open) = self.find(&peer, link) {
                    let _ = open.stream.shutdown(Shutdown::Both);
                }
            }
            Order::Obey(other) => unreachable!("a command of a later version: {other:?}"),
        }
    }

    fn find(&mut self, peer: &str, link: LinkId) -> Option<&mut Open> {
        self.open.values_mut().find(|open| open.socket.link() == Some((peer, link)))
    }

    /// Starts the two threads of a connection. They end when it is shut down.
    fn insert(&mut self, stream: TcpStream, socket: Socket) {
        self.last_number += 1;
        let (number, inputs) = (self.last_number, self.sender.clone());
        let (writer, orders) = sync_channel(1);
        let _ = stream.set_nodelay(true);
        let (Ok(reads), Ok(writes)) = (stream.try_clone(), stream.try_clone()) else { return };
        let outputs = inputs.clone();
        thread::spawn(move || read(reads, number, &inputs));
        thread::spawn(move || write(writes, number, &orders, &outputs));
        self.open.insert(number, Open { stream, socket, writer, unwritten: 0 });
    }
}

impl Open {
    fn read(&mut self, now: Now, result: io::Result<Vec<u8>>, guest: &mut Guest) {
        match result {
            Err(error) => self.socket.handle_failure(error.into()),
            Ok(bytes) if bytes.is_empty() => self.socket.handle_eof(),
            Ok(bytes) => {
                let mut bytes = &bytes[..];
                while !bytes.is_empty() && self.socket.read_from(now.instant, &mut bytes) {
                    self.socket.drive(now, &mut guest.grid);
                }
            }
        }
    }

    /// Gives the writer what is to be written, if it is done with what it had.
    fn write(&mut self) {
        let bytes = self.socket.write_buf();
        if self.unwritten == 0 && !bytes.is_empty() {
            self.unwritten = bytes.len();
            let _ = self.writer.send(bytes.to_vec());
        }
    }
}

fn accept(listener: &TcpListener, inputs: &SyncSender<Input>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(inputs.send(Input::Accepted(stream))),
            // Out of descriptors, say: it may be better in a while.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn resolve(name: &str) -> io::Result<SocketAddr> {
    let target = dial_target(name).ok_or(ErrorKind::InvalidInput)?;
    target.to_socket_addrs()?.next().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

fn read(mut stream: TcpStream, number: u64, inputs: &SyncSender<Input>) {
    let (mut buf, mut more) = (vec![0; PIECE], true);
    while more {
        let result = stream.read(&mut buf).map(|len| buf[..len].to_vec());
        more = result.as_ref().is_ok_and(|bytes| !bytes.is_empty());
        more &= inputs.send(Input::Read(number, result)).is_ok();
    }
}

fn write(
    mut stream: TcpStream,
    number: u64,
    orders: &Receiver<Vec<u8>>,
    inputs: &SyncSender<Input>,
) {
    for bytes in orders {
        for piece in bytes.chunks(PIECE) {
            // A failure shows itself to the reader.
            if stream.write_all(piece).is_err() {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let _ = inputs.send(Input::Wrote(number, piece.len()));
        }
    }
}
