//! What the peer's calls hold: requests of handlers that run, and responses that wait to be sent
//! (PROTOCOL.md section 7.5).

use crate::support::{
    TALK, builder, drain, gone, outcome, release, request, respond, round_trip, served, talk,
};
use gridmux_core::error::{CallError, PeerLimit};
use gridmux_core::limits::Limits;
use gridmux_core::mux::Received;
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Pair, Which};

fn limited(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn refused_for(limit: PeerLimit, may_have_run: bool) -> impl Fn(&CallError) -> bool {
    move |error| match error {
        CallError::PeerLimit { limit: reached, .. } => {
            *reached == limit && error.may_have_run() == may_have_run
        }
        _ => false,
    }
}

#[test]
fn what_handlers_hold_of_their_requests_is_limited_until_they_are_gone() {
    let limits = limited(|limits| limits.handler_bytes = 10_000);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    let full = refused_for(PeerLimit::HandlerBytes, false);
    let held = |pair: &mut Pair| {
        let now = pair.now;
        pair.acceptor().peer().stats(now).handler_bytes
    };
    let first = request(&mut pair, Which::Dialler, &[7; 4900]);
    let now = pair.now;
    let stream = pair.dialler().peer().open(now, TALK, (5, 5), Data::Borrowed(&[7; 4900]), None);
    pair.drive();
    let calls = std::mem::take(&mut pair.acceptor().calls);
    assert_eq!((calls.len(), held(&mut pair)), (2, 2 * (4900 + 32)));
    let refuses = |pair: &mut Pair| {
        let key = request(pair, Which::Dialler, &[7; 105]);
        pair.drive();
        let end = outcome(pair, Which::Dialler, key);
        assert!(matches!(&end, Some(Err(error)) if full(error)), "{end:?}");
    };
    refuses(&mut pair);
    // Cancelled is not gone.
    release(&mut pair, Which::Dialler, stream.expect("opened"));
    pair.drive();
    refuses(&mut pair);
    gone(&mut pair, Which::Acceptor, calls[1].key);
    assert_eq!(held(&mut pair), 4900 + 32);
    respond(&mut pair, Which::Acceptor, calls[0].key, b"y");
    assert!(outcome(&mut pair, Which::Dialler, first).expect("over").is_ok());
    assert_eq!(held(&mut pair), 0);
    round_trip(&mut pair, Which::Dialler);
    assert!(pair.is_quiescent() && pair.is_connected());
}

#[test]
fn a_handler_may_hold_one_request_of_any_size_and_what_it_is_decoded_to_counts() {
    let limits = limited(|limits| limits.handler_bytes = 10_000);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    request(&mut pair, Which::Dialler, &[7; 100_000]);
    let large = served(&mut pair, Which::Acceptor);
    assert!(pair.acceptor().peer().charge(large.key, 1 << 20), "it is alone");
    gone(&mut pair, Which::Acceptor, large.key);

    let keys = [(); 2].map(|()| request(&mut pair, Which::Dialler, &[7; 1000]));
    pair.drive();
    let calls = std::mem::take(&mut pair.acceptor().calls);
    let room = 10_000 - 2 * (1000 + 32);
    assert!(!pair.acceptor().peer().charge(calls[0].key, room + 1));
    assert!(pair.acceptor().peer().charge(calls[0].key, room));
    assert!(!pair.acceptor().peer().charge(calls[1].key, 1));
    respond(&mut pair, Which::Acceptor, calls[0].key, b"y");
    assert!(pair.acceptor().peer().charge(calls[1].key, room));
    respond(&mut pair, Which::Acceptor, calls[1].key, b"y");
    for key in keys {
        assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
    }
    let now = pair.now;
    assert_eq!(pair.acceptor().peer().stats(now).handler_bytes, 0);
}

#[test]
fn no_call_begins_while_more_is_queued_than_senders_may_queue() {
    let limits = limited(|limits| limits.queued_bytes = 10_000);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    let keys: Vec<_> = (0..12).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    pair.drive();
    pair.room[1] = 0;
    for call in std::mem::take(&mut pair.acceptor().calls) {
        respond(&mut pair, Which::Acceptor, call.key, &[7; 1000]);
    }
    let late = request(&mut pair, Which::Dialler, b"late");
    let cancelled = request(&mut pair, Which::Dialler, b"cancelled");
    pair.drive();
    release(&mut pair, Which::Dialler, cancelled);
    pair.drive();
    assert_eq!(pair.acceptor().calls.len(), 0);
    let now = pair.now;
    assert_eq!(
        pair.acceptor().peer().poll_timeout(now).map(|(at, _)| at > now),
        Some(true),
        "no spin"
    );
    pair.room[1] = usize::MAX;
    pair.drive();
    let call = served(&mut pair, Which::Acceptor);
    assert_eq!(call.payload.as_slice(), b"late");
    assert_eq!(pair.acceptor().calls.len(), 0, "the cancelled one never begins");
    respond(&mut pair, Which::Acceptor, call.key, b"y");
    for key in keys.into_iter().chain([late]) {
        assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
    }
    assert!(pair.is_quiescent());
}

#[test]
fn what_responses_may_queue_is_limited_and_one_beyond_it_is_told_its_caller() {
    const RESPONSE: usize = 1 << 20;
    let limits = limited(|limits| {
        limits.message = 2 << 20;
        limits.queued_bytes = 1 << 20;
        limits.response_bytes = 16 << 20;
    });
    let mut pair = builder().limits(Which::Acceptor, limits.clone()).connected();
    let keys: Vec<_> = (0..1000).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    let stream = talk(&mut pair, Which::Dialler);
    pair.drive();
    pair.room[1] = 0;
    let mut calls = std::mem::take(&mut pair.acceptor().calls);
    let streamed = calls.pop_back().expect("the stream");
    let payload = vec![7; RESPONSE];
    for call in calls {
        respond(&mut pair, Which::Acceptor, call.key, &payload);
    }
    let clocks = pair.clocks(Which::Acceptor);
    let text = "e".repeat(RESPONSE);
    pair.acceptor().peer().finish(clocks, streamed.key, Err(text));
    let now = pair.now;
    let queued = pair.acceptor().peer().stats(now).queued_bytes;
    let most = limits.queued_bytes + limits.response_bytes + 1000 * 200;
    assert!((16 << 20..most).contains(&queued), "{queued}");
    pair.room[1] = usize::MAX;
    pair.drive();
    let dropped = refused_for(PeerLimit::ResponseBytes, true);
    let (mut answered, mut told) = (0, 0);
    for key in keys {
        match outcome(&mut pair, Which::Dialler, key).expect("over") {
            Ok(response) => answered += usize::from(response.len() == RESPONSE),
            Err(error) => told += usize::from(dropped(&error)),
        }
    }
    assert_eq!((answered, told), (17, 983), "one was handed out, the others were queued");
    let end = drain(&mut pair, Which::Dialler, stream);
    assert!(matches!(&end, (_, Received::Failed(error)) if dropped(error)), "{end:?}");
    release(&mut pair, Which::Dialler, stream);
    pair.drive();
    assert!(pair.is_quiescent() && pair.is_connected());
}
