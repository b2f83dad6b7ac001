//! Nodes that are not ours: they are not judged, and they explain what ours do about them.

use std::collections::BTreeSet;

use gridmux_sim::monitor::Role::{Acceptor, Dialler};
use gridmux_sim::monitor::{Conduct, Op, Role, Settings, flag};

use crate::histories::{MUX, acked, bare, item, last, open, opened, request, served, settings, up};
use crate::support::{Draft, NO_TIME, Wire, frame, pong};
use crate::vectors::{self, Event, Side};

fn hostile(role: Role) -> Settings {
    let mut settings = settings();
    settings.conduct[role.index()] = Conduct::Hostile;
    settings
}

/// The rules that two recorded Go nodes break, who are told of all at once.
fn oddities(link: &str) -> BTreeSet<&'static str> {
    let mut settings = Settings::new();
    settings.conduct = [Conduct::Go; 2];
    settings.base_crc = link != "https";
    let mut wire = Wire::new(settings);
    for entry in vectors::link(link) {
        let from = if entry.from == Side::Dialler { Dialler } else { Acceptor };
        match entry.event {
            Event::Http(_) => {}
            Event::Frame { opcode, bytes } => wire.bytes(from, &frame(from, opcode, true, &bytes)),
            Event::Message(message) => wire.bytes(from, &frame(from, 2, true, &message.bytes)),
        }
        wire.deliver(from);
    }
    assert_eq!(wire.found(), [], "Go nodes are not judged");
    wire.monitor.oddities().keys().copied().collect()
}

#[test]
fn recorded_go_nodes_keep_the_grammar_but_for_what_is_known_of_them() {
    let ids = BTreeSet::from(["mux id without bit 63"]);
    for link in ["https", "pings", "singles", "streams-two-way", "subroutes"] {
        assert_eq!(oddities(link), ids, "{link}");
    }
    let known = BTreeSet::from([
        "mux id without bit 63",
        // PROTOCOL.md sections 5, 5.2 and 7.1.
        "sequence number where there is none",
        "nil item",
        "message after the cancel",
        "message of a stream on a request",
        "message for a mux that was not opened on this connection",
        // The recorder's two directions are a little out of step.
        "message before the link is open",
        "message before the ack",
        "item before the ack",
        "credit before the ack",
        "more credits than items",
        // One file holds two connections.
        "message after the refusal",
    ]);
    let all: BTreeSet<_> = vectors::LINKS.into_iter().flat_map(oddities).collect();
    assert_eq!(all, known);
}

#[test]
fn a_violation_is_answered_by_an_error_without_a_credit() {
    let history = |settings: Settings, end: &Draft| {
        let mut wire = Wire::new(settings);
        acked(&mut wire);
        wire.say(Acceptor, &served(1));
        wire.say(Acceptor, &served(2));
        wire.say(Acceptor, end);
        (wire.found(), wire.monitor.excuses().get("error without a credit").copied())
    };
    let error = last(3).with(flag::ERR).payload(b"out of sequence");
    let broken = vec![("O9", "more sent than there are credits")];
    assert_eq!(history(hostile(Dialler), &error), (vec![], Some(1)));
    assert_eq!(history(settings(), &error), (broken.clone(), None), "nothing explains it");
    assert_eq!(history(hostile(Dialler), &last(3)), (broken, None), "an orderly end always costs");
}

#[test]
fn surplus_credits_of_others_count_for_nothing() {
    let mut wire = Wire::new(hostile(Dialler));
    acked(&mut wire);
    (1..4).for_each(|seq| wire.say(Dialler, &bare(Op::UnblockSrvMux, seq)));
    wire.flush();
    (1..3).for_each(|seq| wire.say(Acceptor, &served(seq)));
    assert_eq!(wire.found(), []);
    assert_eq!(wire.monitor.oddities()["more credits than items"], 3);
    wire.say(Acceptor, &served(3));
    assert_eq!(wire.found(), [("O9", "more sent than there are credits")]);
}

#[test]
fn a_surplus_credit_counts_for_what_was_queued_when_it_came() {
    let mut wire = Wire::new(hostile(Dialler));
    acked(&mut wire);
    wire.say(Dialler, &bare(Op::UnblockSrvMux, 1));
    // One of these had left the application before the credit came.
    (1..4).for_each(|seq| wire.say(Acceptor, &served(seq)));
    wire.flush();
    assert_eq!(wire.found(), []);
    wire.say(Acceptor, &served(4));
    assert_eq!(wire.found(), [("O9", "more sent than there are credits")]);
}

#[test]
fn input_that_crosses_the_error_of_a_handler_is_answered_once_and_that_which_is_refused_never() {
    let answered = |error: &[u8]| {
        let mut wire = Wire::new(settings());
        acked(&mut wire);
        wire.send(Dialler, &item(1));
        wire.say(Acceptor, &last(1).with(flag::ERR).payload(error));
        wire.say(Acceptor, &bare(Op::DisconnectClientMux, 0));
        wire.deliver(Dialler);
        wire.say(Acceptor, &bare(Op::DisconnectClientMux, 0));
        wire.found()
    };
    assert_eq!(answered(b"the disk is full, sorry"), []);
    let again = [("O16", "message after the disconnect")];
    for refusal in [
        &b"did not expect inbound message"[..],
        b"more items than credits",
        b"out-of-sequence message",
        b"too much received data waits to be taken",
    ] {
        assert_eq!(answered(refusal), again);
    }
}

#[test]
fn strays_are_answered_once_each() {
    let mut wire = Wire::new(hostile(Dialler));
    up(&mut wire);
    let (ping, input) = (Draft::new(Op::Ping, 5, 9), Draft::new(Op::MuxClientMsg, 6, 0));
    wire.say(Dialler, &ping);
    wire.say(Dialler, &input);
    wire.say(Dialler, &Draft::new(Op::AckMux, MUX, 0));
    wire.say(Acceptor, &pong(5, 9, true, NO_TIME));
    wire.say(Acceptor, &Draft::new(Op::DisconnectClientMux, 6, 0));
    wire.say(Acceptor, &Draft::new(Op::DisconnectServerMux, MUX, 0));
    assert_eq!(wire.found(), []);
    assert_eq!(wire.monitor.excuses().get("answer to a stray message"), Some(&3));

    let rule = ("O8", "message for a mux that was not opened on this connection");
    wire.say(Acceptor, &Draft::new(Op::DisconnectServerMux, MUX, 0));
    wire.say(Acceptor, &Draft::new(Op::DisconnectClientMux, 6, 0));
    wire.say(Acceptor, &pong(5, 9, true, NO_TIME));
    assert_eq!(wire.found(), [rule; 3]);
}

#[test]
fn after_a_broken_rule_the_other_end_is_not_judged_on_that_mux() {
    let mut wire = Wire::new(hostile(Dialler));
    opened(&mut wire);
    wire.say(Dialler, &open(MUX));
    wire.say(Acceptor, &bare(Op::AckMux, 0));
    wire.say(Acceptor, &bare(Op::AckMux, 0));
    assert_eq!(wire.found(), [], "two calls with one id");
    wire.say(Acceptor, &served(1).payload(b""));
    assert_eq!(wire.found(), [("O16", "nil item")], "the form is judged all the same");
    wire.say(Dialler, &request(MUX + 1));
    wire.say(Acceptor, &Draft::new(Op::AckMux, MUX + 1, 0));
    assert_eq!(wire.found().len(), 2, "other muxes are judged");
}

#[test]
fn what_does_not_arrive_as_it_was_sent_explains_any_answer() {
    let mut wire = Wire::new(settings());
    up(&mut wire);
    wire.monitor.distrust(wire.connection, Dialler);
    wire.say(Dialler, &open(MUX));
    wire.say(Acceptor, &served(7));
    wire.say(Acceptor, &Draft::new(Op::DisconnectClientMux, 9, 0));
    assert_eq!(wire.found(), []);
    wire.say(Dialler, &item(7));
    assert_eq!(wire.found().len(), 1, "the sender itself is judged");
}

#[test]
fn messages_that_cross_an_end_are_no_violation() {
    let mut wire = Wire::new(settings());
    acked(&mut wire);
    wire.send(Dialler, &item(1));
    wire.send(Dialler, &bare(Op::Ping, 2));
    wire.send(Acceptor, &served(1));
    wire.send(Acceptor, &last(2));
    wire.send(Acceptor, &bare(Op::DisconnectClientMux, 0));
    wire.flush();
    wire.deliver(Acceptor);
    // Queued before the end was known.
    wire.send(Dialler, &bare(Op::DisconnectServerMux, 0));
    wire.flush();
    wire.deliver(Dialler);
    wire.send(Acceptor, &pong(MUX, 2, true, NO_TIME));
    wire.send(Acceptor, &bare(Op::DisconnectClientMux, 0));
    wire.deliver(Acceptor);
    wire.flush();
    assert_eq!(wire.found(), []);
    assert_eq!(wire.monitor.open_muxes(), 0);
}

#[test]
fn a_violation_says_where_it_was_sent() {
    let mut wire = Wire::new(settings());
    up(&mut wire);
    let mut start = 0;
    let unknown = frame(Dialler, 2, true, &item(1).encode());
    let (first, rest) = unknown.split_at(3);
    wire.bytes(Dialler, first);
    wire.monitor.written(wire.connection, Dialler, rest, |seen| start = seen.start);
    let found = &wire.monitor.violations()[0];
    assert_eq!((found.connection, found.from, found.mux), (wire.connection, Dialler, MUX));
    assert_eq!(found.offset, start);
    assert!(start > 0 && found.to_string().contains("MuxClientMsg seq 1"), "{found}");
}

#[test]
fn no_conversation_makes_it_panic() {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut violations, mut oddities) = (0, 0);
    for round in 0..300 {
        let mut settings = settings();
        settings.conduct[round % 2] = Conduct::Hostile;
        let mut wire = Wire::new(settings);
        up(&mut wire);
        for _ in 0..60 {
            let from = if random(2) == 0 { Dialler } else { Acceptor };
            let mux = [0, 1, MUX, MUX + 1, MUX | 1 << 32][random(5) as usize];
            let op = Op::from_number(random(19) as u8);
            let draft =
                Draft::new(op, mux, random(3) as u32).with(random(64) as u8 & !flag::SUBROUTE);
            match random(8) {
                0 => wire.deliver(Dialler),
                1 => wire.deliver(Acceptor),
                2 => wire.flush(),
                3 => wire.send_merged(from, &[draft.clone(), draft]),
                _ => wire.send(from, &draft.handler(random(4) as u8)),
            }
        }
        violations += wire.monitor.violations().len();
        oddities += wire.monitor.oddities().len();
    }
    assert!(violations > 1000 && oddities > 1000, "{violations} {oddities}");
}
