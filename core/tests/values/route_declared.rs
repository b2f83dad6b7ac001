//! Routes are plain values that a `const` can hold, whatever types travel on them.

use std::cell::Cell;
use std::rc::Rc;

use gridmux_core::payload::{Mss, NoPayload, Payload};
use gridmux_core::route::{
    ClientStream, DEFAULT_CAPACITY, DEFAULT_RESULT_CAPACITY, RouteInfo, ServerStream, Shape,
    TwoWay, Unary,
};
use gridmux_core::wire::SubrouteId;

const LOCK: Unary<Mss, NoPayload> = Unary::new(1, "lock");
const WALK: ServerStream<Mss, Payload> = ServerStream::new(7, "walk").out_capacity(64).run_to_end();
const UPLOAD: ClientStream<Mss, Payload, NoPayload> =
    ClientStream::new(80, "upload").in_capacity(4).out_capacity(1);
const CHAT: TwoWay<Mss, Payload, Payload> =
    TwoWay::new(255, "chat").in_capacity(1).out_capacity(u32::MAX);
const WALK_INFO: RouteInfo = WALK.info();

/// Neither `Send`, `Copy` nor a payload.
struct Local(#[expect(dead_code, reason = "only its type counts")] Rc<Cell<u8>>);

fn is_plain<T: Copy + Send + Sync + 'static + std::fmt::Debug>(_: T) {}

#[test]
fn routes_are_copy_and_send_whatever_they_carry() {
    is_plain(Unary::<Local, Local>::new(1, "a"));
    is_plain(ServerStream::<Local, Local>::new(1, "a"));
    is_plain(ClientStream::<Local, Local, Local>::new(1, "a"));
    is_plain(TwoWay::<Local, Local, Local>::new(1, "a"));
}

#[test]
fn a_route_says_what_was_declared() {
    let single = RouteInfo {
        handler: 1,
        subroute: None,
        name: "lock",
        shape: Shape::Single,
        run_to_end: false,
    };
    assert_eq!(LOCK.info(), single);
    assert_eq!(RouteInfo::from(LOCK), single);
    let shape = Shape::Stream { in_capacity: 0, out_capacity: 64 };
    let walk = RouteInfo { handler: 7, subroute: None, name: "walk", shape, run_to_end: true };
    assert_eq!(WALK_INFO, walk);
    assert_eq!(UPLOAD.info().shape, Shape::Stream { in_capacity: 4, out_capacity: 1 });
    assert_eq!(CHAT.info().shape, Shape::Stream { in_capacity: 1, out_capacity: u32::MAX });
    assert_eq!((CHAT.handler(), CHAT.name(), CHAT.subroute()), (255, "chat", None));
}

#[test]
fn capacities_have_defaults() {
    let upload = ClientStream::<Mss, Payload, NoPayload>::new(80, "upload");
    let [in_capacity, out_capacity] = [DEFAULT_CAPACITY, DEFAULT_RESULT_CAPACITY];
    assert_eq!(upload.info().shape, Shape::Stream { in_capacity, out_capacity });
    let chat = TwoWay::<Mss, Payload, Payload>::new(81, "chat");
    let out_capacity = DEFAULT_CAPACITY;
    assert_eq!(chat.info().shape, Shape::Stream { in_capacity, out_capacity });
    let walk = ServerStream::<Mss, Payload>::new(7, "walk");
    assert_eq!(walk.info().shape, Shape::Stream { in_capacity: 0, out_capacity });
}

#[test]
fn a_subroute_changes_nothing_else() {
    let on_disk = WALK.at("disk-1");
    assert_eq!(on_disk.subroute(), Some(SubrouteId::new(7, &["disk-1"])));
    assert_eq!(on_disk.info(), RouteInfo { subroute: on_disk.subroute(), ..WALK_INFO });
    assert_eq!(WALK.at_parts(&["a", "b"]).info(), WALK.at("a/b").info());
    assert_eq!(on_disk.at("disk-2").info(), WALK.at("disk-2").info());
}

#[test]
#[should_panic(expected = "handler id 0")]
fn handler_zero_is_no_route() {
    let _ = Unary::<Mss, Mss>::new(0, "none");
}

#[test]
#[should_panic(expected = "out capacity")]
fn a_stream_has_out_capacity() {
    let _ = CHAT.out_capacity(0);
}

#[test]
#[should_panic(expected = "in capacity")]
fn a_stream_with_input_has_in_capacity() {
    let _ = UPLOAD.in_capacity(0);
}
