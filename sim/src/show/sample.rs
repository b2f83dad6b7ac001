//! A small run, written by hand: three nodes, two connections, three calls and four faults. And a
//! real one.

use gridmux_core::error::CallError;

use super::Shown;
use crate::guard::run_quietly;
use crate::history::{Entry, Sight};
use crate::run::{Options, Run};
use crate::script::{Call, Deed, Line, Moment, Route, Script};
use crate::trace::{Brief, Event, Happening, Trace};
use crate::verdict::{Class, Failure, OracleId, Outcome};
use crate::world::{ConnId, End};

/// Everything of the run.
pub(super) struct Sample {
    pub(super) script: Script,
    pub(super) trace: Trace,
    pub(super) history: Vec<Entry>,
    pub(super) outcome: Outcome,
}

const MS: u64 = 1_000_000;
const CRC: u8 = 1;
const EOF: u8 = 2;

const fn brief(op: &'static str, mux: u64, seq: u32, flags: u8, payload: u32) -> Brief {
    Brief { op, mux, seq, flags: flags | CRC, handler: 0, payload }
}

impl Sample {
    /// `a`, a single request that is answered; `b`, a stream whose connection breaks; `c`, a
    /// request that is never sent, and never ends, which is the failure.
    pub(super) fn new() -> Self {
        let mut sample = Self {
            script: Script::new(42, 3),
            trace: Trace {
                nodes: (0..3).map(|node| format!("http://n{node}:9000")).collect(),
                events: Vec::new(),
            },
            history: Vec::new(),
            outcome: Outcome::default(),
        };
        let calls = [("a", 1, Route::Echo), ("b", 1, Route::Talk), ("c</script>", 2, Route::Echo)];
        for ((name, to, route), at) in calls.into_iter().zip([10, 20, 30]) {
            let deed = Deed::Call(Call::new(name, 0, to, route));
            sample.script.lines.push(Line { moment: Moment::At(at * MS), deed });
        }
        sample.link();
        sample.answered();
        sample.broken();
        sample.faults();
        sample.trace.events.sort_by_key(|event| event.at);
        sample.history.sort_by_key(|entry| entry.at);
        sample.outcome.failures.push(Failure {
            oracle: OracleId(3),
            class: Class::Safety,
            rule: "an error has a cause",
            detail: "b ended with `remote disconnected` & <nothing> explains it".into(),
            at: 62 * MS,
            call: Some(1),
        });
        sample
    }

    pub(super) fn shown(&self) -> Shown<'_> {
        let Self { script, trace, history, outcome } = self;
        Shown { script, played: script, trace, history, outcome }
    }

    pub(super) fn frames_arrived(&self) -> usize {
        let is_arrival = |event: &&Event| matches!(event.what, Happening::FrameArrived { .. });
        self.trace.events.iter().filter(is_arrival).count()
    }

    /// An item of a stream on this mux.
    pub(super) fn item(mux: u64) -> Brief {
        brief("MuxClientMsg", mux, 1_000, 0, 1_000)
    }

    fn event(&mut self, at: u64, what: Happening) {
        self.trace.events.push(Event { at, what });
    }

    /// A frame that takes three milliseconds, or never arrives.
    pub(super) fn frame(
        &mut self,
        at: u64,
        end: End,
        number: u64,
        messages: Vec<Brief>,
        arrives: bool,
    ) {
        let conn = ConnId(0);
        let bytes = messages.iter().map(|brief| u64::from(brief.payload) + 20).sum();
        self.event(at, Happening::FrameSent { conn, end, number, bytes, messages });
        if arrives {
            self.event(at + 3 * MS, Happening::FrameArrived { conn, end, number });
        }
    }

    pub(super) fn sight(&mut self, at: u64, node: usize, call: usize, serving: u32, sight: Sight) {
        self.history.push(Entry { at, node, life: 0, clock: at, call, serving, sight });
    }

    /// So many more faults of a node, a millisecond apart.
    pub(super) fn crowd_of_faults(&mut self, count: u64) {
        for number in 0..count {
            let (row, text) = ("B4", "at 1ms reset n0 n1".to_owned());
            let what = Happening::Fault { row, text, nodes: vec![0], lasts: 0 };
            self.event((60 + number) * MS, what);
        }
        self.trace.events.sort_by_key(|event| event.at);
    }

    fn link(&mut self) {
        for node in 0..3 {
            self.event(0, Happening::Born { node });
        }
        self.event(0, Happening::Phase("chaos"));
        self.event(70 * MS, Happening::Phase("healed"));
        self.event(MS, Happening::Connected { conn: ConnId(0), nodes: [0, 1] });
        self.event(2 * MS, Happening::Connected { conn: ConnId(1), nodes: [2, 0] });
        self.frame(2 * MS, End::Dialler, 0, vec![brief("Connect", 0, 0, 0, 90)], true);
        self.frame(6 * MS, End::Acceptor, 0, vec![brief("ConnectResponse", 0, 0, 0, 60)], true);
    }

    fn answered(&mut self) {
        self.sight(10 * MS, 0, 0, 0, Sight::Issued);
        self.frame(10 * MS, End::Dialler, 1, vec![brief("Request", 1, 0, 0, 70)], true);
        self.sight(13 * MS, 1, 0, 0, Sight::Started(true));
        self.sight(16 * MS, 1, 0, 0, Sight::Returned(true));
        self.frame(16 * MS, End::Acceptor, 1, vec![brief("Response", 1, 0, EOF, 70)], true);
        self.sight(19 * MS, 0, 0, 0, Sight::Ended(Ok(true)));
    }

    fn broken(&mut self) {
        self.sight(20 * MS, 0, 1, 0, Sight::Issued);
        self.sight(30 * MS, 0, 2, 0, Sight::Issued);
        self.frame(20 * MS, End::Dialler, 2, vec![brief("ConnectMux", 2, 0, 0, 70)], true);
        self.sight(23 * MS, 1, 1, 0, Sight::Started(true));
        self.frame(23 * MS, End::Acceptor, 2, vec![brief("AckMux", 2, 0, 0, 0)], true);
        let items = vec![brief("MuxClientMsg", 2, 1, 0, 40), brief("MuxClientMsg", 2, 2, 0, 40)];
        self.frame(27 * MS, End::Dialler, 3, items, true);
        self.frame(31 * MS, End::Acceptor, 3, vec![brief("UnblockClMux", 2, 1, 0, 0)], true);
        self.frame(35 * MS, End::Acceptor, 4, vec![brief("MuxServerMsg", 2, 2, 0, 40)], true);
        self.frame(39 * MS, End::Dialler, 4, vec![brief("MuxClientMsg", 2, 3, 0, 40)], false);
        self.sight(
            60 * MS,
            0,
            1,
            0,
            Sight::Ended(Err(CallError::Disconnected { may_have_run: true })),
        );
    }

    fn faults(&mut self) {
        let mut fault = |at: u64, row, text: &str, nodes: &[usize], lasts: u64| {
            let (text, nodes) = (text.to_owned(), nodes.to_vec());
            self.trace.events.push(Event {
                at: at * MS,
                what: Happening::Fault { row, text, nodes, lasts: lasts * MS },
            });
        };
        fault(40, "B4", "at 40ms reset n0 n1", &[0, 1], 0);
        fault(5, "N3", "at 5ms pause n2 lasts=10ms", &[2], 10);
        fault(25, "B3", "at 25ms partition n2 lasts=20ms", &[2], 20);
        fault(50, "N1", "at 50ms crash n1 back=15ms", &[1], 0);
        self.event(50 * MS, Happening::Died { node: 1 });
        self.event(65 * MS, Happening::Born { node: 1 });
        let conn = ConnId(0);
        self.event(40 * MS, Happening::Ended { conn, end: End::Dialler, how: "broken" });
        self.event(43 * MS, Happening::Ended { conn, end: End::Acceptor, how: "broken" });
    }
}

/// A run in which a handler returns in order after its caller has given up: `late`, which n0 makes
/// at 3 s with a deadline of 100 ms, and whose handler at n1 rests for a second.
pub(super) struct Late {
    script: Script,
    run: Run,
}

impl Late {
    pub(super) fn new() -> Self {
        let text = "gridmux-sim 1\nnodes 2\n\
                    at 3s call late n0 n1 run-to-end timeout=100ms after=1s\nheal 5s\n";
        let script: Script = text.parse().unwrap();
        let options = Options { traced: true, ..Options::default() };
        let run = run_quietly(&script, &options).unwrap();
        Self { script, run }
    }

    pub(super) fn shown(&self) -> Shown<'_> {
        let evidence = &self.run.facts.evidence;
        Shown {
            script: &self.script,
            played: &evidence.script,
            trace: self.run.trace.as_ref().unwrap(),
            history: &evidence.entries,
            outcome: &self.run.outcome,
        }
    }
}
