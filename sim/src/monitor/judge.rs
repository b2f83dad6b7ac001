//! One connection, judged: each message by what its sender had sent and been given before.

use std::collections::BTreeMap;

use super::calls::{Call, Opened, Stray};
use super::decode::{Message, Op, Role, flag};
use super::report::{CREDIT, EPOCH, GRAMMAR, Place, Report};
use super::rules::{
    CalleeEvent, CalleeState, CallerEvent, Event, Generations, LinkEnd, check_shape,
};
use super::{Conduct, Settings};

const NEVER_OPENED: &str = "message for a mux that was not opened on this connection";
const MUX_OVER: &str = "message for a mux that is over";
const SEQUENCE: &str = "sequence number";
/// What ours say of input that breaks the rules, or is too much: its first 16 bytes.
const REFUSALS: [&[u8; 16]; 4] =
    [b"did not expect i", b"more items than ", b"out-of-sequence ", b"too much receive"];

/// What is known beside the connection while a message is judged.
pub(super) struct Around<'a> {
    pub(super) settings: &'a Settings,
    pub(super) generations: &'a mut Generations,
    pub(super) report: &'a mut Report,
}

/// A mux of which something is settled once a node has sent all that was queued.
#[derive(Clone, Copy, Debug)]
struct Seal {
    caller: Role,
    mux: u64,
}

#[derive(Debug)]
pub(super) struct Judge {
    connection: u64,
    links: [LinkEnd; 2],
    /// By the side that opened them.
    calls: [BTreeMap<u64, Call>; 2],
    opened: [Opened; 2],
    /// By the side that may answer.
    strays: [BTreeMap<u64, Stray>; 2],
    seals: [Vec<Seal>; 2],
    /// By the side that sends: muxes with credits that may be of use to it.
    doubts: [Vec<Seal>; 2],
    /// What this side sends does not arrive as it was sent.
    pub(super) distrusted: [bool; 2],
}

impl Judge {
    pub(super) fn new(connection: u64) -> Self {
        Self {
            connection,
            links: Role::BOTH.map(LinkEnd::new),
            calls: Default::default(),
            opened: Default::default(),
            strays: Default::default(),
            seals: Default::default(),
            doubts: Default::default(),
            distrusted: [false; 2],
        }
    }

    // ---- what is sent ----

    pub(super) fn on_sent(
        &mut self,
        from: Role,
        message: &Message,
        offset: u64,
        around: &mut Around<'_>,
    ) {
        let place = Place { connection: self.connection, from, offset };
        if message.op == Op::Merged {
            judge_shape(message, place, around);
        }
        // A merged message within one is ignored by whoever gets it.
        for message in message.each().iter().filter(|part| part.op != Op::Merged) {
            judge_shape(message, place, around);
            let told = self.links[from.index()].on_sent(message);
            // Whoever gets falsified messages answers those.
            if let Err(rule) = told
                && !self.distrusted[from.other().index()]
            {
                broken(GRAMMAR, rule, message, place, around);
            }
            match Event::of(message) {
                Event::Link => {}
                Event::Open => self.open(message, place, around),
                Event::Caller(event) => self.caller_sends(event, message, place, around),
                Event::Callee(event) => self.callee_sends(event, message, place, around),
                Event::Pong { not_found, is_error } => {
                    self.callee_pongs(not_found || is_error, message, place, around);
                }
            }
        }
    }

    pub(super) fn on_close_frame(&mut self, from: Role) {
        self.links[from.index()].on_close_frame();
    }

    fn open(&mut self, message: &Message, place: Place, around: &mut Around<'_>) {
        let (from, mux) = (place.from, message.mux);
        let input = around.settings.capacities(from, message).map(|(input, _)| input);
        let output = around.settings.capacities(from.other(), message).map(|(_, output)| output);
        let has_input = !message.has(flag::EOF);
        if message.op == Op::ConnectMux && input.is_some_and(|input| (input > 0) != has_input) {
            broken(GRAMMAR, "EOF and the input capacity disagree", message, place, around);
        }
        if around.settings.conduct[from.index()] == Conduct::Ours {
            match around.generations.open(from, self.connection, mux) {
                Err(rule) => broken(EPOCH, rule, message, place, around),
                Ok(Some(before)) if self.is_open(from, before) => {
                    broken(GRAMMAR, "slot of a call that is open", message, place, around);
                }
                Ok(_) => {}
            }
        }
        self.opened[from.index()].insert(mux);
        let calls = &mut self.calls[from.index()];
        let again = calls.get(&mux).is_some_and(|call| !call.is_over());
        if !again {
            calls.insert(mux, Call::opened(message, (input, output)));
        }
        if let Some(call) = calls.get_mut(&mux) {
            call.caller.under_way += 1;
            call.murky |= again;
        }
    }

    /// Whether a call has not ended for its caller.
    fn is_open(&self, caller: Role, mux: u64) -> bool {
        let trusted = !self.distrusted[caller.other().index()];
        let call = self.calls[caller.index()].get(&mux).filter(|_| trusted);
        call.is_some_and(|call| !call.caller.state.is_done() && !call.ended && !call.murky)
    }

    fn caller_sends(
        &mut self,
        event: CallerEvent,
        message: &Message,
        place: Place,
        around: &mut Around<'_>,
    ) {
        let from = place.from;
        let distrusted = self.distrusted[from.other().index()];
        let Some(call) = self.calls[from.index()].get_mut(&message.mux) else {
            let excused = event == CallerEvent::Cancel && self.owes_answer(from, message.mux);
            let excused = excused || distrusted;
            return self.judge_stray(excused, from, message, place, around);
        };
        call.caller.under_way += 1;
        let mut breach = None;
        match call.caller.state.next(call.is_stream, event) {
            Ok(state) => call.caller.state = state,
            Err(rule) => breach = Some((GRAMMAR, rule)),
        }
        if event != CallerEvent::Cancel {
            breach = breach.or(count(&mut call.caller.next_seq, message).err());
        }
        let credit = match event {
            CallerEvent::Item => call.input.spend(),
            CallerEvent::Grant => call.output.grant(around.settings.caller_takes_known),
            _ => Ok(()),
        };
        let surplus = event == CallerEvent::Grant && is_foreign(from, around);
        let credit = credit.or_else(|rule| ignored(surplus, rule, message, place, around));
        let credit = credit.map_err(|rule| (CREDIT, rule)).err();
        conclude(call, breach.or(credit), distrusted, message, place, around);
    }

    fn callee_sends(
        &mut self,
        event: CalleeEvent,
        message: &Message,
        place: Place,
        around: &mut Around<'_>,
    ) {
        let from = place.from;
        let caller = from.other();
        let distrusted = self.distrusted[caller.index()];
        let Some(call) = self.calls[caller.index()].get_mut(&message.mux) else {
            let excused = event == CalleeEvent::Abort && self.owes_disconnect(from, message.mux);
            let excused = excused || distrusted;
            return self.judge_stray(excused, caller, message, place, around);
        };
        call.callee.under_way += 1;
        let mut breach = (!call.known).then_some((GRAMMAR, "answer before the call arrives"));
        match call.callee.state.next(call.is_stream, event) {
            Ok(state) => call.callee.state = state,
            // The input came too late for a call that the callee had ended, or refused.
            Err(_) if event == CalleeEvent::Abort && call.inputs > 0 && !call.refused => {
                call.inputs -= 1;
            }
            Err(rule) => breach = breach.or(Some((GRAMMAR, rule))),
        }
        if call.must_be_refused && matches!(event, CalleeEvent::Ack | CalleeEvent::Respond) {
            breach = breach.or(Some((GRAMMAR, "call served after the Disconnect")));
        }
        breach = breach.or(callee_seq(call, event, message).err());
        let credit = match event {
            CalleeEvent::Item => call.output.spend(),
            CalleeEvent::Final => spend_final(call, message, caller, around),
            CalleeEvent::Grant => call.input.grant(around.settings.callee_takes_known),
            _ => Ok(()),
        };
        let surplus = event == CalleeEvent::Grant && is_foreign(from, around);
        let credit = credit.or_else(|rule| ignored(surplus, rule, message, place, around));
        let credit = credit.map_err(|rule| (CREDIT, rule)).err();
        call.refused |= event == CalleeEvent::Final && refuses_input(message);
        if call.callee.state == CalleeState::Over {
            self.seals[from.index()].push(Seal { caller, mux: message.mux });
        }
        conclude(call, breach.or(credit), distrusted, message, place, around);
    }

    /// `ends`: the pong says that the mux is not there, or that something is wrong with it.
    fn callee_pongs(
        &mut self,
        ends: bool,
        message: &Message,
        place: Place,
        around: &mut Around<'_>,
    ) {
        let from = place.from;
        let caller = from.other();
        let distrusted = self.distrusted[caller.index()];
        let Some(call) = self.calls[caller.index()].get_mut(&message.mux) else {
            let stray = self.strays[from.index()].get_mut(&message.mux);
            let answers = stray.is_some_and(|stray| answer_ping(&mut stray.pings, message.seq));
            let excused = answers && ends || distrusted;
            return self.judge_stray(excused, caller, message, place, around);
        };
        call.callee.under_way += 1;
        let breach = if !answer_ping(&mut call.pings, message.seq) {
            Some((GRAMMAR, "pong without a ping"))
        } else if call.callee.state.is_done() && !ends {
            Some((GRAMMAR, "pong for a mux that is over"))
        } else {
            None
        };
        if ends {
            // Its end is queued, if it has not left yet.
            self.seals[from.index()].push(Seal { caller, mux: message.mux });
        }
        conclude(call, breach, distrusted, message, place, around);
    }

    /// Judges what a side sends for a mux of `caller` that is not open.
    fn judge_stray(
        &self,
        excused: bool,
        caller: Role,
        message: &Message,
        place: Place,
        around: &mut Around<'_>,
    ) {
        if excused {
            around.report.excused("answer to a stray message");
        } else if self.opened[caller.index()].contains(message.mux) {
            broken(GRAMMAR, MUX_OVER, message, place, around);
        } else {
            broken(EPOCH, NEVER_OPENED, message, place, around);
        }
    }

    /// Whether an answer to a call that was never made may be refused by this side, once.
    fn owes_answer(&mut self, side: Role, mux: u64) -> bool {
        let stray = self.strays[side.index()].get_mut(&mux);
        stray.is_some_and(|stray| take_one(&mut stray.answers))
    }

    /// Whether input for a mux that was never opened may be refused by this side, once.
    fn owes_disconnect(&mut self, side: Role, mux: u64) -> bool {
        let stray = self.strays[side.index()].get_mut(&mux);
        stray.is_some_and(|stray| take_one(&mut stray.inputs))
    }

    // ---- what is delivered ----

    pub(super) fn on_delivered(&mut self, from: Role, message: &Message) {
        for message in message.each() {
            let to = from.other();
            self.links[to.index()].on_delivered(message);
            match Event::of(message) {
                Event::Link => {}
                Event::Open => {
                    let leaving = self.links[to.index()].is_leaving();
                    if let Some(call) = self.calls[from.index()].get_mut(&message.mux) {
                        call.caller.under_way = call.caller.under_way.saturating_sub(1);
                        call.must_be_refused |= leaving && !call.known;
                        call.known = true;
                    }
                }
                Event::Caller(event) => self.callee_gets(to, event, message),
                Event::Callee(event) => {
                    let ends =
                        !matches!(event, CalleeEvent::Ack | CalleeEvent::Item | CalleeEvent::Grant);
                    self.caller_gets(to, Some(event), ends, message);
                }
                Event::Pong { not_found, is_error } => {
                    self.caller_gets(to, None, not_found || is_error, message);
                }
            }
        }
    }

    fn callee_gets(&mut self, callee: Role, event: CallerEvent, message: &Message) {
        let caller = callee.other();
        let Some(call) = self.calls[caller.index()].get_mut(&message.mux) else {
            let stray = self.strays[callee.index()].entry(message.mux).or_default();
            match event {
                CallerEvent::Ping => stray.pings.push(message.seq),
                CallerEvent::Item | CallerEvent::Eof => stray.inputs += 1,
                _ => {}
            }
            return;
        };
        call.caller.under_way = call.caller.under_way.saturating_sub(1);
        match event {
            CallerEvent::Ping => call.pings.push(message.seq),
            CallerEvent::Item => {
                call.inputs += 1;
                call.input.on_item(message.is_nil());
            }
            CallerEvent::Eof => call.inputs += 1,
            CallerEvent::Grant => {
                let surplus = call.output.on_credit().then_some(Seal { caller, mux: message.mux });
                self.doubts[callee.index()].extend(surplus);
            }
            CallerEvent::Cancel | CallerEvent::Acked | CallerEvent::Sealed => {}
        }
        if event == CallerEvent::Cancel || call.callee.state.is_done() {
            self.seals[callee.index()].push(Seal { caller, mux: message.mux });
        }
    }

    /// `event`: none for a pong.
    fn caller_gets(
        &mut self,
        caller: Role,
        event: Option<CalleeEvent>,
        ends: bool,
        message: &Message,
    ) {
        let Some(call) = self.calls[caller.index()].get_mut(&message.mux) else {
            let answers = matches!(event, None | Some(CalleeEvent::Ack | CalleeEvent::Item));
            if answers && !self.opened[caller.index()].contains(message.mux) {
                self.strays[caller.index()].entry(message.mux).or_default().answers += 1;
            }
            return;
        };
        call.callee.under_way = call.callee.under_way.saturating_sub(1);
        match event {
            Some(CalleeEvent::Ack) => {
                if let Ok(state) = call.caller.state.next(call.is_stream, CallerEvent::Acked) {
                    call.caller.state = state;
                }
            }
            Some(CalleeEvent::Item) => call.output.on_item(message.is_nil()),
            Some(CalleeEvent::Grant) => {
                let surplus = call.input.on_credit().then_some(Seal { caller, mux: message.mux });
                self.doubts[caller.index()].extend(surplus);
            }
            _ => {}
        }
        call.ended |= ends;
        if ends || call.caller.state.is_done() {
            self.seals[caller.index()].push(Seal { caller, mux: message.mux });
        }
    }

    // ---- what the application does ----

    /// The application of one side has taken an item of this mux.
    pub(super) fn on_taken(&mut self, side: Role, caller: Role, mux: u64) {
        if let Some(call) = self.calls[caller.index()].get_mut(&mux) {
            let flow = if side == caller { &mut call.output } else { &mut call.input };
            flow.on_taken();
        }
    }

    /// The callee's application takes no more input.
    pub(super) fn on_input_dropped(&mut self, caller: Role, mux: u64) {
        if let Some(call) = self.calls[caller.index()].get_mut(&mux) {
            call.input.on_dropped();
        }
    }

    // ---- rest ----

    /// Whether there are credits that may be of use or not.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts.iter().any(|doubts| !doubts.is_empty())
    }

    /// Muxes that are not over at both ends.
    pub(super) fn open_muxes(&self) -> usize {
        self.calls.iter().map(BTreeMap::len).sum()
    }

    /// All that this side had queued has left: it knows what was delivered to it, and has nothing
    /// more to say that is older.
    pub(super) fn on_flushed(&mut self, side: Role) {
        self.links[side.index()].on_flushed();
        self.strays[side.index()].clear();
        for Seal { caller, mux } in self.doubts[side.index()].drain(..) {
            if let Some(call) = self.calls[caller.index()].get_mut(&mux) {
                let flow = if side == caller { &mut call.input } else { &mut call.output };
                flow.on_flushed();
            }
        }
        let mut seals = std::mem::take(&mut self.seals[side.index()]);
        for Seal { caller, mux } in seals.drain(..) {
            let calls = &mut self.calls[caller.index()];
            let Some(call) = calls.get_mut(&mux) else { continue };
            if side == caller {
                if let Ok(state) = call.caller.state.next(call.is_stream, CallerEvent::Sealed) {
                    call.caller.state = state;
                }
            } else {
                if let Ok(state) = call.callee.state.next(call.is_stream, CalleeEvent::Sealed) {
                    call.callee.state = state;
                }
                call.pings.clear();
                call.inputs = 0;
            }
            if call.is_over() {
                calls.remove(&mux);
            }
        }
        self.seals[side.index()] = seals;
    }
}

fn is_foreign(side: Role, around: &Around<'_>) -> bool {
    around.settings.conduct[side.index()] != Conduct::Ours
}

/// Surplus credits of a peer that is not ours are ignored by whoever gets them, and change nothing
/// for what follows.
fn ignored(
    surplus: bool,
    rule: &'static str,
    message: &Message,
    place: Place,
    around: &mut Around<'_>,
) -> Result<(), &'static str> {
    if !surplus {
        return Err(rule);
    }
    broken(CREDIT, rule, message, place, around);
    Ok(())
}

/// Whether this final message refuses input, by the words that ours have for it: then further
/// input is not answered any more (ledger L27).
fn refuses_input(message: &Message) -> bool {
    message.has(flag::ERR) && REFUSALS.contains(&&message.payload.prefix)
}

fn judge_shape(message: &Message, place: Place, around: &mut Around<'_>) {
    let Settings { base_crc, message_limit, .. } = *around.settings;
    if let Err(rule) = check_shape(message, base_crc, message_limit) {
        broken(GRAMMAR, rule, message, place, around);
    }
}

/// Tells of a broken rule, unless an earlier one explains it.
fn conclude(
    call: &mut Call,
    breach: Option<(&'static str, &'static str)>,
    distrusted: bool,
    message: &Message,
    place: Place,
    around: &mut Around<'_>,
) {
    let Some((oracle, rule)) = breach else { return };
    if call.murky || distrusted {
        around.report.excused("after a broken rule");
        return;
    }
    call.murky = true;
    broken(oracle, rule, message, place, around);
}

fn broken(
    oracle: &'static str,
    rule: &'static str,
    message: &Message,
    place: Place,
    around: &mut Around<'_>,
) {
    around.report.broken(oracle, rule, place, message.mux, || {
        let Message { op, seq, flags, payload, .. } = message;
        format!("{} seq {seq} flags {flags:#04x} payload {} bytes", op.name(), payload.len)
    });
}

/// A counted message has the next number; after another one the count goes on from that.
fn count(next: &mut u32, message: &Message) -> Result<(), (&'static str, &'static str)> {
    let expected = std::mem::replace(next, message.seq.wrapping_add(1));
    if message.seq == expected { Ok(()) } else { Err((GRAMMAR, SEQUENCE)) }
}

fn callee_seq(
    call: &mut Call,
    event: CalleeEvent,
    message: &Message,
) -> Result<(), (&'static str, &'static str)> {
    match event {
        CalleeEvent::Ack | CalleeEvent::Item | CalleeEvent::Final | CalleeEvent::Grant => {
            count(&mut call.callee.next_seq, message)
        }
        CalleeEvent::Respond | CalleeEvent::Refuse if message.seq != call.first_seq => {
            Err((GRAMMAR, SEQUENCE))
        }
        _ => Ok(()),
    }
}

/// The final message costs a credit, unless it answers a violation or input over a limit: the
/// error may then go out without one.
fn spend_final(
    call: &mut Call,
    message: &Message,
    caller: Role,
    around: &mut Around<'_>,
) -> Result<(), &'static str> {
    let spent = call.output.spend();
    let foreign = around.settings.conduct[caller.index()] != Conduct::Ours;
    if spent.is_err() && message.has(flag::ERR) && (foreign || call.input.has_arrived()) {
        around.report.excused("error without a credit");
        return Ok(());
    }
    spent
}

/// Takes a ping off those that wait for an answer.
fn answer_ping(pings: &mut Vec<u32>, seq: u32) -> bool {
    let at = pings.iter().position(|waiting| *waiting == seq);
    at.map(|at| pings.remove(at)).is_some()
}

fn take_one(count: &mut u32) -> bool {
    let left = count.checked_sub(1);
    *count = left.unwrap_or(0);
    left.is_some()
}
