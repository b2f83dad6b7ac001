//! How two machines are joined.

use std::fmt::Debug;
use std::io::IoSlice;

use gridmux_core::connection::WRITE_BUFS;
use gridmux_core::event::LinkId;
use gridmux_core::grid::GridState;
use gridmux_core::link::check_connect;
use gridmux_core::outbox::Transmit;
use gridmux_core::peer::{Inbound, Peer};
use gridmux_core::socket::Socket;
use gridmux_core::time::Now;

use super::End;

/// One end of what joins two nodes.
pub trait Wire: Debug + Sized {
    /// Joins the node that dials, with the name of the other and the number of the link, to that
    /// other; the ends of both.
    fn connect(
        now: Now,
        dialler: (&mut GridState, &str, LinkId),
        acceptor: &mut GridState,
    ) -> (Self, Self);

    /// Hands over all that `from` has to send.
    fn transfer(now: Now, from: &mut End<Self>, to: &mut End<Self>);
}

/// Whole frames, as the machines make and take them: no WebSocket.
#[derive(Debug)]
pub struct Frames {
    link: LinkId,
    inbound: Inbound,
    /// Where a large message is encoded.
    scratch: Vec<u8>,
}

impl Frames {
    fn new(link: LinkId) -> Self {
        Self { link, inbound: Inbound::new(), scratch: Vec::new() }
    }
}

impl Wire for Frames {
    fn connect(
        now: Now,
        (dialler, other, link): (&mut GridState, &str, LinkId),
        acceptor: &mut GridState,
    ) -> (Self, Self) {
        let own = dialler.node().name.clone();
        let caller = dialler.peer_mut(other).expect("the nodes know each other");
        caller.handle_upgraded(now, link);
        let connect = take_frame(caller, now, link);
        let hello = check_connect(acceptor.node(), now, &connect, |name| name == &*own);
        let accepted =
            acceptor.handle_hello(now, &hello.expect("a Connect"), now.instant).expect("accepted");
        let callee = acceptor.peer_mut(&own).expect("the nodes know each other");
        let response = take_frame(callee, now, accepted);
        caller.handle_frame(now, link, &response);
        (Self::new(link), Self::new(accepted))
    }

    fn transfer(now: Now, from: &mut End<Self>, to: &mut End<Self>) {
        let max = to.grid.node().limits.message;
        let link = from.wire.link;
        while let Some(transmit) = from.peer().poll_transmit(now, link) {
            let inbound = &mut to.wire.inbound;
            match transmit {
                Transmit::Frame { buf, start, .. } => {
                    inbound.add_bytes((buf.len() - start) as u64);
                    inbound.add_slice(&buf[start..], max);
                    from.peer().recycle(buf);
                }
                Transmit::Large(large) => {
                    let scratch = &mut from.wire.scratch;
                    scratch.clear();
                    large.encode(scratch);
                    inbound.add_slice(scratch, max);
                }
            }
            let peer = to.grid.peer_mut(to.other).expect("the nodes know each other");
            peer.handle_inbound(now, to.wire.link, &mut to.wire.inbound);
        }
    }
}

fn take_frame(peer: &mut Peer, now: Now, link: LinkId) -> bytes::Bytes {
    match peer.poll_transmit(now, link) {
        Some(Transmit::Frame { buf, start, .. }) => bytes::Bytes::copy_from_slice(&buf[start..]),
        _ => panic!("a handshake message is due"),
    }
}

/// Bytes through a [`Socket`] at each end, WebSocket and masks included. One copy stands for the
/// two that a kernel makes.
#[derive(Debug)]
pub struct Bytes(Socket);

impl Wire for Bytes {
    fn connect(
        now: Now,
        (dialler, other, link): (&mut GridState, &str, LinkId),
        acceptor: &mut GridState,
    ) -> (Self, Self) {
        let mut dialled = Socket::dialled(dialler, now, other, link);
        let mut accepted = Socket::accepted(acceptor, now.instant, None);
        // Upgrade, Connect, and the answers to them.
        for _ in 0..2 {
            hand_over(now, (&mut dialled, dialler), (&mut accepted, acceptor));
            hand_over(now, (&mut accepted, acceptor), (&mut dialled, dialler));
        }
        (Self(dialled), Self(accepted))
    }

    fn transfer(now: Now, from: &mut End<Self>, to: &mut End<Self>) {
        let sender = (&mut from.wire.0, &mut from.grid);
        hand_over(now, sender, (&mut to.wire.0, &mut to.grid));
    }
}

/// One end of a connection and its node.
type Side<'a> = (&'a mut Socket, &'a mut GridState);

fn hand_over(now: Now, (from, from_grid): Side<'_>, (to, to_grid): Side<'_>) {
    loop {
        from.drive(now, from_grid);
        let mut bufs = [IoSlice::new(&[]); WRITE_BUFS];
        let count = from.write_bufs(&mut bufs);
        if count == 0 {
            return;
        }
        let room = to.read_buf();
        let mut len = 0;
        for buf in &bufs[..count] {
            let part = buf.len().min(room.capacity() - room.len());
            room.extend_from_slice(&buf[..part]);
            len += part;
        }
        to.handle_read(now.instant, len);
        to.drive(now, to_grid);
        from.handle_written(now.instant, len);
    }
}
