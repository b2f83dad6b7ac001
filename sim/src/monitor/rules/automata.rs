//! Who may send what when on one mux: PROTOCOL.md section 5, as tables.
//!
//! Each end has a state of its own. It moves with what the end sends, and with what has been
//! delivered to it. *Sealed* means: the end of the mux has been delivered, and all that the node
//! had queued by then has left.

use crate::monitor::decode::{Body, Message, Op, flag};

/// What a caller does after the opening message, and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum CallerEvent {
    Item,
    Eof,
    Grant,
    Ping,
    Cancel,
    Acked,
    Sealed,
}

/// What a caller is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum CallerState {
    /// Input open, no ack.
    Opened,
    Acked,
    /// Input closed, no ack.
    Closed,
    ClosedAcked,
    /// It has cancelled.
    Cancelled,
    /// It knows that the callee has ended it.
    Told,
}

/// What a callee does, and what happens to it. Pongs stand beside it: they overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum CalleeEvent {
    Ack,
    Item,
    Final,
    Grant,
    Refuse,
    Abort,
    Respond,
    Sealed,
}

/// What a callee is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum CalleeState {
    /// Nothing sent.
    Fresh,
    Serving,
    /// The final message is sent; DisconnectClientMux has to follow.
    Final,
    Over,
    /// It knows that the caller has cancelled.
    Told,
}

type CallerCell = Result<CallerState, &'static str>;
type CalleeCell = Result<CalleeState, &'static str>;

const EARLY_ITEM: CallerCell = Err("item before the ack");
const EARLY_GRANT: CallerCell = Err("credit before the ack");
const INPUT_OVER: CallerCell = Err("item after the end of the input");
const SECOND_EOF: CallerCell = Err("second end of the input");
const CANCELLED: CallerCell = Err("message after the cancel");
const TOLD: CallerCell = Err("message after the end was known");
const NO_STREAM: CallerCell = Err("message of a stream on a request");

#[rustfmt::skip]
static STREAM_CALLER: [[CallerCell; 7]; 6] = {
    use CallerState::{Acked, Cancelled, Closed, ClosedAcked, Opened, Told};
    [
        //             item         EOF              credit           ping             cancel         ack              sealed
        /* Opened */ [EARLY_ITEM,  Ok(Closed),      EARLY_GRANT,     Ok(Opened),      Ok(Cancelled), Ok(Acked),       Ok(Told)],
        /* Acked */  [Ok(Acked),   Ok(ClosedAcked), Ok(Acked),       Ok(Acked),       Ok(Cancelled), Ok(Acked),       Ok(Told)],
        /* Closed */ [INPUT_OVER,  SECOND_EOF,      EARLY_GRANT,     Ok(Closed),      Ok(Cancelled), Ok(ClosedAcked), Ok(Told)],
        /* both */   [INPUT_OVER,  SECOND_EOF,      Ok(ClosedAcked), Ok(ClosedAcked), Ok(Cancelled), Ok(ClosedAcked), Ok(Told)],
        /* Canc. */  [CANCELLED,   CANCELLED,       CANCELLED,       CANCELLED,       CANCELLED,     Ok(Cancelled),   Ok(Cancelled)],
        /* Told */   [TOLD,        TOLD,            TOLD,            TOLD,            TOLD,          Ok(Told),        Ok(Told)],
    ]
};

#[rustfmt::skip]
static REQUEST_CALLER: [[CallerCell; 7]; 6] = {
    use CallerState::{Cancelled, Opened, Told};
    const NEVER: [CallerCell; 7] = [NO_STREAM; 7];
    [
        [NO_STREAM, NO_STREAM, NO_STREAM, NO_STREAM, Ok(Cancelled), Ok(Opened), Ok(Told)],
        NEVER,
        NEVER,
        NEVER,
        [CANCELLED, CANCELLED, CANCELLED, CANCELLED, CANCELLED, Ok(Cancelled), Ok(Cancelled)],
        [TOLD, TOLD, TOLD, TOLD, TOLD, Ok(Told), Ok(Told)],
    ]
};

const NO_ACK: CalleeCell = Err("message before the ack");
const SECOND_ACK: CalleeCell = Err("second ack");
const LATE_REFUSAL: CalleeCell = Err("refusal after the ack");
const NO_REQUEST: CalleeCell = Err("response on a stream");
const AFTER_FINAL: CalleeCell = Err("message after the final one");
const OVER: CalleeCell = Err("message after the disconnect");
const CALLEE_TOLD: CalleeCell = Err("message after the cancel was known");
const NOT_ON_REQUEST: CalleeCell = Err("message of a stream on a request");
const SECOND_RESPONSE: CalleeCell = Err("second answer to a request");

#[rustfmt::skip]
static STREAM_CALLEE: [[CalleeCell; 8]; 5] = {
    use CalleeState::{Final, Over, Serving, Told};
    [
        //              ack          item         final        credit       refusal       disconnect  response     sealed
        /* Fresh */   [Ok(Serving), NO_ACK,      NO_ACK,      NO_ACK,      Ok(Over),     NO_ACK,     NO_REQUEST,  Ok(Told)],
        /* Serving */ [SECOND_ACK,  Ok(Serving), Ok(Final),   Ok(Serving), LATE_REFUSAL, Ok(Over),   NO_REQUEST,  Ok(Told)],
        /* Final */   [AFTER_FINAL, AFTER_FINAL, AFTER_FINAL, AFTER_FINAL, AFTER_FINAL,  Ok(Over),   AFTER_FINAL, Ok(Told)],
        /* Over */    [OVER,        OVER,        OVER,        OVER,        OVER,         OVER,       OVER,        Ok(Told)],
        /* Told */    [CALLEE_TOLD, CALLEE_TOLD, CALLEE_TOLD, CALLEE_TOLD, CALLEE_TOLD,  CALLEE_TOLD, CALLEE_TOLD, Ok(Told)],
    ]
};

#[rustfmt::skip]
static REQUEST_CALLEE: [[CalleeCell; 8]; 5] = {
    use CalleeState::{Over, Told};
    const N: CalleeCell = NOT_ON_REQUEST;
    const S: CalleeCell = SECOND_RESPONSE;
    [
        [N, N, N, N, Ok(Over), N, Ok(Over), Ok(Told)],
        [N; 8],
        [N; 8],
        [N, N, N, N, S, N, S, Ok(Told)],
        [N, N, N, N, CALLEE_TOLD, N, CALLEE_TOLD, Ok(Told)],
    ]
};

impl CallerState {
    pub(in crate::monitor) fn next(self, is_stream: bool, event: CallerEvent) -> CallerCell {
        let table = if is_stream { &STREAM_CALLER } else { &REQUEST_CALLER };
        table[self as usize][event as usize]
    }

    /// It sends nothing any more.
    pub(in crate::monitor) const fn is_done(self) -> bool {
        matches!(self, Self::Cancelled | Self::Told)
    }
}

impl CalleeState {
    pub(in crate::monitor) fn next(self, is_stream: bool, event: CalleeEvent) -> CalleeCell {
        let table = if is_stream { &STREAM_CALLEE } else { &REQUEST_CALLEE };
        table[self as usize][event as usize]
    }

    /// The mux is not alive at the callee any more.
    pub(in crate::monitor) const fn is_done(self) -> bool {
        matches!(self, Self::Final | Self::Over | Self::Told)
    }
}

/// What a message is to the mux that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum Event {
    /// About the link, or nothing that the protocol knows.
    Link,
    Open,
    Caller(CallerEvent),
    Callee(CalleeEvent),
    Pong {
        not_found: bool,
        is_error: bool,
    },
}

impl Event {
    pub(in crate::monitor) fn of(message: &Message) -> Self {
        let is_end = message.has(flag::EOF | flag::ERR);
        match message.op {
            Op::Ping | Op::Pong if message.mux == 0 => Self::Link,
            Op::Request | Op::ConnectMux => Self::Open,
            Op::MuxClientMsg if message.has(flag::EOF) => Self::Caller(CallerEvent::Eof),
            Op::MuxClientMsg => Self::Caller(CallerEvent::Item),
            Op::UnblockSrvMux => Self::Caller(CallerEvent::Grant),
            Op::Ping => Self::Caller(CallerEvent::Ping),
            Op::DisconnectServerMux => Self::Caller(CallerEvent::Cancel),
            Op::AckMux => Self::Callee(CalleeEvent::Ack),
            Op::MuxServerMsg if is_end => Self::Callee(CalleeEvent::Final),
            Op::MuxServerMsg => Self::Callee(CalleeEvent::Item),
            Op::UnblockClMux => Self::Callee(CalleeEvent::Grant),
            Op::MuxConnectError => Self::Callee(CalleeEvent::Refuse),
            Op::DisconnectClientMux => Self::Callee(CalleeEvent::Abort),
            Op::Response => Self::Callee(CalleeEvent::Respond),
            Op::Pong => match message.body.as_deref() {
                Some(Body::Pong { not_found, error, .. }) => {
                    Self::Pong { not_found: *not_found, is_error: error.is_some() }
                }
                _ => Self::Pong { not_found: false, is_error: false },
            },
            Op::Connect | Op::ConnectResponse | Op::Disconnect | Op::Merged | Op::Unknown(_) => {
                Self::Link
            }
        }
    }
}
