//! O9: nobody sends more than the other end has room for, the final message counted, nor gives back
//! more credits than it was sent items (PROTOCOL.md section 5.2). Judged by the
//! [monitor](crate::monitor) of the wire: its rules are in `monitor/rules/credit.rs`.

use super::on_wire;
use super::{Bench, Case};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    on_wire::tell(case, bench);
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Flags, Op};

    use crate::monitor::Role::{Acceptor, Dialler};
    use crate::oracle::on_wire::tale::{MUX, Talk, header};

    /// A stream whose caller has sent all the input that it has credits for.
    fn opened() -> Talk {
        let mut talk = Talk::new();
        talk.say(Dialler, header(Op::ConnectMux, MUX, 0, Flags::empty()), b"open")
            .say(Acceptor, header(Op::AckMux, MUX, 0, Flags::empty()), b"")
            .say(Dialler, header(Op::MuxClientMsg, MUX, 1, Flags::empty()), b"one");
        talk
    }

    #[test]
    fn a_credit_for_each_item_is_good() {
        let mut talk = opened();
        talk.say(Acceptor, header(Op::UnblockClMux, MUX, 1, Flags::empty()), b"").say(
            Dialler,
            header(Op::MuxClientMsg, MUX, 2, Flags::empty()),
            b"two",
        );
        talk.tale().is_good(9);
    }

    #[test]
    fn an_item_beyond_the_credits_is_bad() {
        let mut talk = opened();
        talk.say(Dialler, header(Op::MuxClientMsg, MUX, 2, Flags::empty()), b"two");
        assert_eq!(talk.tale().broken(9), ["more sent than there are credits"]);
    }

    #[test]
    fn a_credit_beyond_the_items_is_bad() {
        let mut talk = opened();
        talk.say(Acceptor, header(Op::UnblockClMux, MUX, 1, Flags::empty()), b"").say(
            Acceptor,
            header(Op::UnblockClMux, MUX, 2, Flags::empty()),
            b"",
        );
        assert_eq!(talk.tale().broken(9), ["more credits than items"]);
    }
}
