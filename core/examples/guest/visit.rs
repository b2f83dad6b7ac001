//! What the guest has of one peer: its links, and its echoes.

use std::time::Duration;

use bytes::Bytes;
use gridmux_core::event::LinkId;
use gridmux_core::link::LinkState;
use gridmux_core::mux::OutgoingKey;
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::Peer;
use gridmux_core::route::Unary;
use gridmux_core::time::Instant;

/// The cluster's echo route.
pub const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");

/// So large that a transport takes it piece by piece.
const ECHO_LEN: usize = 300_000;
const BETWEEN_ECHOES: Duration = Duration::from_secs(1);
const ECHO_WITHIN: Duration = Duration::from_secs(5);

/// How far we are with one peer.
#[derive(Default)]
pub struct Visit {
    pub connected: u32,
    pub asked: Option<OutgoingKey>,
    pub next_echo: Instant,
    /// Echoes over the first link and over later ones.
    pub echoes: [u32; 2],
    cut: Option<LinkId>,
    pub answered: u32,
}

impl Visit {
    /// The link has come or gone.
    pub fn note_link(&mut self, peer: &Peer) {
        let (name, is_open) = (peer.name(), peer.check_open().is_ok());
        match peer.last_failure() {
            _ if is_open && self.connected == 0 => println!("connected to {name}"),
            _ if is_open => println!("reconnected to {name}"),
            Some(reason) if peer.state() == LinkState::ConnectionError => {
                println!("no link to {name}: {reason}");
            }
            _ => {}
        }
        self.connected += u32::from(is_open);
    }

    /// Asks for an echo if it is time and there is a link.
    pub fn ask(&mut self, now: Instant, peer: &mut Peer) {
        if self.asked.is_some() || now < self.next_echo || peer.check_open().is_err() {
            return;
        }
        self.next_echo = now.after(BETWEEN_ECHOES);
        // A full queue, or a peer that is about to go: the next time, then.
        let (target, data) = (ECHO.info().target(), Data::Owned(payload()));
        self.asked = peer.request(now, target, data, Some(ECHO_WITHIN)).ok();
    }

    /// The call that was asked has ended. Gives the link that is to be cut, after the first echo.
    pub fn take_echo(&mut self, now: Instant, peer: &mut Peer) -> Option<LinkId> {
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

fn payload() -> Bytes {
    (0..ECHO_LEN).map(|at| at as u8).collect()
}
