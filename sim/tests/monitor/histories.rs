//! Every rule with a history that keeps it and one that breaks it.

use gridmux_sim::monitor::Role::{Acceptor, Dialler};
use gridmux_sim::monitor::{Capacities, Op, Settings, flag};

use crate::support::{
    Draft, NO_TIME, Wire, connect, connect_response, frame, link_ping, merged, pong, refusal,
};

type Act = fn(&mut Wire);

/// A rule; what goes before; what keeps the rule; what breaks it and nothing else.
pub(crate) struct Case {
    pub(crate) oracle: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) before: Act,
    pub(crate) good: Act,
    pub(crate) bad: Act,
}

/// The dialler's first mux: slot 0, generation 0.
pub(crate) const MUX: u64 = 1 << 63;
pub(crate) const NEXT_GENERATION: u64 = MUX | 1 << 32;
pub(crate) const CAPACITIES: (u32, u32) = (2, 2);

pub(crate) fn settings() -> Settings {
    let capacities = Capacities::new().with(2, None, CAPACITIES).with(3, None, (0, 2));
    let mut settings = Settings::new();
    settings.capacities = [capacities.clone(), capacities];
    settings.message_limit = 100_000;
    settings.caller_takes_known = true;
    settings.callee_takes_known = true;
    settings
}

pub(crate) fn request(mux: u64) -> Draft {
    Draft::new(Op::Request, mux, 0).with(flag::EOF).handler(1).deadline(1000).payload(b"question")
}

pub(crate) fn open(mux: u64) -> Draft {
    Draft::new(Op::ConnectMux, mux, 0).handler(2).payload(b"open")
}

pub(crate) fn item(seq: u32) -> Draft {
    Draft::new(Op::MuxClientMsg, MUX, seq).payload(b"in")
}

pub(crate) fn served(seq: u32) -> Draft {
    Draft::new(Op::MuxServerMsg, MUX, seq).payload(b"out")
}

pub(crate) fn last(seq: u32) -> Draft {
    Draft::new(Op::MuxServerMsg, MUX, seq).with(flag::EOF)
}

pub(crate) fn bare(op: Op, seq: u32) -> Draft {
    Draft::new(op, MUX, seq)
}

fn response() -> Draft {
    bare(Op::Response, 0).with(flag::EOF).payload(b"answer")
}

fn nothing(_: &mut Wire) {}

pub(crate) fn up(wire: &mut Wire) {
    wire.up([1, 2]);
}

pub(crate) fn asked(wire: &mut Wire) {
    up(wire);
    wire.say(Dialler, &request(MUX));
}

pub(crate) fn opened(wire: &mut Wire) {
    up(wire);
    wire.say(Dialler, &open(MUX));
}

pub(crate) fn acked(wire: &mut Wire) {
    opened(wire);
    wire.say(Acceptor, &bare(Op::AckMux, 0));
}

const O16: &str = "O16";
const O9: &str = "O9";
const O8: &str = "O8";

macro_rules! cases {
    ($($oracle:ident $rule:literal: $before:expr, $good:expr, $bad:expr;)*) => {
        &[$(Case { oracle: $oracle, rule: $rule, before: $before, good: $good, bad: $bad }),*]
    };
}

#[rustfmt::skip]
pub(crate) static FORM: &[Case] = cases! {
    O16 "unknown op": up, |w| w.say(Dialler, &request(MUX)), |w| w.say(Dialler, &Draft::new(Op::Unknown(18), 0, 0));
    O16 "mux id of the wrong kind for the op": up, |w| w.say(Dialler, &Draft::new(Op::Disconnect, 0, 0)), |w| w.say(Dialler, &Draft::new(Op::Disconnect, 5, 0));
    O16 "mux id without bit 63": up, |w| w.say(Dialler, &request(MUX)), |w| w.say(Dialler, &request(1));
    O16 "base flags": up, |w| w.say(Dialler, &request(MUX)), |w| w.say(Dialler, &request(MUX).without_crc());
    O16 "wrong checksum": up, |w| w.say(Dialler, &request(MUX)), |w| {
        let mut bytes = request(MUX).encode();
        *bytes.last_mut().unwrap() ^= 1;
        w.bytes(Dialler, &frame(Dialler, 2, true, &bytes));
    };
    O16 "flags": asked, |w| w.say(Acceptor, &response()), |w| w.say(Acceptor, &response().subroute([0; 32]));
    O16 "sequence number where there is none": acked, |w| w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)), |w| w.say(Acceptor, &bare(Op::DisconnectClientMux, 1));
    O16 "deadline where there is none": asked, |w| w.say(Acceptor, &response()), |w| w.say(Acceptor, &response().deadline(1));
    O16 "handler where there is none": asked, |w| w.say(Acceptor, &response()), |w| w.say(Acceptor, &response().handler(1));
    O16 "request without a deadline": up, |w| w.say(Dialler, &request(MUX)), |w| w.say(Dialler, &request(MUX).deadline(0));
    O16 "ZERO on a payload that is not empty": acked, |w| w.say(Acceptor, &served(1).payload(b"").with(flag::ZERO)), |w| w.say(Acceptor, &served(1).with(flag::ZERO));
    O16 "payload where there is none": opened, |w| w.say(Acceptor, &bare(Op::AckMux, 0)), |w| w.say(Acceptor, &bare(Op::AckMux, 0).payload(b"x"));
    O16 "payload map": asked, |w| w.say(Acceptor, &refusal(MUX)), |w| w.say(Acceptor, &refusal(MUX).payload(b"no"));
    O16 "time in the pong of a mux": |w| { acked(w); w.say(Dialler, &bare(Op::Ping, 1)); }, |w| w.say(Acceptor, &pong(MUX, 1, false, NO_TIME)), |w| w.say(Acceptor, &pong(MUX, 1, false, 5));
    O16 "error that is not final": acked, |w| w.say(Acceptor, &last(1).with(flag::ERR).payload(b"no")), |w| w.say(Acceptor, &served(1).with(flag::ERR));
    O16 "nil item": acked, |w| w.say(Acceptor, &served(1).payload(b"").with(flag::ZERO)), |w| w.say(Acceptor, &served(1).payload(b""));
    O16 "payload on the end": acked, |w| w.say(Acceptor, &last(1)), |w| w.say(Acceptor, &last(1).payload(b"x"));
    O16 "subroute of another handler": up, |w| {
        let mut id = [9; 32];
        id[..2].copy_from_slice(&[1, 0]);
        w.say(Dialler, &request(MUX).subroute(id));
    }, |w| w.say(Dialler, &request(MUX).subroute([9; 32]));
    O16 "not written in the smallest form": up, |w| w.say(Dialler, &request(MUX)), |w| {
        let bytes = Draft::new(Op::Disconnect, 0, 0).encode();
        let bytes = [&[0xdc, 0, 7], &bytes[1..bytes.len() - 4]].concat();
        let crc = xxhash_rust::xxh3::xxh3_64(&bytes) as u32;
        w.bytes(Dialler, &frame(Dialler, 2, true, &[&bytes[..], &crc.to_le_bytes()].concat()));
    };
    O16 "first message over the limit": nothing, |w| w.say(Dialler, &connect(1)), |w| {
        let mut long = connect(1);
        long.payload.extend([0; 70_000]);
        w.say(Dialler, &long);
    };
    O16 "message over the limit": up, |w| w.say(Dialler, &request(MUX).payload(&[0; 99_000])), |w| w.say(Dialler, &request(MUX).payload(&[0; 100_000]));
    O16 "number of parts": acked, |w| w.send_merged(Dialler, &[item(1), item(2)]), |w| w.send_merged(Dialler, &[item(1)]);
    O16 "large message merged": up, |w| w.send_merged(Dialler, &[request(MUX).payload(&[0; 16_000]), request(MUX + 1)]), |w| w.send_merged(Dialler, &[request(MUX).payload(&[0; 16_400]), request(MUX + 1)]);
    O16 "message that travels alone merged": up, |w| w.send_merged(Dialler, &[request(MUX), request(MUX + 1)]), |w| {
        let within = merged(&[request(MUX).encode(), request(MUX + 1).encode()]);
        w.bytes(Dialler, &frame(Dialler, 2, true, &merged(&[request(MUX).encode(), within])));
    };
    O16 "text message": up, |w| w.bytes(Dialler, &frame(Dialler, 9, true, b"ping")), |w| w.bytes(Dialler, &frame(Dialler, 1, true, b"text"));
    O16 "bytes that are no message": up, |w| w.say(Dialler, &request(MUX)), |w| w.bytes(Dialler, &frame(Dialler, 2, true, &[0x96]));
};

#[rustfmt::skip]
pub(crate) static LINK: &[Case] = cases! {
    O16 "message before the link is open": |w| w.send(Dialler, &connect(1)), |w| {
        w.deliver(Dialler);
        w.say(Acceptor, &connect_response(2, true));
        w.say(Dialler, &request(MUX));
    }, |w| w.say(Dialler, &request(MUX));
    O16 "second Connect": up, |w| w.say(Dialler, &request(MUX)), |w| w.say(Dialler, &connect(1));
    O16 "handshake message of the other side": nothing, |w| w.say(Dialler, &connect(1)), |w| w.say(Acceptor, &connect(2));
    O16 "message after the refusal": |w| { w.say(Dialler, &connect(1)); w.send(Acceptor, &connect_response(2, false)); }, |w| w.bytes(Acceptor, &frame(Acceptor, 8, true, b"")), |w| w.say(Acceptor, &Draft::new(Op::Disconnect, 0, 0));
    O16 "message after the close frame": |w| { up(w); w.bytes(Dialler, &frame(Dialler, 8, true, b"")); }, |w| w.say(Acceptor, &request(MUX)), |w| w.say(Dialler, &request(MUX));
    O16 "second Disconnect": |w| { up(w); w.say(Dialler, &Draft::new(Op::Disconnect, 0, 0)); }, |w| w.say(Acceptor, &Draft::new(Op::Disconnect, 0, 0)), |w| w.say(Dialler, &Draft::new(Op::Disconnect, 0, 0));
    O16 "call after the Disconnect": |w| { up(w); w.say(Dialler, &Draft::new(Op::Disconnect, 0, 0)); }, |w| { w.say(Dialler, &request(MUX)); w.say(Acceptor, &request(MUX)); }, |w| { w.flush(); w.say(Acceptor, &request(MUX)); };
    O16 "call served after the Disconnect": |w| { up(w); w.say(Acceptor, &Draft::new(Op::Disconnect, 0, 0)); w.say(Dialler, &request(MUX)); }, |w| w.say(Acceptor, &refusal(MUX).with(flag::EOF).handler(1).deadline(1000)), |w| w.say(Acceptor, &response());
    O16 "pong without a ping": |w| { up(w); w.say(Dialler, &link_ping(7)); w.say(Dialler, &link_ping(8)); }, |w| w.say(Acceptor, &pong(0, 0, false, 8).deadline(10_000)), |w| w.say(Acceptor, &pong(0, 0, false, 9).deadline(10_000));
    O16 "pong that does not copy the ping's header": |w| { up(w); w.say(Dialler, &link_ping(7)); }, |w| w.say(Acceptor, &pong(0, 0, false, 7).deadline(10_000)), |w| w.say(Acceptor, &pong(0, 0, false, 7));
};

#[rustfmt::skip]
pub(crate) static CALLER: &[Case] = cases! {
    O16 "item before the ack": |w| { opened(w); w.send(Acceptor, &bare(Op::AckMux, 0)); }, |w| { w.deliver(Acceptor); w.say(Dialler, &item(1)); }, |w| w.say(Dialler, &item(1));
    O16 "item after the end of the input": |w| { acked(w); w.say(Dialler, &bare(Op::MuxClientMsg, 1).with(flag::EOF)); }, |w| w.say(Dialler, &bare(Op::Ping, 2)), |w| w.say(Dialler, &item(2));
    O16 "second end of the input": |w| { opened(w); w.say(Dialler, &bare(Op::MuxClientMsg, 1).with(flag::EOF)); }, |w| w.say(Dialler, &bare(Op::Ping, 2)), |w| w.say(Dialler, &bare(Op::MuxClientMsg, 2).with(flag::EOF));
    O16 "credit before the ack": opened, |w| {
        w.say(Acceptor, &bare(Op::AckMux, 0));
        w.say(Acceptor, &served(1));
        w.monitor.taken(w.connection, Dialler, Dialler, MUX);
        w.say(Dialler, &bare(Op::UnblockSrvMux, 1));
    }, |w| w.say(Dialler, &bare(Op::UnblockSrvMux, 1));
    O16 "message after the cancel": |w| { acked(w); w.say(Dialler, &bare(Op::DisconnectServerMux, 0)); }, nothing, |w| w.say(Dialler, &bare(Op::Ping, 1));
    O16 "message after the end was known": |w| { acked(w); w.say(Acceptor, &last(1)); }, |w| { w.say(Dialler, &bare(Op::Ping, 1)); w.flush(); }, |w| { w.flush(); w.say(Dialler, &bare(Op::Ping, 1)); };
    O16 "message for a mux that is over": |w| { acked(w); w.say(Acceptor, &last(1)); w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)); }, |w| { w.say(Dialler, &bare(Op::Ping, 1)); w.flush(); }, |w| { w.flush(); w.say(Dialler, &bare(Op::Ping, 1)); };
    O16 "message of a stream on a request": asked, |w| w.say(Dialler, &bare(Op::DisconnectServerMux, 0)), |w| w.say(Dialler, &item(1));
    O16 "EOF and the input capacity disagree": up, |w| { w.say(Dialler, &open(MUX)); w.say(Dialler, &open(MUX + 1).handler(3).with(flag::EOF)); }, |w| w.say(Dialler, &open(MUX).handler(3));
    O16 "sequence number": acked, |w| { w.say(Dialler, &item(1)); w.say(Dialler, &item(2)); }, |w| w.say(Dialler, &item(2));
    O16 "slot of a call that is open": asked, |w| { w.say(Acceptor, &response()); w.say(Dialler, &request(NEXT_GENERATION)); }, |w| w.say(Dialler, &request(NEXT_GENERATION));
};

#[rustfmt::skip]
pub(crate) static CALLEE: &[Case] = cases! {
    O16 "answer before the call arrives": |w| { up(w); w.send(Dialler, &open(MUX)); }, |w| { w.deliver(Dialler); w.say(Acceptor, &bare(Op::AckMux, 0)); }, |w| w.say(Acceptor, &bare(Op::AckMux, 0));
    O16 "message before the ack": opened, |w| { w.say(Acceptor, &bare(Op::AckMux, 0)); w.say(Acceptor, &served(1)); }, |w| w.say(Acceptor, &served(0));
    O16 "second ack": acked, |w| w.say(Acceptor, &served(1)), |w| w.say(Acceptor, &bare(Op::AckMux, 1));
    O16 "refusal after the ack": acked, |w| w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)), |w| w.say(Acceptor, &refusal(MUX));
    O16 "response on a stream": opened, |w| w.say(Acceptor, &refusal(MUX)), |w| w.say(Acceptor, &response());
    O16 "message after the final one": |w| { acked(w); w.say(Acceptor, &last(1)); }, |w| w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)), |w| w.say(Acceptor, &served(2));
    O16 "message after the disconnect": |w| { acked(w); w.send(Dialler, &item(1)); w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)); }, |w| { w.deliver(Dialler); w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)); }, |w| w.say(Acceptor, &bare(Op::DisconnectClientMux, 0));
    O16 "message after the disconnect": |w| {
        acked(w);
        w.send(Dialler, &item(1));
        // Which refuses the input: what is under way of it is answered no more.
        w.say(Acceptor, &last(1).with(flag::ERR).payload(b"out-of-sequence item"));
        w.say(Acceptor, &bare(Op::DisconnectClientMux, 0));
    }, |w| { w.deliver(Dialler); w.flush(); }, |w| { w.deliver(Dialler); w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)); };
    O16 "message after the cancel was known": |w| { acked(w); w.say(Dialler, &bare(Op::DisconnectServerMux, 0)); }, |w| { w.say(Acceptor, &served(1)); w.say(Acceptor, &bare(Op::DisconnectClientMux, 0)); }, |w| { w.send(Acceptor, &served(1)); w.flush(); w.send(Acceptor, &served(2)); };
    O16 "message of a stream on a request": asked, |w| w.say(Acceptor, &refusal(MUX).with(flag::EOF)), |w| w.say(Acceptor, &bare(Op::AckMux, 0));
    O16 "second answer to a request": |w| { asked(w); w.send(Acceptor, &response()); }, |w| { w.deliver(Acceptor); w.flush(); }, |w| w.send(Acceptor, &response());
    O16 "sequence number": acked, |w| { w.say(Acceptor, &served(1)); w.say(Acceptor, &last(2)); }, |w| w.say(Acceptor, &served(2));
    O16 "sequence number": |w| { up(w); w.say(Dialler, &request(MUX)); }, |w| w.say(Acceptor, &response()), |w| w.say(Acceptor, &Draft { seq: 1, ..response() });
    O16 "pong without a ping": |w| { acked(w); w.say(Dialler, &bare(Op::Ping, 1)); }, |w| w.say(Acceptor, &pong(MUX, 1, false, NO_TIME)), |w| w.say(Acceptor, &pong(MUX, 2, false, NO_TIME));
    O16 "pong for a mux that is over": |w| { acked(w); w.say(Acceptor, &last(1)); w.say(Dialler, &bare(Op::Ping, 1)); }, |w| w.say(Acceptor, &pong(MUX, 1, true, NO_TIME)), |w| w.say(Acceptor, &pong(MUX, 1, false, NO_TIME));
};

#[rustfmt::skip]
pub(crate) static CREDIT: &[Case] = cases! {
    O9 "more sent than there are credits": |w| { acked(w); w.say(Dialler, &item(1)); w.say(Dialler, &item(2)); }, |w| {
        w.say(Dialler, &bare(Op::MuxClientMsg, 3).with(flag::EOF));
    }, |w| w.say(Dialler, &item(3));
    O9 "more sent than there are credits": |w| {
        acked(w);
        w.say(Dialler, &item(1));
        w.say(Dialler, &item(2));
        w.monitor.taken(w.connection, Acceptor, Dialler, MUX);
        w.send(Acceptor, &bare(Op::UnblockClMux, 1));
    }, |w| { w.deliver(Acceptor); w.say(Dialler, &item(3)); }, |w| w.say(Dialler, &item(3));
    O9 "more sent than there are credits": |w| { acked(w); w.say(Acceptor, &served(1)); }, |w| w.say(Acceptor, &last(2)), |w| { w.say(Acceptor, &served(2)); w.say(Acceptor, &last(3)); };
    O9 "more credits than items": |w| { acked(w); w.send(Acceptor, &served(1)); w.monitor.taken(w.connection, Dialler, Dialler, MUX); }, |w| { w.deliver(Acceptor); w.say(Dialler, &bare(Op::UnblockSrvMux, 1)); }, |w| w.say(Dialler, &bare(Op::UnblockSrvMux, 1));
    O9 "credit for an item that is not taken": |w| { acked(w); w.say(Dialler, &item(1)); }, |w| { w.monitor.input_dropped(w.connection, Dialler, MUX); w.say(Acceptor, &bare(Op::UnblockClMux, 1)); }, |w| w.say(Acceptor, &bare(Op::UnblockClMux, 1));
};

#[rustfmt::skip]
pub(crate) static CONNECTIONS: &[Case] = cases! {
    O8 "message for a mux that was not opened on this connection": |w| { asked(w); w.reconnect(); up(w); }, |w| { w.say(Dialler, &request(NEXT_GENERATION)); w.say(Acceptor, &Draft { mux: NEXT_GENERATION, ..response() }); }, |w| w.say(Acceptor, &response());
    O8 "message for a mux that was not opened on this connection": |w| { acked(w); w.reconnect(); up(w); }, nothing, |w| w.say(Dialler, &item(1));
    O8 "generation that does not grow": |w| { asked(w); w.reconnect(); up(w); }, |w| w.say(Dialler, &request(NEXT_GENERATION)), |w| w.say(Dialler, &request(MUX));
    O8 "generation that does not grow": |w| { up(w); w.say(Dialler, &request(NEXT_GENERATION)); w.reconnect(); }, |w| { w.up([7, 2]); w.say(Dialler, &request(MUX)); }, |w| { up(w); w.say(Dialler, &request(MUX)); };
    O8 "generation that does not grow": |w| { up(w); w.say(Dialler, &request(u64::MAX)); w.reconnect(); up(w); }, |w| w.say(Dialler, &request(MUX | 0xffff_ffff)), |w| w.say(Dialler, &request(u64::MAX - (1 << 32)));
};

#[test]
fn a_history_that_keeps_a_rule_is_clean_and_one_that_breaks_it_is_found() {
    for case in [FORM, LINK, CALLER, CALLEE, CREDIT, CONNECTIONS].into_iter().flatten() {
        let mut good = Wire::new(settings());
        (case.before)(&mut good);
        (case.good)(&mut good);
        assert_eq!(good.found(), [], "{}: the good history", case.rule);
        let mut bad = Wire::new(settings());
        (case.before)(&mut bad);
        assert_eq!(bad.found(), [], "{}: what goes before", case.rule);
        (case.bad)(&mut bad);
        assert_eq!(bad.found(), [(case.oracle, case.rule)], "{}: the bad history", case.rule);
    }
}

#[test]
fn every_rule_has_its_histories() {
    let sources = [
        include_str!("../../src/monitor/rules/automata.rs"),
        include_str!("../../src/monitor/rules/credit.rs"),
        include_str!("../../src/monitor/rules/epoch.rs"),
        include_str!("../../src/monitor/rules/link.rs"),
        include_str!("../../src/monitor/rules/shape.rs"),
        include_str!("../../src/monitor/judge.rs"),
        include_str!("../../src/monitor/pair.rs"),
    ];
    let after = |source: &'static str, mark: &'static str| {
        source.split(mark).skip(1).filter_map(|rest| rest.split('"').next())
    };
    let marks = ["Err(\"", "GRAMMAR, \"", "&str = \""];
    let cases = || [FORM, LINK, CALLER, CALLEE, CREDIT, CONNECTIONS].into_iter().flatten();
    let mut rules = 0;
    for rule in sources.iter().flat_map(|s| marks.iter().flat_map(move |mark| after(s, mark))) {
        rules += 1;
        let known = cases().any(|case| case.rule == rule);
        assert!(known, "no history for: {rule}");
    }
    assert!(rules > 50, "{rules}");
}
