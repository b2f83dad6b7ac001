//! What the log says of links, and how often, when the other end has its way.

use gridmux_core::error::LinkError;
use gridmux_core::event::{Event, LinkCommand, LinkId};
use gridmux_core::mux::CallRefusal;
use gridmux_core::testing::{LogLine, Logs, Lone, Which};
use gridmux_core::wire::{Flags, Header, MessageRef, Op};

use super::support::*;

/// Far more than any line needs whose texts from outside are cut.
const LONG: usize = 600;

fn lines(logged: &[LogLine], text: &str) -> Vec<LogLine> {
    logged.iter().filter(|line| line.text.contains(text)).cloned().collect()
}

fn warnings(logged: &[LogLine]) -> Vec<&LogLine> {
    logged.iter().filter(|line| line.level <= tracing::Level::WARN).collect()
}

/// All lines are short, and on one line of text each.
fn are_tame(logged: &[LogLine]) {
    for line in logged {
        assert!(line.text.len() < LONG, "{} bytes", line.text.len());
        assert!(!line.text.contains(char::is_control), "{line:?}");
    }
}

fn dialler() -> Lone {
    let mut node = Lone::new(Which::Dialler, |node| node.routes = routes());
    node.grid.start(node.clocks());
    node
}

/// The next attempt, once its time has come.
fn next_attempt(node: &mut Lone) -> LinkId {
    loop {
        node.collect();
        while let Some(command) = node.commands.pop_front() {
            if let LinkCommand::Dial { link } = command {
                return link;
            }
        }
        node.advance(100 * MS);
    }
}

/// The acceptor refuses attempt after attempt, each with another reason.
fn refuse(node: &mut Lone, attempts: usize, reason: impl Fn(usize) -> String) {
    for n in 0..attempts {
        let link = next_attempt(node);
        let now = node.clocks();
        node.peer().handle_upgraded(now, link);
        node.sent();
        node.receive_response(false, &reason(n));
    }
}

#[test]
fn a_reason_that_is_another_one_each_time_is_logged_once_a_minute_with_the_count() {
    let mut node = dialler();
    let logged = Logs::of(|| refuse(&mut node, 100, |n| format!("no, for the {n}th time")));
    let told = lines(&logged, "cannot connect");
    // 100 attempts in at most 200 s.
    assert!((2..=4).contains(&told.len()), "{told:?}");
    assert!(told[0].text.contains("for the 0th time") && !told[0].text.contains("suppressed"));
    assert!(told[1].text.contains("suppressed="), "{told:?}");
    assert_eq!(warnings(&logged).len(), told.len(), "{logged:?}");
}

#[test]
fn a_reason_is_cut_and_cannot_forge_a_line() {
    let mut node = dialler();
    let reason = |_| "no\n2026-12-01 ERROR all is lost\u{1b}[31m".to_owned() + &"x".repeat(60_000);
    let logged = Logs::of(|| refuse(&mut node, 1, reason));
    assert_eq!(lines(&logged, "cannot connect").len(), 1, "{logged:?}");
    are_tame(&logged);
    let failure = node.peer().last_failure().expect("it has failed").to_string();
    assert!(failure.len() < 300, "{} bytes are kept", failure.len());
    assert!(!failure.contains(char::is_control), "{failure}");
}

#[test]
fn different_failures_are_told_apart_and_a_duplicate_has_its_own_line() {
    let mut node = dialler();
    let logged = Logs::of(|| {
        for n in 0..40 {
            let link = next_attempt(&mut node);
            let now = node.clocks();
            let error = match n % 2 {
                0 => LinkError::Transport(format!("refused by port {n}")),
                _ => LinkError::TimedOut("connecting and upgrading"),
            };
            node.peer().handle_dial_failed(now, link, error);
        }
        refuse(&mut node, 1, |_| "no".into());
        refuse(&mut node, 1, |_| "another process uses the name X".into());
    });
    let told = lines(&logged, "cannot connect");
    assert_eq!(lines(&told, "another process").len(), 1, "{told:?}");
    // At most 80 s: two kinds at once, and again after a minute; then the two others.
    assert!((4..=6).contains(&told.len()), "{told:?}");
}

#[test]
fn a_link_that_flaps_is_logged_once_a_minute() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let logged = Logs::of(|| {
        for n in 0..1000_u64 {
            let (link, now) = (node.link(), node.clocks());
            node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
            node.advance(SECOND / 10);
            let mut id = [9; 16];
            id[..8].copy_from_slice(&n.to_le_bytes());
            node.connect(id).expect("accepted");
            node.sent();
        }
    });
    for line in ["link lost", "connected"] {
        let told = lines(&logged, line);
        // The first connection was up before.
        assert!((1..=2).contains(&told.len()), "{line} in 100 s: {told:?}");
        assert!(told.last().expect("one").text.contains("suppressed=599"), "{told:?}");
    }
}

#[test]
fn an_orderly_end_of_either_side_is_no_warning_on_both() {
    for which in Which::BOTH {
        for mode in [builder(), in_bytes()] {
            let mut pair = mode.connected();
            let logged = Logs::of(|| {
                pair.shutdown(which, SECOND);
                // The dialler tries again meanwhile.
                pair.advance(50 * SECOND);
            });
            assert_eq!(warnings(&logged), Vec::<&LogLine>::new(), "{which:?} leaves");
            assert!(lines(&logged, "the peer is shutting down").len() == 1, "{logged:?}");
            assert!(!lines(&logged, "closed").is_empty(), "{logged:?}");
        }
    }
}

#[test]
fn a_peer_that_does_not_come_back_is_a_warning_after_a_minute() {
    let mut pair = builder().connected();
    pair.shutdown(Which::Acceptor, SECOND);
    let logged = Logs::of(|| pair.advance(100 * SECOND));
    let told = lines(&logged, "cannot connect");
    assert_eq!(warnings(&told).len(), 1, "{told:?}");
}

#[test]
fn a_lost_link_is_a_warning() {
    let mut node = Lone::connected(Which::Acceptor, |_| {});
    let logged = Logs::of(|| {
        let (link, now) = (node.link(), node.clocks());
        node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
    });
    assert_eq!(lines(&logged, "link lost").len(), 1, "{logged:?}");
    assert_eq!(warnings(&logged).len(), 1);
}

#[test]
fn calls_that_are_refused_are_counted_told_as_events_and_logged_once_of_each_kind() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let ask = |node: &mut Lone, op, handler, mux| {
        let header = Header { mux, handler, flags: Flags::EOF, ..Header::new(op) };
        let mut frame = Vec::new();
        MessageRef { header, subroute: None, payload: b"" }.encode(&mut frame);
        node.receive_frame(&frame);
        node.sent();
    };
    let logged = Logs::of(|| {
        for mux in 1..=1000 {
            ask(&mut node, Op::Request, 200, mux);
        }
        ask(&mut node, Op::ConnectMux, 1, 2000);
        ask(&mut node, Op::Request, 7, 2001);
    });
    let now = node.now;
    assert_eq!(node.peer().stats(now).refused_calls, 1002);
    for (handler, reason) in
        [(200, CallRefusal::NoHandler), (1, CallRefusal::NotStream), (7, CallRefusal::NotSingle)]
    {
        assert!(node.events.contains(&Event::CallRefused { handler, reason }), "{reason}");
        let told = lines(&logged, reason.text());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].text.contains(&format!("handler={handler}")), "{told:?}");
        assert!(told[0].text.contains("peer=http://127.0.0.1:9101"), "{told:?}");
    }
    assert_eq!(logged.len(), 3, "{logged:?}");
}
