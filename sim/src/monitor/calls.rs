//! What the monitor remembers of a mux while either end may send something on it.

use std::collections::BTreeMap;

use super::decode::{Message, Op};
use super::rules::{CalleeState, CallerState, Flow, generations_between};

/// One end of a mux.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<S> {
    pub(super) state: S,
    /// The next sequence number that it sends.
    pub(super) next_seq: u32,
    /// Its messages that are not delivered yet.
    pub(super) under_way: u32,
}

/// One mux.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) is_stream: bool,
    pub(super) caller: End<CallerState>,
    pub(super) callee: End<CalleeState>,
    pub(super) first_seq: u32,
    /// The opening message has been delivered.
    pub(super) known: bool,
    /// That was after the callee had said that it takes no more calls.
    pub(super) must_be_refused: bool,
    /// The callee has refused the input: what follows of it is answered no more.
    pub(super) refused: bool,
    /// Somebody broke a rule: what follows is nobody's fault.
    pub(super) murky: bool,
    /// The end of the mux is delivered to the caller.
    pub(super) ended: bool,
    /// Sequence numbers of pings that are delivered and not answered.
    pub(super) pings: Vec<u32>,
    /// Input that is delivered and that may prove late: each may be answered by a disconnect.
    pub(super) inputs: u32,
    /// Caller to callee.
    pub(super) input: Flow,
    /// Callee to caller.
    pub(super) output: Flow,
}

impl Call {
    /// Opened by this message. `capacities`: of the input as the caller knows it, of the output as
    /// the callee does.
    pub(super) fn opened(message: &Message, capacities: (Option<u32>, Option<u32>)) -> Self {
        let is_stream = message.op == Op::ConnectMux;
        let input_over = is_stream && message.has(super::flag::EOF);
        let state = if input_over { CallerState::Closed } else { CallerState::Opened };
        let next_seq = message.seq.wrapping_add(1);
        Self {
            is_stream,
            caller: End { state, next_seq, under_way: 0 },
            callee: End { state: CalleeState::Fresh, next_seq: message.seq, under_way: 0 },
            first_seq: message.seq,
            known: false,
            must_be_refused: false,
            refused: false,
            murky: false,
            ended: false,
            pings: Vec::new(),
            inputs: 0,
            input: Flow::new(capacities.0),
            output: Flow::new(capacities.1),
        }
    }

    /// Neither end may send anything more, and nothing is under way or may be answered yet.
    pub(super) fn is_over(&self) -> bool {
        let quiet = self.caller.under_way == 0 && self.callee.under_way == 0;
        let answered = self.pings.is_empty() && self.inputs == 0;
        let done = self.caller.state.is_done() && self.callee.state == CalleeState::Told;
        quiet && answered && done
    }
}

/// What has come for a mux that was never opened, and may be answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Stray {
    pub(super) pings: Vec<u32>,
    pub(super) inputs: u32,
    /// Answers to a call that was never made.
    pub(super) answers: u32,
}

/// Which ids one side has opened on a connection, by slot: the first and the last of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened(BTreeMap<u32, (u64, u64)>);

impl Opened {
    pub(super) fn insert(&mut self, mux: u64) {
        self.0.entry(mux as u32).or_insert((mux, mux)).1 = mux;
    }

    pub(super) fn contains(&self, mux: u64) -> bool {
        self.0.get(&(mux as u32)).is_some_and(|(first, last)| {
            // The highest bit is of no generation: it tells our ids from others.
            let same_kind = (first ^ mux) >> 63 == 0;
            same_kind && generations_between(*first, mux) <= generations_between(*first, *last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_was_opened_if_its_slot_had_its_generation() {
        const OURS: u64 = 1 << 63;
        let mut opened = Opened::default();
        for generation in [5, 6] {
            opened.insert(OURS | generation << 32 | 7);
        }
        let cases =
            [(OURS, 4, 7), (OURS, 5, 7), (OURS, 6, 7), (OURS, 7, 7), (OURS, 5, 8), (0, 5, 7)];
        let found =
            cases.map(|(kind, generation, slot)| opened.contains(kind | generation << 32 | slot));
        assert_eq!(found, [false, true, true, false, false, false]);
    }
}
