//! Every deed against one of ours, and the reaction that PROTOCOL.md asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Hostile;
use super::answers::Answer;
use super::deed::{Deed, Plan, Task};
use super::knocks::Knock;
use super::merges::Merge;
use super::rules::Rule;
use crate::peers::stand::{SECOND, Stand};
use crate::script::{Call, Input, Plan as Serving, Route};
use crate::trace::Brief;

/// How ours reacts.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    /// It says exactly this, and the link stays.
    Says(&'static [&'static str]),
    /// The link is dropped.
    Drops,
}

use Reaction::{Drops, Says};

/// Two calls for ours to make: a stream and a request; and a stream that the other one makes.
fn calls() -> Vec<Call> {
    let served = Call {
        plan: Serving { after: 20 * SECOND, ..Serving::default() },
        input: Input { items: 2, size: 7, ..Input::default() },
        ..Call::new("theirs", 1, 0, Route::Talk)
    };
    vec![Call::new("stream", 0, 1, Route::Talk), Call::new("request", 0, 1, Route::Echo), served]
}

fn start(stand: &Stand, deed: Deed, seed: u64) -> Hostile {
    let here = stand.here();
    let task = Task::new(&here, deed, Duration::from_secs(1), seed);
    let plan = Plan::new([task].into_iter().collect());
    Hostile::start_with(here, BTreeMap::from([(0, plan)]), true)
}

fn lines(said: &[Brief]) -> Vec<String> {
    let refused = |brief: &Brief| brief.flags & 8 != 0;
    let error = |brief: &Brief| if refused(brief) { " error" } else { "" };
    let line = |brief: &Brief| format!("{} {}{}", brief.op, brief.seq, error(brief));
    let mut lines: Vec<_> = said.iter().map(line).collect();
    // Pongs go ahead of the rest, or not.
    lines.sort_by_key(|line| line.starts_with("Pong"));
    lines
}

/// What ours says from the deed on, and how often it has dropped the link by then.
fn said_after(deed: Deed, seed: u64) -> (Vec<String>, usize, Stand) {
    let mut stand = Stand::new(calls(), false);
    let hostile = start(&stand, deed, seed);
    // The link is up within the first second, and the deed comes a second later.
    stand.pass(SECOND / 2);
    assert!(stand.is_up(), "{deed:?}");
    if matches!(deed, Deed::Rule(rule) if rule.is_callees()) {
        stand.call(0);
        stand.call(1);
    }
    let (witness, call) = stand.theirs(2);
    if deed == Deed::Rule(Rule::OverCapacity) {
        hostile.call(&witness, &call);
    }
    stand.pass(SECOND / 4);
    let (before, dropped) = (stand.ours_said().len(), stand.dropped());
    stand.pass(2 * SECOND);
    let mut said = lines(&stand.ours_said()[before..]);
    // WebSocket pongs: between fragments there are pings.
    said.retain(|line| line != "Control 0");
    (said, stand.dropped() - dropped, stand)
}

const LATE: &str = "DisconnectClientMux 0";
const REFUSED: &str = "MuxConnectError 0";
/// The handler says that nobody has made this call.
const NOBODYS_CALL: &str = "Response 0 error";

const RULES: [(Rule, Reaction); 36] = [
    (Rule::UnknownInput, Says(&[LATE])),
    (Rule::UnknownCredit, Says(&[])),
    (Rule::UnknownOutput, Says(&["DisconnectServerMux 0"])),
    (Rule::UnknownPing, Says(&["Pong 1"])),
    (Rule::UnknownCancel, Says(&[])),
    (Rule::WrongDirection, Says(&[])),
    (Rule::OverCapacity, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::SecondConnect, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::SecondRequest, Says(&[NOBODYS_CALL, NOBODYS_CALL])),
    (Rule::SecondEnd, Says(&[])),
    (Rule::SecondResponse, Says(&[])),
    (Rule::SecondAck, Says(&["DisconnectServerMux 0"])),
    (Rule::ResponseToStream, Says(&[])),
    (Rule::NilItems, Says(&["UnblockSrvMux 2", "UnblockSrvMux 3"])),
    (Rule::OutputOutOfSequence, Says(&["DisconnectServerMux 0"])),
    (Rule::OutputOverCapacity, Says(&["DisconnectServerMux 0"])),
    (Rule::SurplusCredits, Says(&[])),
    (Rule::SurplusGrants, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::Stateless, Says(&[REFUSED])),
    (Rule::InputOutOfSequence, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::PingOutOfSequence, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE, "Pong 6"])),
    (Rule::InputAfterEnd, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::InputToNoInput, Says(&["AckMux 0", "MuxServerMsg 1 error", LATE])),
    (Rule::AfterCancel, Says(&["AckMux 0", LATE, LATE, "Pong 3"])),
    (Rule::MuxZero, Says(&[NOBODYS_CALL])),
    (Rule::BadHandler, Says(&[REFUSED, REFUSED])),
    (Rule::UnknownOps, Says(&[])),
    (Rule::SecondHello, Says(&[])),
    (Rule::UnaskedPong, Says(&[])),
    (Rule::Text, Says(&[])),
    (Rule::ManyPings, Says(&[])),
    (Rule::HugeFrame, Drops),
    (Rule::HugePayload, Drops),
    (Rule::BadChecksum, Drops),
    (Rule::Garbage, Drops),
    (Rule::Empty, Drops),
];

#[test]
fn broken_rules_have_the_reactions_of_the_protocol() {
    let mut wrong = Vec::new();
    for (rule, reaction) in RULES {
        let (said, dropped, stand) = said_after(Deed::Rule(rule), 7);
        assert!(RULES.iter().filter(|(other, _)| *other == rule).count() == 1, "{rule:?}");
        let right = match reaction {
            Says(lines) => dropped == 0 && said == lines && stand.is_up(),
            Drops => dropped == 1,
        };
        let felt = stand.tally("B9").felt == 1;
        if !right || !felt {
            wrong.push(format!(
                "{rule:?} felt={felt}: {dropped} dropped, {said:?}, not {reaction:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stream_counts_on_from_the_number_that_it_was_opened_with() {
    let (said, dropped, stand) = said_after(Deed::Rule(Rule::ConnectAtSeq), 7);
    let opened = stand.theirs_said().iter().find(|b| b.op == "ConnectMux").map(|b| b.seq);
    let first = opened.expect("it was opened");
    let [ack, credit, end, late] = [
        format!("AckMux {first}"),
        format!("UnblockClMux {}", first + 1),
        format!("MuxServerMsg {} error", first + 2),
        LATE.to_owned(),
    ];
    assert!(first > 0 && dropped == 0 && stand.is_up());
    assert_eq!(said, [ack, credit, end, late]);
}

/// What, the requests that are answered, and whether the link is dropped.
const MERGES: [(Merge, usize, bool); 15] = [
    (Merge::CountTooLow, 1, false),
    (Merge::CountTooHigh, 0, true),
    (Merge::None, 0, false),
    (Merge::One, 1, false),
    (Merge::Fifty, 50, false),
    (Merge::FiftyOne, 51, false),
    (Merge::Many, 544, false),
    (Merge::Nested, 3, false),
    (Merge::Trailing, 3, false),
    (Merge::BrokenPart, 0, true),
    (Merge::CutPart, 0, true),
    (Merge::CancelInside, 3, false),
    (Merge::CloseBehind, 0, true),
    (Merge::Large, 4, false),
    (Merge::PingInside, 3, false),
];

#[test]
fn merged_messages_count_as_the_protocol_says() {
    let mut wrong = Vec::new();
    for (merge, answers, drops) in MERGES {
        let (said, dropped, stand) = said_after(Deed::Merge(merge), 7);
        let answered = said.iter().filter(|line| *line == NOBODYS_CALL).count();
        let felt = stand.tally("B11").felt == 1;
        // A link that is dropped may take its answers with it.
        if (!drops && answered != answers) || (dropped > 0) != drops || !felt {
            wrong.push(format!("{merge:?} felt={felt}: {answered} answers, {dropped} dropped"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_wrong_handshake_becomes_a_link_or_holds_the_door() {
    let mut wrong = Vec::new();
    // Each kind of bad token is among some.
    let tokens = (0..12).map(|seed| (Knock::BadToken, seed));
    for (how, seed) in Knock::ALL.map(|how| (how, 7)).into_iter().chain(tokens) {
        let mut stand = Stand::new(calls(), false);
        start(&stand, Deed::Knock(how), seed);
        stand.pass(8 * SECOND);
        let felt = ["B10", "D1", "D2"].map(|row| stand.tally(row).felt).iter().sum::<u64>();
        let refused = stand.ours_said().iter().filter(|b| b.op == "ConnectResponse").count();
        let may_link =
            matches!(how, Knock::WrongSide | Knock::AtOnce | Knock::WrongTime | Knock::HelloTwice);
        if felt != 1 || (stand.is_up() && !may_link) {
            wrong.push(format!("{how:?}: felt {felt}, up {}, {refused}", stand.is_up()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_dialler_that_is_answered_wrong_dials_again_and_gets_its_link() {
    let mut wrong = Vec::new();
    for how in Answer::ALL {
        let mut stand = Stand::new(calls(), true);
        start(&stand, Deed::Answer(how), 7);
        stand.pass(8 * SECOND);
        let felt = stand.tally("B10").felt;
        if felt != 1 || !stand.is_up() || stand.dropped() == 0 {
            wrong.push(format!("{how:?}: felt {felt}, up {}, {}", stand.is_up(), stand.dropped()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
