//! A trace and a history put together: connections, frames, calls and faults as things that begin
//! and end.

use std::collections::{BTreeMap, BTreeSet};

use super::Shown;
use crate::history::{CallId, Entry, Sight};
use crate::script::Call;
use crate::trace::{Brief, Happening};
use crate::verdict::Failure;
use crate::world::{ConnId, End};

/// A moment at which something ended, and how.
pub(super) type Over = (u64, String);

/// A connection.
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// Who has dialled, who has accepted.
    pub(super) nodes: [usize; 2],
    pub(super) since: u64,
    /// How it ended, by end; the first that was seen.
    pub(super) ended: [Option<(u64, &'static str)>; 2],
}

/// A frame, from one end of a connection to the other.
pub(super) struct Frame<'a> {
    pub(super) conn: ConnId,
    pub(super) end: End,
    pub(super) number: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sent: u64,
    pub(super) arrived: Option<u64>,
    pub(super) bytes: u64,
    pub(super) messages: &'a [Brief],
}

/// A mux: equal ids of the two directions are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MuxKey {
    pub(super) conn: ConnId,
    /// The end of the connection that calls.
    pub(super) caller: End,
    pub(super) id: u64,
}

impl MuxKey {
    /// The mux that a message of this frame is about; `None` for the link.
    pub(super) fn of(frame: &Frame<'_>, message: &Brief) -> Option<Self> {
        let by_caller = matches!(
            message.op,
            "ConnectMux"
                | "Request"
                | "MuxClientMsg"
                | "DisconnectServerMux"
                | "UnblockSrvMux"
                | "Ping"
        );
        let caller = if by_caller { frame.end } else { frame.end.other() };
        (message.mux != 0).then_some(Self { conn: frame.conn, caller, id: message.mux })
    }
}

/// A call of the script, as its caller has seen it.
pub(super) struct Issued<'a> {
    pub(super) id: CallId,
    pub(super) call: &'a Call,
    pub(super) since: u64,
    pub(super) over: Option<Over>,
    pub(super) mux: Option<MuxKey>,
}

/// A handler that ran.
pub(super) struct Served {
    pub(super) call: CallId,
    pub(super) node: usize,
    pub(super) since: u64,
    pub(super) over: Option<Over>,
}

/// A fault that has come.
pub(super) struct Struck<'a> {
    pub(super) at: u64,
    pub(super) row: &'static str,
    pub(super) text: &'a str,
    /// The deed's word in the script, such as `pause`.
    pub(super) kind: &'a str,
    pub(super) nodes: &'a [usize],
    pub(super) lasts: u64,
}

/// The whole of it.
pub(super) struct View<'a> {
    pub(super) conns: Vec<Conn>,
    pub(super) frames: Vec<Frame<'a>>,
    pub(super) calls: Vec<Issued<'a>>,
    pub(super) handlers: Vec<Served>,
    pub(super) faults: Vec<Struck<'a>>,
    pub(super) phases: Vec<(u64, &'static str)>,
    /// The node, and when it had no process.
    pub(super) dead: Vec<(usize, u64, u64)>,
    /// The last moment that anything is known of.
    pub(super) end: u64,
}

impl<'a> View<'a> {
    pub(super) fn new(shown: &Shown<'a>) -> Self {
        let events = shown.trace.events.last().map_or(0, |event| event.at);
        let sights = shown.history.last().map_or(0, |entry| entry.at);
        let end = events.max(sights).max(shown.outcome.figures.simulated);
        let mut view = Self {
            conns: Vec::new(),
            frames: Vec::new(),
            calls: Vec::new(),
            handlers: Vec::new(),
            faults: Vec::new(),
            phases: Vec::new(),
            dead: Vec::new(),
            end,
        };
        view.read_trace(shown);
        view.read_history(shown);
        view.end_with_processes();
        view.find_muxes();
        view
    }

    /// The connection of this number.
    pub(super) fn conn(&self, id: ConnId) -> Option<&Conn> {
        let at = self.conns.binary_search_by_key(&id, |conn| conn.id).ok()?;
        self.conns.get(at)
    }

    /// The connection that a failure is about: that of its call's mux, or, if it names no call,
    /// the last one that its two nodes had by then.
    pub(super) fn concerned(&self, failure: &Failure, pair: Option<[usize; 2]>) -> Option<ConnId> {
        if let Some(call) = failure.call {
            return self.calls.iter().find(|issued| issued.id == call)?.mux.map(|mux| mux.conn);
        }
        let [one, other] = pair?;
        let between = |conn: &&Conn| conn.nodes == [one, other] || conn.nodes == [other, one];
        let by_then = self.conns.iter().filter(|conn| conn.since <= failure.at).filter(between);
        by_then.max_by_key(|conn| conn.since).map(|conn| conn.id)
    }

    /// When the last end of a connection let go of it; the end of the run if one never did.
    pub(super) fn conn_over(&self, conn: &Conn) -> u64 {
        let over = |end: Option<(u64, _)>| end.map_or(self.end, |(at, _)| at);
        over(conn.ended[0]).max(over(conn.ended[1]))
    }

    fn read_trace(&mut self, shown: &Shown<'a>) {
        let mut flying = BTreeMap::new();
        let mut conns = BTreeMap::<ConnId, Conn>::new();
        let mut died = BTreeMap::new();
        for event in &shown.trace.events {
            let at = event.at;
            match &event.what {
                Happening::Connected { conn, nodes } => {
                    let new = Conn { id: *conn, nodes: *nodes, since: at, ended: [None; 2] };
                    conns.insert(*conn, new);
                }
                Happening::FrameSent { conn, end, number, bytes, messages } => {
                    let nodes = conns.get(conn).map_or([0; 2], |conn| conn.nodes);
                    flying.insert((*conn, *end, *number), self.frames.len());
                    self.frames.push(Frame {
                        conn: *conn,
                        end: *end,
                        number: *number,
                        from: nodes[*end as usize],
                        to: nodes[end.other() as usize],
                        sent: at,
                        arrived: None,
                        bytes: *bytes,
                        messages,
                    });
                }
                Happening::FrameArrived { conn, end, number } => {
                    if let Some(frame) = flying.remove(&(*conn, *end, *number)) {
                        self.frames[frame].arrived = Some(at);
                    }
                }
                Happening::Ended { conn, end, how } => {
                    if let Some(conn) = conns.get_mut(conn) {
                        conn.ended[*end as usize].get_or_insert((at, how));
                    }
                }
                Happening::Died { node } => {
                    died.insert(*node, at);
                }
                Happening::Born { node } => {
                    self.dead.extend(died.remove(node).map(|since| (*node, since, at)));
                }
                Happening::Fault { row, text, nodes, lasts } => {
                    let (kind, lasts) = (deed_word(text), *lasts);
                    self.faults.push(Struck { at, row, text, kind, nodes, lasts });
                }
                Happening::Phase(phase) => self.phases.push((at, phase)),
            }
        }
        self.dead.extend(died.into_iter().map(|(node, since)| (node, since, self.end)));
        self.conns = conns.into_values().collect();
    }

    fn read_history(&mut self, shown: &Shown<'a>) {
        let calls: Vec<&Call> = shown.played.calls().collect();
        let mut issued = BTreeMap::<CallId, Issued<'a>>::new();
        let mut handlers = BTreeMap::<(CallId, u32), Served>::new();
        for entry in shown.history {
            let Entry { at, call: id, .. } = *entry;
            let Some(call) = calls.get(id) else { continue };
            if entry.sight.is_of_caller() {
                let call = issued.entry(id).or_insert(Issued {
                    id,
                    call,
                    since: at,
                    over: None,
                    mux: None,
                });
                if let Some(how) = how_ended(&entry.sight) {
                    call.over.get_or_insert((at, how));
                }
            } else {
                let served = handlers.entry((id, entry.serving)).or_insert(Served {
                    call: id,
                    node: entry.node,
                    since: at,
                    over: None,
                });
                if let Some(how) = how_ended(&entry.sight) {
                    served.over.get_or_insert((at, how));
                }
            }
        }
        self.calls = issued.into_values().collect();
        self.handlers = handlers.into_values().collect();
    }

    /// What a process had open is over with it.
    fn end_with_processes(&mut self) {
        let death = |node: usize, since: u64, over: &mut Option<Over>| {
            let deaths = self.dead.iter().filter(|(dead, at, _)| *dead == node && *at >= since);
            if let Some(at) = deaths.map(|(_, at, _)| *at).min() {
                over.get_or_insert((at, "the process died".into()));
            }
        };
        for Issued { call, since, over, .. } in &mut self.calls {
            death(call.from, *since, over);
        }
        for Served { node, since, over, .. } in &mut self.handlers {
            death(*node, *since, over);
        }
    }

    /// Gives each call the opening message that fits it, in the order in which the calls were made.
    fn find_muxes(&mut self) {
        let mut waiting: Vec<usize> = (0..self.calls.len()).collect();
        waiting.sort_by_key(|index| (self.calls[*index].since, *index));
        let mut seen = BTreeSet::new();
        for frame in &self.frames {
            for message in frame.messages {
                let is_stream = match message.op {
                    "ConnectMux" => true,
                    "Request" => false,
                    _ => continue,
                };
                let Some(mux) = MuxKey::of(frame, message) else { continue };
                if !seen.insert(mux) {
                    continue;
                }
                let fits = |index: &usize| {
                    let Issued { call, since, over, .. } = &self.calls[*index];
                    (call.from, call.to) == (frame.from, frame.to)
                        && call.route.capacities().is_some() == is_stream
                        && message.payload >= call.size.unwrap_or(0)
                        && *since <= frame.sent
                        && over.as_ref().is_none_or(|(at, _)| *at >= frame.sent)
                };
                if let Some(place) = waiting.iter().position(fits) {
                    let index = waiting.remove(place);
                    self.calls[index].mux = Some(mux);
                }
            }
        }
    }
}

/// How a call or a handler is over, if this is the sight of its end.
fn how_ended(sight: &Sight) -> Option<String> {
    Some(match sight {
        Sight::Ended(Ok(true)) => "ok".into(),
        Sight::Ended(Ok(false)) => "the wrong result".into(),
        Sight::Ended(Err(error)) => error.to_string(),
        Sight::Dropped => "dropped".into(),
        Sight::Returned(true) => "ok".into(),
        Sight::Returned(false) => "returned an error".into(),
        Sight::Panicked => "panicked".into(),
        Sight::HandlerDropped => "dropped".into(),
        _ => return None,
    })
}

/// The word of the deed in a line of a script, or in what stands behind its moment.
fn deed_word(text: &str) -> &str {
    const DEEDS: [&str; 21] = [
        "reset",
        "damage",
        "stall",
        "partition",
        "dial",
        "squeeze",
        "narrow",
        "outage",
        "crash",
        "pause",
        "jump",
        "skew",
        "rate",
        "shutdown",
        "twin",
        "remove",
        "end",
        "silence",
        "flip",
        "drop",
        "insert",
    ];
    let mut keys = text.split_whitespace().map(|word| word.split('=').next().unwrap_or(word));
    keys.find(|key| DEEDS.contains(key)).unwrap_or("fault")
}

#[cfg(test)]
mod tests {
    use super::{MuxKey, View, deed_word};
    use crate::history::Sight;
    use crate::script::Route;
    use crate::show::sample::{Late, Sample};
    use crate::verdict::Failure;
    use crate::world::{ConnId, End};

    const MS: u64 = 1_000_000;

    #[test]
    fn frames_know_their_nodes_and_when_they_arrived_if_they_did() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        let frame = |sent: u64| view.frames.iter().find(|frame| frame.sent == sent * MS).unwrap();
        let of = |sent| (frame(sent).from, frame(sent).to, frame(sent).arrived);
        assert_eq!(of(10), (0, 1, Some(13 * MS)));
        assert_eq!(of(16), (1, 0, Some(19 * MS)));
        assert_eq!(of(39), (0, 1, None));
    }

    #[test]
    fn calls_get_the_muxes_that_were_opened_for_them_and_end_when_their_callers_saw_it() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        let mux = |id| Some(MuxKey { conn: ConnId(0), caller: End::Dialler, id });
        let muxes: Vec<_> = view.calls.iter().map(|issued| issued.mux).collect();
        assert_eq!(muxes, [mux(1), mux(2), None]);
        let over: Vec<_> = view.calls.iter().map(|issued| issued.over.clone()).collect();
        let lost = Some((60 * MS, "remote disconnected".into()));
        assert_eq!(over, [Some((19 * MS, "ok".into())), lost, None]);
    }

    #[test]
    fn a_call_ends_with_what_its_caller_saw_and_its_handler_when_it_returned() {
        let late = Late::new();
        let view = View::new(&late.shown());
        let call = view.calls.iter().find(|issued| issued.call.name == "late").unwrap();
        let (at, how) = call.over.clone().unwrap();
        assert_eq!((call.since, how.as_str()), (3_000 * MS, "deadline exceeded"));
        assert!((3_100 * MS..3_200 * MS).contains(&at), "{at}");
        let handlers: Vec<_> =
            view.handlers.iter().filter(|served| served.call == call.id).collect();
        let [served] = handlers[..] else { panic!("one handler") };
        let (over, how) = served.over.clone().unwrap();
        assert_eq!((served.node, how.as_str()), (1, "ok"));
        assert!(served.since < at && at < over, "{} {over}", served.since);
        let singles = view.calls.iter().filter(|issued| issued.call.route == Route::Echo);
        assert!(singles.clone().count() > 0, "probes are calls");
        assert!(singles.into_iter().all(|probe| view.handlers.iter().any(|h| h.call == probe.id)));
    }

    #[test]
    fn a_failure_is_about_the_connection_of_its_call_or_the_last_one_of_its_pair() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        let failure = |call, at| Failure { call, at, ..sample.outcome.failures[0].clone() };
        let concerned = |call, at, pair| view.concerned(&failure(call, at), pair);
        assert_eq!(concerned(Some(1), 62 * MS, None), Some(ConnId(0)));
        assert_eq!(concerned(Some(2), 62 * MS, Some([0, 1])), None, "it was never sent");
        assert_eq!(concerned(None, 62 * MS, Some([0, 2])), Some(ConnId(1)));
        assert_eq!(concerned(None, MS, Some([0, 2])), None, "there was none yet");
        assert_eq!(concerned(None, 62 * MS, None), None);
    }

    #[test]
    fn a_message_belongs_to_the_mux_of_the_end_that_called() {
        let sample = Sample::new();
        let view = View::new(&sample.shown());
        for frame in &view.frames {
            for mux in frame.messages.iter().filter_map(|message| MuxKey::of(frame, message)) {
                assert_eq!(mux.caller, End::Dialler);
            }
        }
    }

    #[test]
    fn what_a_process_had_open_ends_with_it() {
        let mut sample = Sample::new();
        sample.sight(45 * MS, 1, 1, 1, Sight::Started(true));
        let view = View::new(&sample.shown());
        let over: Vec<_> = view.handlers.iter().map(|served| served.over.clone()).collect();
        let died = Some((50 * MS, "the process died".into()));
        assert_eq!(over, [Some((16 * MS, "ok".into())), died.clone(), died]);
        assert_eq!(view.dead, [(1, 50 * MS, 65 * MS)]);
    }

    #[test]
    fn faults_are_named_by_the_words_of_scripts() {
        for (text, word) in [
            ("at 1s pause n0 lasts=2s", "pause"),
            ("reset n0 n1", "reset"),
            ("when n0>n1 Request 3 byte=5 flip=0x20", "flip"),
            ("something new", "fault"),
        ] {
            assert_eq!(deed_word(text), word);
        }
    }
}
