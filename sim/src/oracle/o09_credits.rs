//! O9: nobody sends more than the other end has room for, the final message counted, nor gives back
//! more credits than it was sent items (PROTOCOL.md section 5.2). Judged by the
//! [monitor](crate::monitor) of the wire: its rules are in `monitor/rules/credit.rs`.
//!
//! A caller gives a credit back for an item that its application has taken, not for one that has
//! merely come: by any time at most [`AHEAD`] more than its application has recorded.
//!
//! Not judged: what becomes of credits of streams of bytes, whose items on the wire are not those of the
//! script, and of handlers that are not ours, whose items may be nil.

use std::collections::BTreeMap;

use super::on_wire;
use super::story::Story;
use super::{Bench, Case};
use crate::history::{CallId, Entry, Sight};
use crate::script::{Call, Way};

/// An item that is not of the type that its application asks for is taken, too.
const AHEAD: usize = 1;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    on_wire::tell(case, bench);
    let is_judged = |story: &&Story<'_>| {
        let Call { route, way, .. } = story.call;
        story.ours == [true; 2] && route.gives_items() && *way != Way::Bytes
    };
    let mut credits = BTreeMap::<CallId, Vec<u64>>::new();
    for (call, at) in &case.evidence.credits {
        credits.entry(*call).or_default().push(*at);
    }
    for story in case.stories.iter().filter(is_judged) {
        judge_given(bench, story, credits.get(&story.id).map_or(&[], Vec::as_slice));
    }
}

/// Credits go back, at these times, for items that were taken.
fn judge_given(bench: &mut Bench<'_>, story: &Story<'_>, credits: &[u64]) {
    let is_taken = |entry: &&&Entry| matches!(entry.sight, Sight::Taken(..));
    let mut ahead = story.caller.iter().filter(is_taken).peekable();
    let mut taken = 0;
    for (count, at) in (1..).zip(credits) {
        bench.judged();
        while ahead.next_if(|entry| entry.at <= *at).is_some() {
            taken += 1;
        }
        if count > taken + AHEAD {
            let detail = format!("{count} credits for {taken} items");
            let rule = "a credit for an item that was not taken";
            return bench.unsafe_exchange(rule, *at, story, &detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Flags, Op};

    use crate::history::Sight::{Issued, Opened, Started, Taken};
    use crate::monitor::Role::{Acceptor, Dialler};
    use crate::oracle::on_wire::tale::{MUX, Talk, header};
    use crate::oracle::tale::{MS, Tale, call};
    use crate::script::{Fault, Route};
    use crate::world::Damage;

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

    /// A stream whose application takes an item at 20 ms and at 30 ms.
    fn taken() -> Tale {
        let sights = [
            (5, Issued),
            (6, Started(true)),
            (7, Opened),
            (20, Taken(0, true)),
            (30, Taken(1, true)),
        ];
        Tale::of(call(Route::Source), &sights)
    }

    #[test]
    fn credits_behind_what_is_taken_are_good() {
        let mut tale = taken();
        tale.evidence.credits = [15, 20, 30].map(|at| (0, at * MS)).to_vec();
        tale.is_good(9);
    }

    #[test]
    fn credits_for_what_has_only_come_are_bad() {
        let mut tale = taken();
        tale.evidence.credits = [15, 16].map(|at| (0, at * MS)).to_vec();
        assert_eq!(tale.broken(9), ["a credit for an item that was not taken"]);
    }

    #[test]
    fn a_changed_byte_may_have_made_an_item_that_nobody_takes() {
        let mut tale = taken();
        tale.evidence.credits = [15, 16].map(|at| (0, at * MS)).to_vec();
        tale.evidence.script.secure = true;
        tale.fault(10, 10, Fault::Damage { from: 1, to: 0, damage: Damage::Flip(1) });
        tale.is_good(9);
    }
}
