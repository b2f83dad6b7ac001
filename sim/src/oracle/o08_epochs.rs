//! O8: no message crosses from one connection to another, and no id of a mux is used again while
//! its process lives (PROTOCOL.md section 7.1). Judged by the [monitor](crate::monitor) of the wire:
//! its rules are in `monitor/rules/epoch.rs`.

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

    #[test]
    fn ids_whose_generations_grow_are_good() {
        let mut talk = Talk::new();
        talk.say(Dialler, header(Op::Request, MUX, 0, Flags::EOF), b"ask").connect();
        talk.say(Dialler, header(Op::Request, MUX | 1 << 32, 0, Flags::EOF), b"ask");
        talk.tale().is_good(8);
    }

    #[test]
    fn an_id_that_is_used_again_is_bad() {
        let mut talk = Talk::new();
        talk.say(Dialler, header(Op::Request, MUX, 0, Flags::EOF), b"ask").connect();
        talk.say(Dialler, header(Op::Request, MUX, 0, Flags::EOF), b"ask");
        assert_eq!(talk.tale().broken(8), ["generation that does not grow"]);
    }

    #[test]
    fn an_answer_on_another_connection_is_bad() {
        let mut talk = Talk::new();
        talk.say(Dialler, header(Op::Request, MUX, 0, Flags::EOF), b"ask").connect();
        talk.say(Acceptor, header(Op::Response, MUX, 0, Flags::EOF), b"answer");
        let rule = "message for a mux that was not opened on this connection";
        assert_eq!(talk.tale().broken(8), [rule]);
    }
}
