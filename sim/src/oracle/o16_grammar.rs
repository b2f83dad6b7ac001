//! O16: who may send what when, message by message and mux by mux; the form of each message;
//! sequence numbers (PROTOCOL.md sections 2 to 5). Judged by the [monitor](crate::monitor) of the
//! wire: its rules are in `monitor/rules/automata.rs`, `link.rs` and `shape.rs`.

use super::on_wire;
use super::{Bench, Case};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    on_wire::tell(case, bench);
    for (excuse, count) in &case.evidence.wire.excuses {
        bench.excuse_times(excuse, *count);
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Flags, Op};

    use crate::monitor::Role::{Acceptor, Dialler};
    use crate::oracle::on_wire::tale::{MUX, Talk, header};

    fn asked() -> Talk {
        let mut talk = Talk::new();
        talk.say(Dialler, header(Op::Request, MUX, 0, Flags::EOF), b"ask");
        talk
    }

    #[test]
    fn a_request_that_is_answered_is_good() {
        let mut talk = asked();
        talk.say(Acceptor, header(Op::Response, MUX, 0, Flags::EOF), b"answer");
        talk.tale().is_good(16);
    }

    #[test]
    fn a_second_answer_is_bad() {
        let mut talk = asked();
        talk.say(Acceptor, header(Op::Response, MUX, 0, Flags::EOF), b"answer").say(
            Acceptor,
            header(Op::Response, MUX, 0, Flags::EOF),
            b"answer",
        );
        assert_eq!(talk.tale().broken(16).len(), 1);
    }

    #[test]
    fn what_comes_for_mux_0_may_be_answered_as_for_any_other_mux() {
        let answer = |seq| {
            let mut talk = Talk::new();
            talk.say(Dialler, header(Op::DisconnectServerMux, 0, seq, Flags::empty()), b"");
            talk.tale()
        };
        answer(0).is_good(16);
        assert_eq!(answer(1).broken(16), ["sequence number where there is none"]);
    }

    #[test]
    fn a_wrong_sequence_number_is_bad() {
        let mut talk = asked();
        talk.say(Acceptor, header(Op::Response, MUX, 1, Flags::EOF), b"answer");
        assert_eq!(talk.tale().broken(16), ["sequence number"]);
    }
}
