//! The link itself: PROTOCOL.md section 4, as a table, and the pings.

use crate::monitor::decode::{Body, Message, Op, Role, Time};

/// What one side is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the Connect.
    New,
    /// The Connect is sent, or delivered.
    Asked,
    Up,
    Refused,
    /// It has sent a WebSocket close frame.
    Closed,
}

/// What moves a side on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    SendConnect,
    SendAccepted,
    SendRefused,
    SendOther,
    GotConnect,
    GotAccepted,
    GotRefused,
    SendClose,
}

type Cell = Result<Phase, &'static str>;

const EARLY: Cell = Err("message before the link is open");
const SECOND: Cell = Err("second Connect");
const WRONG_SIDE: Cell = Err("handshake message of the other side");
const REFUSED: Cell = Err("message after the refusal");
const CLOSED: Cell = Err("message after the close frame");

#[rustfmt::skip]
static DIALLER: [[Cell; 8]; 5] = {
    use Phase::{Asked, Closed, New, Refused, Up};
    [
        //             Connect    accepted    refused     other    got Connect  got accepted got refused  close
        /* New */     [Ok(Asked), WRONG_SIDE, WRONG_SIDE, EARLY,   Ok(New),     Ok(New),     Ok(New),     Ok(Closed)],
        /* Asked */   [SECOND,    WRONG_SIDE, WRONG_SIDE, EARLY,   Ok(Asked),   Ok(Up),      Ok(Refused), Ok(Closed)],
        /* Up */      [SECOND,    WRONG_SIDE, WRONG_SIDE, Ok(Up),  Ok(Up),      Ok(Up),      Ok(Up),      Ok(Closed)],
        /* Refused */ [REFUSED,   REFUSED,    REFUSED,    REFUSED, Ok(Refused), Ok(Refused), Ok(Refused), Ok(Closed)],
        /* Closed */  [CLOSED,    CLOSED,     CLOSED,     CLOSED,  Ok(Closed),  Ok(Closed),  Ok(Closed),  Ok(Closed)],
    ]
};

#[rustfmt::skip]
static ACCEPTOR: [[Cell; 8]; 5] = {
    use Phase::{Asked, Closed, New, Refused, Up};
    [
        // Whatever the first message was, it is refused with a reason.
        /* New */     [WRONG_SIDE, EARLY,   Ok(Refused), EARLY,   Ok(Asked),   Ok(New),     Ok(New),     Ok(Closed)],
        /* Asked */   [WRONG_SIDE, Ok(Up),  Ok(Refused), EARLY,   Ok(Asked),   Ok(Asked),   Ok(Asked),   Ok(Closed)],
        /* Up */      [WRONG_SIDE, SECOND,  SECOND,      Ok(Up),  Ok(Up),      Ok(Up),      Ok(Up),      Ok(Closed)],
        /* Refused */ [REFUSED,    REFUSED, REFUSED,     REFUSED, Ok(Refused), Ok(Refused), Ok(Refused), Ok(Closed)],
        /* Closed */  [CLOSED,     CLOSED,  CLOSED,      CLOSED,  Ok(Closed),  Ok(Closed),  Ok(Closed),  Ok(Closed)],
    ]
};

/// A link ping that has been delivered and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ping {
    time: Time,
    /// Sequence number, deadline and handler: the pong copies them.
    header: (u32, u32, u8),
}

/// One side of a link.
#[derive(Debug)]
pub(in crate::monitor) struct LinkEnd {
    role: Role,
    phase: Phase,
    pings: Vec<Ping>,
    /// It has sent Disconnect.
    leaving: bool,
    /// The other side has, and that is delivered.
    peer_leaves: bool,
    /// Either is so, and what was queued by then has left.
    no_calls: bool,
}

impl LinkEnd {
    pub(in crate::monitor) const fn new(role: Role) -> Self {
        let (leaving, peer_leaves, no_calls) = (false, false, false);
        Self { role, phase: Phase::New, pings: Vec::new(), leaving, peer_leaves, no_calls }
    }

    fn step(&mut self, event: Event) -> Result<(), &'static str> {
        let table = match self.role {
            Role::Dialler => &DIALLER,
            Role::Acceptor => &ACCEPTOR,
        };
        self.phase = table[self.phase as usize][event as usize]?;
        Ok(())
    }

    /// It sends a message, of the link or of a mux.
    pub(in crate::monitor) fn on_sent(&mut self, message: &Message) -> Result<(), &'static str> {
        self.step(match (message.op, accepted(message)) {
            (Op::Connect, _) => Event::SendConnect,
            (Op::ConnectResponse, true) => Event::SendAccepted,
            (Op::ConnectResponse, false) => Event::SendRefused,
            _ => Event::SendOther,
        })?;
        match message.op {
            Op::Disconnect if std::mem::replace(&mut self.leaving, true) => {
                Err("second Disconnect")
            }
            Op::Request | Op::ConnectMux if self.no_calls => Err("call after the Disconnect"),
            Op::Pong if message.mux == 0 => self.answer(message),
            _ => Ok(()),
        }
    }

    /// Only the newest of several pings is answered.
    fn answer(&mut self, message: &Message) -> Result<(), &'static str> {
        let Some(Body::Pong { time, .. }) = message.body.as_deref() else { return Ok(()) };
        // Pings without a time differ by their headers alone.
        let same = |ping: &Ping| ping.time == *time && ping.header == header(message);
        let exact = self.pings.iter().position(same);
        let found = exact.or_else(|| self.pings.iter().position(|ping| ping.time == *time));
        let Some(at) = found else {
            return Err("pong without a ping");
        };
        let answered = self.pings.drain(..=at).next_back();
        match answered {
            Some(ping) if ping.header != header(message) => {
                Err("pong that does not copy the ping's header")
            }
            _ => Ok(()),
        }
    }

    pub(in crate::monitor) fn on_close_frame(&mut self) {
        let closed = self.step(Event::SendClose);
        debug_assert!(closed.is_ok(), "a close frame may come at any time");
    }

    /// A message of the other side arrives.
    pub(in crate::monitor) fn on_delivered(&mut self, message: &Message) {
        let event = match message.op {
            Op::Connect => Event::GotConnect,
            Op::ConnectResponse if accepted(message) => Event::GotAccepted,
            Op::ConnectResponse => Event::GotRefused,
            Op::Disconnect => return self.peer_leaves = true,
            Op::Ping if message.mux == 0 => {
                let time = match message.body.as_deref() {
                    Some(Body::Ping { time }) => *time,
                    _ => Time::ZERO,
                };
                return self.pings.push(Ping { time, header: header(message) });
            }
            _ => return,
        };
        let moved = self.step(event);
        debug_assert!(moved.is_ok(), "an arrival is nobody's fault here");
    }

    /// All that it had queued has left.
    pub(in crate::monitor) fn on_flushed(&mut self) {
        self.no_calls |= self.leaving || self.peer_leaves;
    }

    /// It has said that it takes no more calls.
    pub(in crate::monitor) const fn is_leaving(&self) -> bool {
        self.leaving
    }
}

const fn header(message: &Message) -> (u32, u32, u8) {
    (message.seq, message.deadline_ms, message.handler)
}

fn accepted(message: &Message) -> bool {
    matches!(message.body.as_deref(), Some(Body::ConnectResponse { accepted: true, .. }))
}
