//! Well-formed messages that break the rules, and some that are not well-formed (PROTOCOL.md
//! sections 2 and 5).

use gridmux_core::wire::{Flags, Header, Op};

use super::deed::Task;
use super::voice::{Known, NOBODYS, Voice};

/// Handlers of the scripted applications: see `app/routes.rs`.
pub(super) const ECHO: u8 = 10;
const TALK: u8 = 25;
const NO_INPUT: u8 = 29;
/// Nobody has used this id.
const UNKNOWN: u64 = 0x77_0000;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// Input for a mux that is not there.
    UnknownInput,
    /// A credit for a mux that is not there.
    UnknownCredit,
    /// A callee's messages for muxes that the victim never issued.
    UnknownOutput,
    /// A mux ping for a mux that is not there.
    UnknownPing,
    /// A cancel of a mux that is not there.
    UnknownCancel,
    /// A callee's end for ids that are small, as a Go node sends it (7.1).
    WrongDirection,
    /// More input than capacity.
    OverCapacity,
    /// The same ConnectMux again.
    SecondConnect,
    /// The same Request again.
    SecondRequest,
    /// A stream of the victim ends twice, and goes on.
    SecondEnd,
    /// A request of the victim is answered twice.
    SecondResponse,
    /// A stream is open twice.
    SecondAck,
    /// A Response to a stream.
    ResponseToStream,
    /// Items without a payload (L25).
    NilItems,
    /// An item of a victim's stream is out of sequence.
    OutputOutOfSequence,
    /// More items than the victim has given credits for.
    OutputOverCapacity,
    /// Credits for a victim's stream that it has not earned.
    SurplusCredits,
    /// The same for a stream of its own, whose items it was not sent.
    SurplusGrants,
    /// A stream without state.
    Stateless,
    /// Input out of sequence.
    InputOutOfSequence,
    /// A mux ping out of sequence.
    PingOutOfSequence,
    /// Input after its end.
    InputAfterEnd,
    /// Input of a stream that takes none.
    InputToNoInput,
    /// A stream is cancelled, and more is said about it.
    AfterCancel,
    /// A stream that begins with another number than 0.
    ConnectAtSeq,
    /// A Request with mux 0.
    MuxZero,
    /// Handlers that there cannot be.
    BadHandler,
    /// Ops that there are not.
    UnknownOps,
    /// Connect on a link that is up.
    SecondHello,
    /// Pongs that nobody has asked for.
    UnaskedPong,
    /// A text message.
    Text,
    /// Very many pings at once.
    ManyPings,
    /// A frame that claims far more bytes than may come.
    HugeFrame,
    /// A payload that claims far more bytes than there are.
    HugePayload,
    /// A checksum that is wrong.
    BadChecksum,
    /// No message at all.
    Garbage,
    /// Zero bytes.
    Empty,
}

impl Rule {
    pub(super) const ALL: [Self; 37] = [
        Self::UnknownInput,
        Self::UnknownCredit,
        Self::UnknownOutput,
        Self::UnknownPing,
        Self::UnknownCancel,
        Self::WrongDirection,
        Self::OverCapacity,
        Self::SecondConnect,
        Self::SecondRequest,
        Self::SecondEnd,
        Self::SecondResponse,
        Self::SecondAck,
        Self::ResponseToStream,
        Self::NilItems,
        Self::OutputOutOfSequence,
        Self::OutputOverCapacity,
        Self::SurplusCredits,
        Self::SurplusGrants,
        Self::Stateless,
        Self::InputOutOfSequence,
        Self::PingOutOfSequence,
        Self::InputAfterEnd,
        Self::InputToNoInput,
        Self::AfterCancel,
        Self::ConnectAtSeq,
        Self::MuxZero,
        Self::BadHandler,
        Self::UnknownOps,
        Self::SecondHello,
        Self::UnaskedPong,
        Self::Text,
        Self::ManyPings,
        Self::HugeFrame,
        Self::HugePayload,
        Self::BadChecksum,
        Self::Garbage,
        Self::Empty,
    ];

    /// Whether it needs a stream or a request of the victim.
    const fn needs(self) -> (bool, bool) {
        let stream = matches!(
            self,
            Self::SecondEnd
                | Self::SecondAck
                | Self::ResponseToStream
                | Self::NilItems
                | Self::OutputOutOfSequence
                | Self::OutputOverCapacity
                | Self::SurplusCredits
        );
        (stream, matches!(self, Self::SecondResponse))
    }

    /// Whether it concerns a call of the victim.
    #[cfg(test)]
    pub(super) fn is_callees(self) -> bool {
        self.needs() != (false, false)
    }

    /// Breaks it; `false` if that has to wait for a call of the victim.
    pub(super) fn broken_by(self, voice: &mut Voice<'_>, task: &Task) -> bool {
        match (self.needs(), voice.stream, voice.request) {
            ((true, _), Some(stream), _) => self.break_as_callee(voice, stream),
            ((_, true), _, Some(request)) => respond_twice(voice, request),
            ((false, false), ..) => {
                if !self.break_as_caller(voice, task) {
                    self.break_anything(voice, task);
                }
            }
            _ => return false,
        }
        true
    }

    fn break_as_callee(self, voice: &mut Voice<'_>, stream: Known) {
        let Known { id, seq } = stream;
        voice.stream = None;
        match self {
            Self::SecondAck => {
                voice.mutter(Op::AckMux, id, seq - 1);
                voice.mutter(Op::AckMux, id, seq);
            }
            Self::ResponseToStream => {
                let flags = Flags::EOF;
                voice.say(Header { mux: id, flags, ..Header::new(Op::Response) }, &NOBODYS);
                voice.mutter(Op::DisconnectClientMux, id, 0);
            }
            Self::NilItems => {
                voice.mutter(Op::MuxServerMsg, id, seq);
                voice.mutter(Op::MuxServerMsg, id, seq + 1);
                end(voice, id, seq + 2);
            }
            Self::OutputOutOfSequence => {
                let header = Header { mux: id, seq: seq + 7, ..Header::new(Op::MuxServerMsg) };
                voice.say(header, b"too soon");
            }
            Self::OutputOverCapacity => {
                for n in 0..100 {
                    let header = Header { mux: id, seq: seq + n, ..Header::new(Op::MuxServerMsg) };
                    voice.say(header, b"one more");
                }
            }
            Self::SurplusCredits => {
                for n in 0..100 {
                    voice.mutter(Op::UnblockClMux, id, seq + n);
                }
            }
            _ => {
                end(voice, id, seq);
                end(voice, id, seq + 1);
                let header = Header { mux: id, seq: seq + 2, ..Header::new(Op::MuxServerMsg) };
                voice.say(header, b"after the end");
                voice.mutter(Op::UnblockClMux, id, seq + 3);
                voice.mutter(Op::DisconnectClientMux, id, 0);
                voice.mutter(Op::DisconnectClientMux, id, 0);
            }
        }
    }

    /// Whether it was one of those that concern a stream or a call of its own.
    fn break_as_caller(self, voice: &mut Voice<'_>, task: &Task) -> bool {
        match self {
            Self::OverCapacity => {
                let Known { id, seq } = served(voice);
                (0..80).for_each(|n| item(voice, id, seq + n));
            }
            Self::SecondConnect => {
                let mux = voice.open(TALK, Flags::empty());
                voice.say(connect(mux), &NOBODYS);
            }
            Self::SecondRequest => {
                let mux = voice.fresh();
                voice.say(request(mux), &NOBODYS);
                voice.say(request(mux), &NOBODYS);
            }
            Self::Stateless => {
                voice.open(TALK, Flags::STATELESS);
            }
            Self::SurplusGrants => {
                let Known { id, seq } = served(voice);
                (0..20).for_each(|n| voice.mutter(Op::UnblockSrvMux, id, seq + n));
            }
            Self::InputOutOfSequence => {
                let Known { id, seq } = served(voice);
                item(voice, id, seq + 3 + u32::try_from(task.pick(1, 9)).unwrap_or(0));
                item(voice, id, seq + 1);
            }
            Self::PingOutOfSequence => {
                let Known { id, seq } = served(voice);
                voice.mutter(Op::Ping, id, seq + 5);
            }
            Self::InputAfterEnd => {
                let Known { id, seq } = served(voice);
                let flags = Flags::EOF;
                let eof = Header { mux: id, seq, flags, ..Header::new(Op::MuxClientMsg) };
                voice.say(eof, &[]);
                item(voice, id, seq + 1);
            }
            Self::InputToNoInput => {
                let mux = voice.open(NO_INPUT, Flags::empty());
                item(voice, mux, 1);
            }
            Self::AfterCancel => {
                let Known { id, seq } = served(voice);
                voice.mutter(Op::DisconnectServerMux, id, 0);
                voice.mutter(Op::DisconnectServerMux, id, seq);
                item(voice, id, seq);
                voice.mutter(Op::UnblockSrvMux, id, seq + 1);
                voice.mutter(Op::Ping, id, seq + 2);
            }
            Self::ConnectAtSeq => {
                let mux = voice.fresh();
                let seq = u32::try_from(task.pick(1, 1 << 32)).unwrap_or(0);
                voice.say(Header { seq, ..connect(mux) }, &NOBODYS);
                item(voice, mux, seq.wrapping_add(1));
            }
            _ => return false,
        }
        true
    }

    fn break_anything(self, voice: &mut Voice<'_>, task: &Task) {
        let unknown = UNKNOWN + task.pick(1, 1 << 16);
        match self {
            Self::UnknownInput => item(voice, unknown, 1),
            Self::UnknownCredit => {
                voice.mutter(Op::UnblockSrvMux, unknown, 1);
                voice.mutter(Op::UnblockClMux, unknown, 1);
            }
            Self::UnknownPing => voice.mutter(Op::Ping, unknown, 1),
            Self::UnknownCancel => {
                voice.mutter(Op::DisconnectServerMux, unknown, 0);
                voice.mutter(Op::DisconnectClientMux, unknown, 0);
                voice.mutter(Op::MuxConnectError, unknown, 0);
            }
            Self::WrongDirection => {
                (1..20).for_each(|id| voice.mutter(Op::DisconnectClientMux, id, 0));
            }
            Self::UnknownOutput => {
                let op = [Op::AckMux, Op::MuxServerMsg, Op::Pong][task.pick(2, 3) as usize];
                voice.say(Header { mux: unknown, seq: 1, ..Header::new(op) }, b"\x80");
            }
            Self::MuxZero => voice.say(request(0), &NOBODYS),
            Self::BadHandler => {
                for handler in [0, 200] {
                    let mux = voice.fresh();
                    voice.say(Header { handler, ..request(mux) }, &NOBODYS);
                }
            }
            Self::UnknownOps => {
                for op in [0, 18, 40, 255] {
                    voice.mutter(Op::from_u8(op), unknown, 0);
                }
            }
            Self::SecondHello => voice.mutter(Op::Connect, 0, 0),
            Self::UnaskedPong => voice.mutter(Op::Pong, 0, 0),
            Self::ManyPings => (0..300).for_each(|n| voice.mutter(Op::Ping, 0, n)),
            _ => self.break_bytes(voice),
        }
    }

    /// What is no message.
    fn break_bytes(self, voice: &mut Voice<'_>) {
        match self {
            Self::Text => voice.line.push_frame(0x1, b"a text", None),
            Self::HugeFrame => voice.line.push_frame(0x2, b"a little", Some(1 << 40)),
            Self::HugePayload => {
                let claims = [0x97, 1, 0, 0, ECHO, 14, 2, 0xc6, 0xff, 0xff, 0xff, 0xff];
                voice.line.push(&claims);
            }
            Self::BadChecksum => {
                let flags = Flags::CRC;
                let header = Header { flags, ..request(1) };
                let mut bytes = voice.write(header, &NOBODYS);
                if let Some(last) = bytes.last_mut() {
                    *last ^= 0x40;
                }
                voice.line.push(&bytes);
            }
            Self::Empty => voice.line.push(&[]),
            _ => voice.line.push(b"\xc1 this is no message"),
        }
    }
}

const fn request(mux: u64) -> Header {
    Header { mux, handler: ECHO, flags: Flags::EOF, ..Header::new(Op::Request) }
}

const fn connect(mux: u64) -> Header {
    Header { mux, handler: TALK, ..Header::new(Op::ConnectMux) }
}

fn item(voice: &mut Voice<'_>, mux: u64, seq: u32) {
    voice.say(Header { mux, seq, ..Header::new(Op::MuxClientMsg) }, b"an item");
}

fn end(voice: &mut Voice<'_>, mux: u64, seq: u32) {
    let flags = Flags::EOF;
    voice.say(Header { mux, seq, flags, ..Header::new(Op::MuxServerMsg) }, &[]);
}

fn respond_twice(voice: &mut Voice<'_>, request: Known) {
    let Known { id, seq } = request;
    voice.request = None;
    for _ in 0..2 {
        let flags = Flags::EOF;
        voice.say(Header { mux: id, seq, flags, ..Header::new(Op::Response) }, b"an answer");
    }
}

/// A stream of its own that a handler serves, or one that none will serve.
fn served(voice: &mut Voice<'_>) -> Known {
    match voice.served.take() {
        Some(known) => known,
        None => Known { id: voice.open(TALK, Flags::empty()), seq: 1 },
    }
}
