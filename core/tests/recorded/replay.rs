//! Every recorded link again, each side in turn played by our machine: what it sends on each mux
//! is what the Go node sent, but for the allowances below, and what the application sees is the
//! same.

use std::collections::{BTreeMap, BTreeSet};

use gridmux_core::error::{CallError, LinkError};
use gridmux_core::wire::{Flags, Message, MuxConnectError, Op};

use crate::support::messages::line;
use crate::support::recording::{from_caller, is_item};
use crate::support::replayer::Replay;
use crate::support::vectors::{Side, hex, links};

/// What may differ from the recording, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Allowance {
    /// 7.1: our caller sends no DisconnectClientMux, and a peer's that names a call of its own
    /// does not end the one of ours that has the same number.
    WrongDirection,
    /// 5: DisconnectServerMux goes out once and with seq 0; a Go caller may send two.
    OneDisconnect,
    /// 5.1: we round a deadline up to whole milliseconds.
    DeadlineRoundedUp,
    /// 5.2: a nil item is sent as an empty one.
    NilItemSentEmpty,
    /// 5.2, L25: a nil item does not end the call at our caller, and its credit goes back.
    NilItemIgnored,
    /// 5.2: the callee has given the call up and has said so: nobody is left to be told.
    CalleeGone,
    /// 7.3: a single request that is given up is announced.
    RequestCancelled,
}

const ALL: [Allowance; 7] = [
    Allowance::WrongDirection,
    Allowance::OneDisconnect,
    Allowance::DeadlineRoundedUp,
    Allowance::NilItemSentEmpty,
    Allowance::NilItemIgnored,
    Allowance::CalleeGone,
    Allowance::RequestCancelled,
];

/// A mux: whether the played side is its caller, and its recorded number.
type Mux = (bool, u64);

#[test]
fn every_recorded_link_replays_on_either_side() {
    let mut used = BTreeSet::new();
    for (name, entries) in links() {
        for side in [Side::Dialler, Side::Acceptor] {
            let mut replay = Replay::new(&entries, side);
            replay.run();
            let title = format!("{name}, {side:?}");
            check_outcomes(&title, &mut replay, &mut used);
            check_input(&title, &replay);
            check_messages(&title, &mut replay, &mut used);
            if name.starts_with("rejected") {
                assert!(replay.solo.closed.iter().all(|reason| {
                    matches!(reason, LinkError::Rejected(_) | LinkError::Refused(_))
                }));
            } else {
                assert_eq!(replay.solo.closed, [], "{title}");
            }
        }
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ALL, "every allowance is needed");
}

// ---- what was sent ----

fn check_messages(title: &str, replay: &mut Replay, used: &mut BTreeSet<Allowance>) {
    let expected = expected(replay, used);
    let sent = sent(replay, used);
    for mux in expected.keys().chain(sent.keys()) {
        let (mut expected, mut sent) = (expected.get(mux).cloned(), sent.get(mux).cloned());
        if mux.1 == 0 {
            // What concerns the link itself is not counted: its order is free.
            expected.iter_mut().chain(&mut sent).for_each(|lines| lines.sort());
        }
        assert_eq!(sent, expected, "{title}, mux {mux:?}: left ours, right recorded");
    }
}

/// All of a message that has to be equal.
fn exact(message: &Message) -> String {
    let text = line(message);
    match message.header.op {
        Op::MuxConnectError => text,
        Op::ConnectResponse if text.contains("rejected") => text,
        _ => text + " " + &hex(&message.payload),
    }
}

fn expected(replay: &Replay, used: &mut BTreeSet<Allowance>) -> BTreeMap<Mux, Vec<String>> {
    let mut muxes: BTreeMap<Mux, Vec<String>> = BTreeMap::new();
    let mut disconnected = BTreeSet::new();
    for recorded in &replay.recorded {
        let mut message = recorded.message.clone();
        let header = message.header;
        let mux = header.mux;
        let caller = mux != 0 && from_caller(header.op);
        match header.op {
            Op::Request | Op::ConnectMux if ![0, 60_000].contains(&header.deadline_ms) => {
                used.insert(Allowance::DeadlineRoundedUp);
                message.header.deadline_ms += 1;
            }
            Op::DisconnectClientMux if is_wrong_direction(replay, recorded.at, mux) => {
                used.insert(Allowance::WrongDirection);
                continue;
            }
            Op::DisconnectServerMux if replay.ours[&mux].callee_gave_up => {
                used.insert(Allowance::CalleeGone);
                continue;
            }
            Op::DisconnectServerMux if replay.has_nil_item(mux) => {
                used.insert(Allowance::NilItemIgnored);
                continue;
            }
            Op::DisconnectServerMux => {
                if header.seq != 0 || !disconnected.insert(mux) {
                    used.insert(Allowance::OneDisconnect);
                }
                if header.seq != 0 {
                    continue;
                }
            }
            Op::MuxServerMsg if is_item(&message) && message.is_nil() => {
                used.insert(Allowance::NilItemSentEmpty);
                message.header.flags |= Flags::PAYLOAD_IS_ZERO;
            }
            _ => {}
        }
        muxes.entry((caller, mux)).or_default().push(exact(&message));
    }
    muxes
}

/// A DisconnectClientMux of a side that is also the caller of a stream with this number, after it
/// has cancelled that one.
fn is_wrong_direction(replay: &Replay, at: usize, mux: u64) -> bool {
    let before = replay.recorded.iter().filter(|line| line.at <= at);
    let mut cancels = before
        .filter(|l| l.message.header.mux == mux && l.message.header.op == Op::DisconnectServerMux);
    cancels.next().is_some()
}

fn sent(replay: &Replay, used: &mut BTreeSet<Allowance>) -> BTreeMap<Mux, Vec<String>> {
    let numbers: BTreeMap<u64, u64> =
        replay.ours.iter().map(|(mux, call)| (call.key.mux_id(), *mux)).collect();
    let mut nil_credits: BTreeMap<u64, usize> =
        replay.ours.iter().map(|(mux, call)| (*mux, call.nil_credits)).collect();
    let mut muxes: BTreeMap<Mux, Vec<String>> = BTreeMap::new();
    for message in &replay.log {
        let mut message = message.clone();
        let caller = message.header.mux != 0 && from_caller(message.header.op);
        if caller {
            message.header.mux = numbers[&message.header.mux];
        }
        let mux = message.header.mux;
        if caller {
            let credits = nil_credits.get_mut(&mux).expect("a call of ours");
            if message.header.op == Op::UnblockSrvMux && *credits > 0 {
                *credits -= 1;
                used.insert(Allowance::NilItemIgnored);
                continue;
            }
            if message.header.op == Op::DisconnectServerMux && !replay.ours[&mux].is_stream {
                used.insert(Allowance::RequestCancelled);
                continue;
            }
        }
        muxes.entry((caller, mux)).or_default().push(exact(&message));
    }
    muxes
}

// ---- what the application sees ----

fn check_outcomes(title: &str, replay: &mut Replay, used: &mut BTreeSet<Allowance>) {
    let calls: Vec<_> = replay.ours.iter().map(|(mux, call)| (*mux, call.is_stream)).collect();
    for (mux, is_stream) in calls {
        let title = format!("{title}, mux {mux}");
        if is_stream {
            check_stream(&title, replay, mux);
        } else {
            check_request(&title, replay, mux, used);
        }
    }
}

fn check_request(title: &str, replay: &mut Replay, mux: u64, used: &mut BTreeSet<Allowance>) {
    let heard = |op| {
        let of_mux = replay.heard.iter().map(|l| &l.message).filter(|m| m.header.mux == mux);
        of_mux.clone().find(|m| m.header.op == op).cloned()
    };
    let (response, refusal) = (heard(Op::Response), heard(Op::MuxConnectError));
    let killed = heard(Op::DisconnectClientMux).is_some();
    let has_deadline = replay.ours[&mux].deadline.is_some();
    let outcome = replay.outcome(mux);
    match (response, refusal) {
        (Some(response), _) if response.header.flags.contains(Flags::PAYLOAD_IS_ERR) => {
            let text = String::from_utf8_lossy(&response.payload).into_owned();
            assert_eq!(outcome, Some(Err(CallError::Remote(text))), "{title}");
        }
        (Some(response), _) => {
            let payload = outcome.expect("an outcome").expect("a response");
            let seen = (payload.is_nil(), payload.as_slice());
            assert_eq!(seen, (response.is_nil(), &response.payload[..]), "{title}");
        }
        (None, Some(refusal)) => {
            let text = MuxConnectError::decode(&refusal.payload).expect("a text").error;
            assert_eq!(outcome, Some(Err(CallError::Refused(text))), "{title}");
        }
        (None, None) if has_deadline => {
            let expected = CallError::DeadlineExceeded { may_have_run: true };
            assert_eq!(outcome, Some(Err(expected)), "{title}");
        }
        (None, None) => {
            assert!(killed, "{title}: the recording says what became of it");
            assert_eq!(outcome, None, "{title}: it lives on");
            used.insert(Allowance::WrongDirection);
        }
    }
}

fn check_stream(title: &str, replay: &mut Replay, mux: u64) {
    let heard = replay.heard.iter().map(|l| &l.message).filter(|m| m.header.mux == mux);
    let heard: Vec<_> = heard.filter(|m| !from_caller(m.header.op)).cloned().collect();
    let items: Vec<_> = heard
        .iter()
        .filter(|m| is_item(m) && m.header.op == Op::MuxServerMsg && !m.is_nil())
        .map(|m| m.payload.clone())
        .collect();
    let last = heard.iter().find(|m| m.header.op == Op::MuxServerMsg && !is_item(m)).cloned();
    let refusal = heard.iter().find(|m| m.header.op == Op::MuxConnectError).cloned();
    let (cancelled, deadline) = (replay.ours[&mux].cancelled, replay.ours[&mux].deadline);
    let (seen, end) = replay.drained(mux);
    if cancelled {
        let expected = match deadline {
            Some(_) => CallError::DeadlineExceeded { may_have_run: true },
            None => CallError::Cancelled,
        };
        assert_eq!(end, Some(Err(expected)), "{title}");
        assert!(items.starts_with(&seen), "{title}: {seen:?}");
        return;
    }
    assert_eq!(seen, items, "{title}");
    let expected = match (refusal, last) {
        (Some(refusal), _) => {
            let text = MuxConnectError::decode(&refusal.payload).expect("a text").error;
            Err(CallError::Refused(text))
        }
        (None, Some(last)) if last.header.flags.contains(Flags::PAYLOAD_IS_ERR) => {
            Err(CallError::Remote(String::from_utf8_lossy(&last.payload).into_owned()))
        }
        (None, Some(_)) => Ok(()),
        (None, None) => Err(CallError::Disconnected { may_have_run: true }),
    };
    assert_eq!(end, Some(expected), "{title}");
}

/// The input that our handlers took is what was sent to them.
fn check_input(title: &str, replay: &Replay) {
    for (mux, call) in &replay.theirs {
        let sent = replay.heard.iter().map(|l| &l.message);
        let sent: Vec<_> = sent
            .filter(|m| m.header.mux == *mux && m.header.op == Op::MuxClientMsg && is_item(m))
            .map(|m| m.payload.clone())
            .collect();
        assert!(sent.starts_with(&call.input), "{title}, mux {mux}");
    }
}
