//! A link of a hostile peer that is up: it hears what its victim says, and breaks the rules.

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::Poll;
use std::time::Duration;

use gridmux_core::driver::runtime::Clock as _;
use gridmux_core::wire::{Flags, Header, MessageRef, Op, Ping, Pong, SubrouteId, for_each_message};

use super::Calls;
use super::deed::{Deed, Plan, Task};
use crate::keyed::mix;
use crate::peers::here::Here;
use crate::peers::line::Line;
use crate::peers::say;

/// How often it looks for what its script has it call.
const LOOK: Duration = Duration::from_millis(100);
/// Ids of its own begin here.
const OWN: u64 = 0x1000;
/// One of so many messages travels in fragments, which is legal (PROTOCOL.md section 1).
const FRAGMENTED: u64 = 4;
/// No number of a call begins so.
pub(super) const NOBODYS: [u8; 16] = [0xff; 16];

/// A call of the script.
pub(super) struct Asked {
    pub(super) handler: u8,
    pub(super) subroute: Option<SubrouteId>,
    pub(super) request: Vec<u8>,
    pub(super) is_stream: bool,
}

/// A mux that is or was live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: u64,
    /// The number of what is sent on it next.
    pub(super) seq: u32,
}

/// One link that is up.
pub(super) struct Voice<'a> {
    here: &'a Here,
    pub(super) line: Line,
    issued: u64,
    /// A stream of ours that a handler of the victim serves.
    pub(super) served: Option<Known>,
    /// The victim's newest stream, and its newest request.
    pub(super) stream: Option<Known>,
    pub(super) request: Option<Known>,
    /// Deeds that wait for a mux of the victim.
    waiting: Vec<Task>,
}

/// Talks on a connection until it is over.
pub(super) async fn talk(here: &Here, victim: usize, line: Line, plan: &Plan, asked: &Calls) {
    here.sees_link(victim, true);
    let mut voice = Voice {
        here,
        line,
        issued: OWN,
        served: None,
        stream: None,
        request: None,
        waiting: Vec::new(),
    };
    let mut next = plan.next_said();
    let mut timer = here.runtime.timer();
    let mut due = here.runtime.instant().after(next.as_ref().map_or(LOOK, |task| task.wait));
    poll_fn(|cx| {
        loop {
            match voice.line.poll_receive(cx) {
                Poll::Ready(Some(frame)) => voice.hear(&frame),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        while timer.poll_until(due, cx).is_ready() {
            if let Some(asked) = take_asked(asked, victim) {
                voice.ask(&asked);
            }
            if let Some(task) = next.take() {
                voice.act(task);
                next = plan.next_said();
            }
            due = here.runtime.instant().after(next.as_ref().map_or(LOOK, |task| task.wait));
        }
        match voice.line.poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await;
    here.sees_link(victim, false);
}

fn take_asked(calls: &Calls, victim: usize) -> Option<Asked> {
    calls.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&victim)?.pop_front()
}

impl Voice<'_> {
    // ---- saying ----

    /// A message's bytes, with the flags of the link.
    pub(super) fn write(&self, mut header: Header, payload: &[u8]) -> Vec<u8> {
        header.flags |= say::base(self.here.crc);
        say::encode(header, None, payload)
    }

    pub(super) fn say(&mut self, header: Header, payload: &[u8]) {
        let (mux, seq) = (header.mux, header.seq);
        let bytes = self.write(header, payload);
        match mix(mux ^ u64::from(seq)).is_multiple_of(FRAGMENTED) {
            true => self.line.push_in_fragments(&bytes),
            false => self.line.push(&bytes),
        }
    }

    /// Something without a payload.
    pub(super) fn mutter(&mut self, op: Op, mux: u64, seq: u32) {
        self.say(Header { mux, seq, ..Header::new(op) }, &[]);
    }

    /// An id that was not used on this link.
    pub(super) const fn fresh(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// Opens a stream of this handler, for a call that nobody has made; its id.
    pub(super) fn open(&mut self, handler: u8, flags: Flags) -> u64 {
        let mux = self.fresh();
        self.say(Header { mux, handler, flags, ..Header::new(Op::ConnectMux) }, &NOBODYS);
        mux
    }

    /// Makes a call of the script.
    fn ask(&mut self, asked: &Asked) {
        let mux = self.fresh();
        let op = if asked.is_stream { Op::ConnectMux } else { Op::Request };
        let mut flags = say::base(self.here.crc);
        flags.set(Flags::EOF, !asked.is_stream);
        flags.set(Flags::SUBROUTE, asked.subroute.is_some());
        let header = Header { mux, handler: asked.handler, flags, ..Header::new(op) };
        self.line.push(&say::encode(header, asked.subroute, &asked.request));
        if asked.is_stream {
            self.served = Some(Known { id: mux, seq: 1 });
        }
    }

    fn act(&mut self, task: Task) {
        let done = match task.deed {
            Deed::Rule(rule) => rule.broken_by(self, &task),
            Deed::Merge(merge) => {
                merge.sent_by(self, &task);
                true
            }
            Deed::Knock(_) | Deed::Answer(_) => true,
        };
        if done {
            self.line.mark(task.fault);
        } else {
            self.waiting.push(task);
        }
    }

    // ---- hearing ----

    fn hear(&mut self, frame: &[u8]) {
        let mut opened = false;
        // Its victim is one of ours: what it says can be read.
        let _ = for_each_message(frame, usize::MAX, |message| opened |= self.hear_one(&message));
        if opened {
            for task in std::mem::take(&mut self.waiting) {
                self.act(task);
            }
        }
    }

    /// Answers most of what it is asked; whether that was a call.
    fn hear_one(&mut self, message: &MessageRef<'_>) -> bool {
        let header = message.header;
        let mux = header.mux;
        match header.op {
            Op::Ping => {
                let time = Ping::decode(message.payload)
                    .map_or_else(|_| gridmux_core::wire::Timestamp::ZERO, |ping| ping.time);
                let mut payload = Vec::new();
                Pong { time, ..Pong::default() }.encode(&mut payload);
                self.say(Header { op: Op::Pong, flags: Flags::empty(), ..header }, &payload);
            }
            Op::Request => {
                self.request = Some(Known { id: mux, seq: header.seq });
                // Some are answered, some refused, some forgotten.
                match mix(mux ^ self.issued) % 4 {
                    0 => {}
                    1 => self.mutter(Op::DisconnectClientMux, mux, 0),
                    _ => {
                        let answer = Header { mux, flags: Flags::EOF, ..Header::new(Op::Response) };
                        self.say(answer, message.payload);
                    }
                }
                return true;
            }
            Op::ConnectMux => {
                self.mutter(Op::AckMux, mux, header.seq);
                self.stream = Some(Known { id: mux, seq: header.seq + 1 });
                return true;
            }
            Op::MuxServerMsg if !header.flags.contains(Flags::EOF) => {}
            Op::MuxServerMsg | Op::DisconnectClientMux | Op::MuxConnectError => {
                self.served = self.served.filter(|served| served.id != mux);
            }
            _ => {}
        }
        false
    }
}
