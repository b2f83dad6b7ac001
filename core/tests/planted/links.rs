//! Links: handshake, loss, retries, pings, the graceful end.

use std::time::Duration;

use bytes::Bytes;
use gridmux_core::error::LinkError;
use gridmux_core::event::{Event, LinkCommand};
use gridmux_core::limits::Limits;
use gridmux_core::link::{LinkState, check_connect, dials};
use gridmux_core::outbox::Data;
use gridmux_core::planted::Bug;
use gridmux_core::testing::Which::{Acceptor, Dialler};
use gridmux_core::testing::{Crowd, Lone};
use gridmux_core::wire::{Header, Op};

use super::link_support::{
    MS, SECOND, builder, messages, outcome, request, routes, served, talk, try_request,
};
use super::{encoded, lone, lone_with_queue, ops, queued_request, request_frame, shows};

/// A dialler whose attempt has got as far as the Connect.
fn connecting() -> Lone {
    let mut node = Lone::new(Dialler, |node| node.routes = routes());
    node.grid.start(node.clocks());
    let link = node.dialled();
    let now = node.clocks();
    node.peer().handle_upgraded(now, link);
    assert_eq!(ops(&node.sent()), [Op::Connect]);
    node
}

fn has_closed(node: &Lone) -> bool {
    node.commands.iter().any(|command| matches!(command, LinkCommand::Close { .. }))
}

fn has_dialled(node: &Lone) -> bool {
    node.commands.iter().any(|command| matches!(command, LinkCommand::Dial { .. }))
}

#[test]
fn a_refusal_says_why() {
    let scene = || {
        let mut pair = builder().token(Dialler, "other-token").build();
        pair.start();
        pair.drive();
        match pair.dialler().peer().last_failure() {
            Some(LinkError::Rejected(reason)) => reason.is_empty(),
            other => panic!("expected a refusal, got {other:?}"),
        }
    };
    shows(Bug::RefusalWithoutReason, scene, false, true);
}

#[test]
fn the_token_in_connect_is_checked() {
    let scene = || {
        let mut pair = builder().token(Dialler, "other-token").build();
        pair.start();
        pair.drive();
        pair.is_connected()
    };
    shows(Bug::TokenNotChecked, scene, false, true);
}

#[test]
fn a_clock_that_is_ahead_is_refused_as_one_that_is_behind() {
    let scene = || {
        let mut pair = builder().build();
        pair.shift_wall(Dialler, 400);
        pair.start();
        pair.drive();
        pair.is_connected()
    };
    shows(Bug::FutureConnectAccepted, scene, false, true);
}

#[test]
fn the_first_message_is_a_connect() {
    let scene = || {
        let node = lone();
        let mut payload = Vec::new();
        node.hello([9; 16]).encode(&mut payload);
        let frame = encoded(Header::new(Op::Request), &payload);
        check_connect(node.grid.node(), node.clocks(), &frame, None, |_| true).is_ok()
    };
    shows(Bug::AnyFirstMessage, scene, false, true);
}

#[test]
fn an_acceptor_that_never_answers_is_left() {
    let scene = || {
        let mut node = connecting();
        node.advance(10 * SECOND);
        has_closed(&node)
    };
    shows(Bug::SilentHandshakeNeverEnds, scene, true, false);
}

#[test]
fn nobody_connects_before_the_start() {
    let scene = || Lone::new(Acceptor, |_| {}).connect([9; 16]).is_ok();
    shows(Bug::StartGateOpen, scene, false, true);
}

#[test]
fn one_side_dials() {
    let scene = || {
        let other = "http://b:1";
        let mut names = (0..200).map(|n| format!("http://a:{n}"));
        names.any(|name| dials(&name, other) == dials(other, &name))
    };
    shows(Bug::BothDial, scene, false, true);
}

#[test]
fn a_name_is_added_once() {
    let scene = || {
        let mut node = lone();
        let (now, name) = (node.clocks(), node.peer().name().to_owned());
        node.grid.add_peer(&name, now).is_ok()
    };
    shows(Bug::AddPeerReplaces, scene, false, true);
}

#[test]
fn a_newer_connection_ends_the_older_one_and_its_calls() {
    let scene = || {
        let mut node = lone();
        let call = queued_request(&mut node, 1);
        node.sent();
        node.connect([9; 16]).expect("accepted");
        (node.peer().take_response(call).is_some(), has_closed(&node))
    };
    shows(Bug::OldCallsSurviveReplacement, scene, (true, true), (false, true));
    shows(Bug::OldConnectionLeftOpen, scene, (true, true), (true, false));
}

#[test]
fn an_older_connection_is_neither_heard_nor_missed() {
    let scene = || {
        let mut node = lone();
        let old = node.link();
        node.connect([9; 16]).expect("accepted");
        node.sent();
        let now = node.clocks();
        node.peer().handle_frame(now, old, &Bytes::from(request_frame(5, 0)));
        node.peer().handle_link_down(now, old, LinkError::ClosedByPeer, 0);
        node.collect();
        (node.calls.len(), node.peer().state())
    };
    let right = (0, LinkState::Connected);
    shows(Bug::OldConnectionStillHeard, scene, right, (1, LinkState::Connected));
    shows(Bug::StaleLossKillsLink, scene, right, (0, LinkState::ConnectionError));
}

#[test]
fn nothing_that_was_queued_for_a_lost_connection_is_sent() {
    let scene = || {
        let mut pair = builder().connected();
        let call = request(&mut pair, Dialler, b"x");
        pair.cut();
        assert!(outcome(&mut pair, Dialler, call).is_some(), "it has failed");
        pair.advance(3 * SECOND);
        assert!(pair.is_connected());
        pair.acceptor().calls.len()
    };
    shows(Bug::QueueKeptOverReconnect, scene, 0, 1);
}

#[test]
fn a_full_queue_stops_neither_redial_nor_accept() {
    let redial = || {
        let limits = Limits { queued_bytes: 1000, ..Limits::default() };
        let mut pair = builder().limits(Dialler, limits).connected();
        request(&mut pair, Dialler, &[7; 900]);
        pair.cut();
        pair.advance(10 * SECOND);
        pair.is_connected()
    };
    shows(Bug::FullQueueStopsRedial, redial, true, false);
    let accept = || {
        let mut node = lone_with_queue(1000);
        queued_request(&mut node, 900);
        node.connect([9; 16]).is_ok()
    };
    shows(Bug::FullQueueRefusesConnect, accept, true, false);
}

#[test]
fn who_waits_for_room_is_told_of_the_loss() {
    let scene = || {
        let mut node = lone_with_queue(1000);
        queued_request(&mut node, 900);
        let (now, link) = (node.clocks(), node.link());
        let data = Data::Borrowed(&[7; 900]);
        let target = super::link_support::ECHO;
        node.peer().request(now.instant, target, data, None).expect_err("the queue is full");
        node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
        node.collect();
        node.events.contains(&Event::QueueWritable)
    };
    shows(Bug::LossNotTold, scene, true, false);
}

#[test]
fn a_tick_with_nothing_due_changes_nothing() {
    let scene = || {
        let mut node = lone();
        node.now = node.now.after(SECOND);
        let now = node.clocks();
        let alarm = node.peer().next_alarm();
        assert!(!node.peer().is_due(now.instant));
        node.peer().handle_timeout(now);
        node.peer().next_alarm() == alarm
    };
    shows(Bug::IdleTickPostponesPing, scene, true, false);
}

#[test]
fn a_replaced_process_does_not_take_its_name_back() {
    let scene = || {
        let mut crowd = Crowd::new(2);
        crowd.start(0);
        crowd.start(1);
        crowd.advance(30 * SECOND);
        crowd.dials(1).len() == 1
    };
    shows(Bug::InstanceIgnored, scene, true, false);
}

#[test]
fn instances_of_long_ago_are_forgotten() {
    let scene = || {
        let mut node = lone();
        for id in 20..40 {
            node.connect([id; 16]).expect("a new process");
        }
        node.connect([9; 16]).is_ok()
    };
    shows(Bug::InstancesNeverForgotten, scene, true, false);
}

#[test]
fn a_refusal_is_followed_by_a_pause() {
    let scene = || {
        let mut node = connecting();
        node.receive_response(false, "the clocks differ by 400 s, more than 300 s");
        node.wake();
        has_dialled(&node)
    };
    shows(Bug::SkewRefusalRetriedAtOnce, scene, false, true);
}

#[test]
fn the_pause_between_attempts_counts_from_the_start_of_the_first() {
    let scene = || {
        let mut node = Lone::new(Dialler, |_| {});
        node.grid.start(node.clocks());
        let link = node.dialled();
        node.advance(1900 * MS);
        let now = node.clocks();
        let refused = LinkError::Transport("connection refused".into());
        node.peer().handle_dial_failed(now, link, refused);
        node.advance(150 * MS);
        has_dialled(&node)
    };
    shows(Bug::RetryFromFailure, scene, true, false);
}

#[test]
fn a_link_that_did_not_last_is_not_redialled_at_once() {
    let scene = || {
        let mut pair = builder().connected();
        pair.cut();
        pair.advance(Duration::ZERO);
        pair.dialler().dials.len()
    };
    shows(Bug::FlapStorm, scene, 1, 2);
}

#[test]
fn a_silent_peer_is_dropped() {
    let scene = || {
        let mut pair = builder().connected();
        pair.held = [true; 2];
        pair.advance(60 * SECOND);
        pair.dialler().closed.contains(&LinkError::PeerSilent)
    };
    shows(Bug::AgeInWrongUnit, scene, true, false);
}

#[test]
fn a_silent_peer_is_dropped_though_there_is_much_to_write() {
    let scene = || {
        let mut pair = builder().connected();
        pair.held = [true; 2];
        for _ in 0..12 {
            let _ = try_request(&mut pair, Dialler, b"x");
            pair.advance(5 * SECOND);
        }
        pair.dialler().closed.contains(&LinkError::PeerSilent)
    };
    shows(Bug::PingPostponedByWrites, scene, true, false);
}

#[test]
fn the_pong_overtakes_data() {
    let scene = || {
        let mut node = lone();
        queued_request(&mut node, 1);
        node.receive(Header::new(Op::Ping), &[]);
        ops(&node.sent())
    };
    let (right, wrong) = ([Op::Pong, Op::Request], [Op::Request, Op::Pong]);
    shows(Bug::PongBehindData, scene, right.to_vec(), wrong.to_vec());
}

#[test]
fn a_wall_clock_that_jumps_costs_no_link() {
    let scene = || {
        let mut pair = builder().connected();
        pair.advance(61 * SECOND);
        // It jumps while a ping is under way.
        pair.latency = SECOND;
        pair.advance(9500 * MS);
        pair.shift_wall(Dialler, 200);
        pair.advance(15 * SECOND);
        pair.dialler().closed.first().cloned()
    };
    shows(Bug::PongAgeByWallClock, scene, None, Some(LinkError::PeerDoesNotAnswer));
}

#[test]
fn a_process_that_stood_still_does_not_blame_its_peers() {
    let scene = || {
        let mut pair = builder().connected();
        pair.advance(5 * SECOND);
        pair.jump(25 * SECOND, true);
        pair.dialler().closed.clone()
    };
    shows(Bug::PauseIsSilence, scene, vec![], vec![LinkError::PeerSilent]);
}

#[test]
fn the_grace_lasts_while_a_handler_runs() {
    let scene = || {
        let mut pair = builder().connected();
        request(&mut pair, Dialler, b"x");
        let call = served(&mut pair, Acceptor);
        pair.shutdown(Acceptor, 10 * SECOND);
        pair.acceptor().peer().is_live(call.key)
    };
    shows(Bug::DrainForgetsHandlers, scene, true, false);
}

#[test]
fn no_call_is_taken_during_the_grace() {
    let scene = || {
        let mut node = lone();
        node.receive_frame(&request_frame(5, 0));
        node.calls.clear();
        let now = node.clocks();
        node.grid.shutdown(now, 10 * SECOND);
        node.receive_frame(&request_frame(6, 0));
        node.calls.len()
    };
    shows(Bug::CallTakenWhileDraining, scene, 0, 1);
}

#[test]
fn a_node_that_was_shut_down_dials_no_more() {
    let scene = || {
        let mut pair = builder().connected();
        request(&mut pair, Dialler, b"x");
        pair.shutdown(Dialler, 60 * SECOND);
        pair.cut();
        pair.advance(5 * SECOND);
        pair.dialler().dials.len()
    };
    shows(Bug::RedialAfterShutdown, scene, 1, 2);
}

#[test]
fn a_peer_that_is_back_can_be_called() {
    let scene = || {
        let mut node = lone();
        node.receive(Header::new(Op::Disconnect), &[]);
        node.connect([10; 16]).expect("accepted");
        node.peer().check_open().is_ok()
    };
    shows(Bug::LeavingMarkSurvives, scene, true, false);
}

#[test]
fn what_a_shutdown_says_has_one_order() {
    let order = || {
        let mut pair = builder().connected();
        for _ in 0..20 {
            talk(&mut pair, Dialler);
        }
        pair.drive();
        pair.dialler().sent.clear();
        pair.shutdown(Dialler, Duration::ZERO);
        let said = messages(&pair.dialler().sent);
        said.iter().map(|message| message.header.mux).collect::<Vec<_>>()
    };
    shows(Bug::HashOrderOnTheWire, || order() == order(), true, false);
}
