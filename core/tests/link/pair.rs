//! Two nodes find each other and talk: the smallest whole.

use std::time::Duration;

use gridmux_core::mux::{Received, Target};
use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::testing::{Mode, Pair, PairBuilder};

fn routes() -> RouteTable {
    let mut routes = RouteTable::new();
    let route = |handler, name, shape| RouteInfo {
        handler,
        subroute: None,
        name,
        shape,
        run_to_end: false,
    };
    routes.insert(route(1, "echo", Shape::Single)).expect("a route");
    routes
        .insert(route(11, "two-way", Shape::Stream { in_capacity: 5, out_capacity: 5 }))
        .expect("a route");
    routes
}

fn every_mode() -> impl Iterator<Item = PairBuilder> {
    [Mode::Frames, Mode::Bytes(usize::MAX), Mode::Bytes(1), Mode::Bytes(7)]
        .into_iter()
        .map(|mode| Pair::builder().routes(routes()).mode(mode))
}

#[test]
fn a_request_is_answered_in_every_mode() {
    for builder in every_mode() {
        let mut pair = builder.connected();
        let now = pair.now;
        let target = Target { handler: 1, subroute: None };
        let key = pair
            .dialler()
            .peer()
            .request(now, target, Data::Borrowed(b"hello"), None)
            .expect("connected");
        pair.drive();
        let call = pair.acceptor().call();
        assert_eq!(&call.payload[..], b"hello");
        let clocks = pair.clocks(gridmux_core::testing::Which::Acceptor);
        pair.acceptor().peer().respond(clocks, call.key, Ok(Data::Borrowed(b"world")));
        pair.drive();
        let response = pair.dialler().peer().take_response(key).expect("answered").expect("ok");
        assert_eq!(&response[..], b"world");
        assert!(pair.ends.iter_mut().all(|end| end.peer().is_quiescent()));
    }
}

#[test]
fn a_two_way_stream_carries_items_both_ways_and_ends() {
    for builder in every_mode() {
        let mut pair = builder.connected();
        let now = pair.now;
        let target = Target { handler: 11, subroute: None };
        let key = pair.acceptor().peer().open(now, target, (5, 5), Data::Nil, None).expect("open");
        pair.drive();
        let call = pair.dialler().call();
        for n in 0..20_u8 {
            pair.acceptor().peer().send(key, Data::Borrowed(&[n])).expect("a credit");
            pair.drive();
            let Received::Item(item) = pair.dialler().peer().take_input(call.key) else {
                panic!("item")
            };
            pair.dialler().peer().serve_item(call.key, Data::Owned(item)).expect("a credit");
            pair.drive();
            assert_eq!(pair.acceptor().peer().receive(key), Received::Item(vec![n].into()));
            pair.drive();
        }
        pair.acceptor().peer().close_input(key);
        pair.drive();
        assert_eq!(pair.dialler().peer().take_input(call.key), Received::End);
        let clocks = pair.clocks(gridmux_core::testing::Which::Dialler);
        pair.dialler().peer().finish(clocks, call.key, Ok(()));
        pair.drive();
        assert_eq!(pair.acceptor().peer().receive(key), Received::End);
        let clocks = pair.clocks(gridmux_core::testing::Which::Acceptor);
        pair.acceptor().peer().release(clocks, key);
        pair.advance(Duration::from_secs(100));
        assert!(pair.is_connected());
        assert!(pair.ends.iter_mut().all(|end| end.peer().is_quiescent()));
    }
}
