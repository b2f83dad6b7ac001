//! The table finds what was put in, and refuses what cannot be served.

use gridmux_core::payload::Payload;
use gridmux_core::route::{RouteError, RouteInfo, RouteTable, ServerStream, Shape, TwoWay, Unary};
use gridmux_core::wire::SubrouteId;

type Raw = Unary<Payload, Payload>;

#[test]
fn every_handler_id_but_zero_can_be_served() {
    let mut table = RouteTable::new();
    assert!(table.is_empty());
    let routes: Vec<_> = (1..=255).map(|id| table.insert(Raw::new(id, "r").info())).collect();
    for (id, route) in (1..=255).zip(routes) {
        let route = route.unwrap();
        assert_eq!(table.find(id, None), Some(route));
        assert_eq!(table.get(route).handler, id);
        assert_eq!(route.as_usize(), usize::from(id) - 1);
    }
    assert_eq!(table.find(0, None), None);
    assert_eq!(table.len(), 255);
    assert!(table.iter().map(|route| route.handler).eq(1..=255));
}

#[test]
fn subroutes_are_found_by_their_id_alone() {
    const WALK: ServerStream<Payload, Payload> = ServerStream::new(7, "walk");
    let mut table = RouteTable::new();
    let disks: Vec<String> = (0..1000).map(|n| format!("disk-{n}")).collect();
    for disk in &disks {
        table.insert(WALK.at(disk).info()).unwrap();
    }
    let plain = table.insert(WALK.info()).unwrap();
    for (n, disk) in disks.iter().enumerate() {
        let id = SubrouteId::new(7, &[disk]);
        let found = table.find(7, Some(&id)).unwrap();
        assert_eq!(found.as_usize(), n);
        assert_eq!(table.get(found).subroute, Some(id));
        assert_eq!(table.find(9, Some(&id)), Some(found));
    }
    assert_eq!(table.find(7, None), Some(plain));
    assert_eq!(table.find(7, Some(&SubrouteId::new(7, &["no such disk"]))), None);
    assert_eq!(table.find(7, Some(&SubrouteId::new(8, &["disk-1"]))), None);
}

#[test]
fn what_cannot_be_served_is_refused_and_changes_nothing() {
    const CHAT: TwoWay<Payload, Payload, Payload> = TwoWay::new(9, "chat");
    let mut table = RouteTable::default();
    let chat = table.insert(CHAT.info()).unwrap();
    let on_disk = table.insert(CHAT.at("d").info()).unwrap();

    let taken = Err(RouteError::Taken { name: "other", handler: 9, taken_by: "chat" });
    assert_eq!(table.insert(Raw::new(9, "other").info()), taken);
    assert_eq!(table.insert(Raw::new(9, "other").at("d").info()), taken);
    assert_eq!(
        table.insert(RouteInfo { handler: 0, name: "zero", ..CHAT.info() }),
        Err(RouteError::HandlerZero { name: "zero" })
    );
    let shape = Shape::Stream { in_capacity: 1, out_capacity: 0 };
    assert_eq!(
        table.insert(RouteInfo { handler: 10, name: "stuck", shape, ..CHAT.info() }),
        Err(RouteError::NoOutCapacity { name: "stuck" })
    );

    assert_eq!(table.len(), 2);
    assert_eq!(table.find(9, None), Some(chat));
    assert_eq!(table.find(9, CHAT.at("d").subroute().as_ref()), Some(on_disk));
    assert_eq!(table.find(10, None), None);
}
