//! A node on a loop of its own: blocking sockets on threads, and the machines of `gridmux-core`.
//!
//! One thread owns the machines and never waits for a socket. Each connection has a thread that
//! reads and one that writes, each dial has one, and so has the listener; they tell the owner what
//! happened through one bounded channel. A peer that sends faster than the owner works fills it,
//! its reader waits, and so does the peer. For how to run it see `mio_loop`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a loop has all of it")]

mod guest;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};

use crate::guest::{Guest, Order};

/// Inputs that wait for the owner at most, and bytes of one read or write at most.
const INPUTS: usize = 64;
const PIECE: usize = 32 * 1024;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (inputs, receiver) = sync_channel(INPUTS);
    let guest = Guest::from_args()?;
    let listener = TcpListener::bind(guest::address(&guest.grid.node().name)?)?;
    let accepted = inputs.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => drop(accepted.send(Input::Accepted(stream))),
                Err(_) => thread::sleep(Duration::from_millis(100)), // out of descriptors, say
            }
        }
    });
    let mut owner = Owner { guest, inputs, open: BTreeMap::new(), last_number: 0 };
    owner.run(&receiver);
    Ok(owner.guest.verdict())
}

/// What the threads tell the owner; the numbers are of connections.
enum Input {
    Accepted(TcpStream),
    Dialled(String, LinkId, io::Result<TcpStream>),
    /// No bytes are the end, whatever the reason.
    Read(u64, Vec<u8>),
    /// A piece is written: a connection of which none is for too long has failed.
    Wrote(u64, usize),
}

/// A transport, and the machine that knows what its bytes mean.
struct Open {
    stream: TcpStream,
    socket: Socket,
    /// Takes one piece at a time, and is busy until it has told of it.
    writer: SyncSender<Vec<u8>>,
    is_writing: bool,
}

struct Owner {
    guest: Guest,
    inputs: SyncSender<Input>,
    open: BTreeMap<u64, Open>,
    last_number: u64,
}

impl Owner {
    fn run(&mut self, inputs: &Receiver<Input>) {
        while !(self.guest.is_over() && self.open.is_empty()) {
            let now = self.guest.now().instant;
            let sockets = self.open.values().filter_map(|open| open.socket.poll_timeout());
            let wake_up_at = sockets.fold(self.guest.poll_timeout(now), Instant::min);
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
                let socket = Socket::accepted(&mut self.guest.grid, now.instant);
                self.insert(stream, socket);
            }
            Input::Dialled(peer, link, Ok(stream)) => {
                let socket = Socket::dialled(&mut self.guest.grid, now, &peer, link);
                self.insert(stream, socket);
            }
            Input::Dialled(peer, link, Err(error)) => {
                self.guest.grid.handle_dial_failed(now, &peer, link, error.into());
            }
            Input::Read(number, bytes) => {
                let Some(open) = self.open.get_mut(&number) else { return };
                let mut bytes = &bytes[..];
                // A slice is a reader too, and where it is empty is the end.
                while open.socket.read_from(now.instant, &mut bytes) && !bytes.is_empty() {
                    open.socket.drive(now, &mut self.guest.grid);
                }
            }
            Input::Wrote(number, bytes) => {
                let Some(open) = self.open.get_mut(&number) else { return };
                open.is_writing = false;
                open.socket.handle_written(now.instant, bytes);
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
            let bytes = open.socket.write_buf();
            if !open.is_writing && !bytes.is_empty() {
                let piece = bytes[..bytes.len().min(PIECE)].to_vec();
                open.is_writing = open.writer.send(piece).is_ok();
            }
        }
        for (_, open) in self.open.extract_if(.., |_, open| open.socket.is_finished()) {
            // This wakes its threads.
            let _ = open.stream.shutdown(Shutdown::Both);
        }
    }

    fn carry_out(&mut self, now: Instant, peer: String, order: Order) {
        match order {
            Order::Obey(LinkCommand::Dial { link }) => {
                let (inputs, within) = (self.inputs.clone(), self.guest.grid.node().timings.dial);
                thread::spawn(move || {
                    let address = guest::address(&peer);
                    let result = address.and_then(|at| TcpStream::connect_timeout(&at, within));
                    inputs.send(Input::Dialled(peer, link, result))
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

    /// Starts the two threads of a connection, which end when it is shut down. If too many have
    /// not proved who they are, it is closed.
    fn insert(&mut self, stream: TcpStream, socket: Socket) {
        let strangers = self.open.values().filter(|open| open.socket.link().is_none()).count();
        if socket.link().is_none() && strangers >= self.guest.grid.node().limits.unauthenticated {
            return;
        }
        let _ = stream.set_nodelay(true);
        let (Ok(mut from), Ok(mut to)) = (stream.try_clone(), stream.try_clone()) else { return };
        self.last_number += 1;
        let (number, inputs) = (self.last_number, self.inputs.clone());
        thread::spawn(move || {
            let (mut buf, mut len) = (vec![0; PIECE], PIECE);
            while len > 0 {
                len = from.read(&mut buf).unwrap_or(0);
                let _ = inputs.send(Input::Read(number, buf[..len].to_vec()));
            }
        });
        let inputs = self.inputs.clone();
        let (writer, pieces) = sync_channel::<Vec<u8>>(1);
        thread::spawn(move || {
            for piece in pieces {
                // Where this fails, the reader finds the end.
                let _ = to.write_all(&piece);
                let _ = inputs.send(Input::Wrote(number, piece.len()));
            }
        });
        self.open.insert(number, Open { stream, socket, writer, is_writing: false });
    }
}
