//! Every planted bug is real: for each, a scene that a user or a peer can see, as it is without the
//! bug and as it is with it.

#[path = "../link/support.rs"]
mod link_support;

mod bytes;
mod calls;
mod links;
mod streams;

use std::collections::BTreeSet;
use std::fmt::Debug;

use gridmux_core::mux::{IncomingKey, OutgoingKey};
use gridmux_core::outbox::Data;
use gridmux_core::planted::{ALL, Bug, plant, strikes_so_far};
use gridmux_core::testing::{Lone, Which};
use gridmux_core::wire::{Flags, Header, Message, Op};
use link_support::{LIST, LIST_CAPACITY, TALK, encoded, routes};

/// Plays the scene without the bug and with it, and compares what was seen.
#[track_caller]
fn shows<T: PartialEq + Debug>(bug: Bug, scene: impl Fn() -> T, right: T, wrong: T) {
    plant(None);
    assert_eq!(scene(), right, "without the bug");
    plant(Some(bug));
    let seen = scene();
    let strikes = strikes_so_far();
    plant(None);
    assert_eq!(seen, wrong, "with the bug");
    assert!(strikes > 0, "nobody counted a strike");
}

#[test]
fn every_bug_has_a_scene_that_shows_it() {
    let scenes = [
        include_str!("calls.rs"),
        include_str!("streams.rs"),
        include_str!("links.rs"),
        include_str!("bytes.rs"),
        include_str!("../../src/handle/planted.rs"),
        include_str!("../../src/driver/accept.rs"),
        include_str!("../../src/connection/stall.rs"),
    ]
    .concat();
    let words: BTreeSet<&str> = scenes.split(|c: char| !c.is_alphanumeric() && c != ':').collect();
    for planted in ALL {
        let shown = format!("Bug::{:?}", planted.bug);
        assert!(words.contains(&*shown), "no scene for {}", planted.name);
    }
}

#[test]
fn every_bug_has_a_name_of_its_own_a_fault_and_an_oracle() {
    let mut names = BTreeSet::new();
    for planted in ALL {
        let name = planted.name;
        assert!(names.insert(name), "{name} twice");
        assert_eq!(name.replace('-', ""), format!("{:?}", planted.bug).to_lowercase());
        assert_eq!(Bug::from_name(name), Some(planted.bug));
        let number = |text: &str| text[1..].parse::<u8>().expect("a number");
        assert!(planted.provoked_by.starts_with(['B', 'N', 'C', 'A', 'D', 'S']), "{name}");
        assert!((1..=14).contains(&number(planted.provoked_by)), "{name}");
        assert!(planted.caught_by.starts_with('O'), "{name}");
        assert!((1..=26).contains(&number(planted.caught_by)), "{name}");
        assert!(planted.ledger.is_none_or(|line| (1..=27).contains(&line)), "{name}");
    }
    assert!(names.len() >= 96);
    assert_eq!(Bug::from_name("no-such-bug"), None);
}

// ---- what scenes share ----

/// The side that is dialled, its link up.
fn lone() -> Lone {
    Lone::connected(Which::Acceptor, |node| node.routes = routes())
}

/// The same, with room for so many queued bytes.
fn lone_with_queue(queued_bytes: usize) -> Lone {
    Lone::connected(Which::Acceptor, |node| {
        node.routes = routes();
        node.limits.queued_bytes = queued_bytes;
    })
}

fn ops(sent: &[Message]) -> Vec<Op> {
    sent.iter().map(|message| message.header.op).collect()
}

/// A request of ours with a payload of so many bytes.
fn queued_request(node: &mut Lone, len: usize) -> OutgoingKey {
    let now = node.now;
    let data = Data::Owned(vec![7; len].into());
    node.peer().request(now, link_support::ECHO, data, None).expect("connected")
}

/// A stream of ours to the test, acknowledged; with what was said for it taken.
fn opened(node: &mut Lone, target: gridmux_core::mux::Target) -> OutgoingKey {
    let capacity = if target == LIST { LIST_CAPACITY } else { link_support::TALK_CAPACITY };
    let now = node.now;
    let key = node.peer().open(now, target, capacity, Data::Nil, None).expect("connected");
    node.sent();
    node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
    node.events.clear();
    key
}

/// A stream that the test has opened under the id 5, with what was said for it taken.
fn serving(node: &mut Lone, target: gridmux_core::mux::Target) -> IncomingKey {
    let input = if target == TALK { Flags::empty() } else { Flags::EOF };
    let flags = input | Flags::CRC;
    node.receive(
        Header { mux: 5, handler: target.handler, flags, ..Header::new(Op::ConnectMux) },
        b"",
    );
    node.sent();
    node.calls.pop_front().expect("a call").key
}

/// The same, a stream without input whose credits are used up and whose handler has returned.
fn ending(node: &mut Lone) -> IncomingKey {
    let key = serving(node, LIST);
    for n in 0..5 {
        node.peer().serve_item(key, Data::Borrowed(&[n])).expect("a credit");
    }
    node.sent();
    let now = node.clocks();
    node.peer().finish(now, key, Ok(()));
    key
}

/// A request that the test makes, as a frame.
fn request_frame(mux: u64, deadline_ms: u32) -> Vec<u8> {
    let flags = Flags::CRC | Flags::EOF;
    let handler = link_support::ECHO.handler;
    let header = Header { mux, handler, flags, deadline_ms, ..Header::new(Op::Request) };
    encoded(header, b"x")
}
