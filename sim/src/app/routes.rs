//! The routes of scripted applications, as each end declares them.

use gridmux_core::payload::Payload;
use gridmux_core::route::{ClientStream, ServerStream, TwoWay, Unary};
use gridmux_core::wire::SubrouteId;

use crate::monitor::Capacities;
use crate::script::{Call, Route};

pub(crate) type Single = Unary<Payload, Payload>;
pub(crate) type Items = ServerStream<Payload, Payload>;
pub(crate) type Fold = ClientStream<Payload, Payload, Payload>;
pub(crate) type Both = TwoWay<Payload, Payload, Payload>;

/// Requests shorter than this cannot name their call; each has a handler of its own.
pub(crate) const NAMED: u32 = 8;

/// Single requests.
pub(crate) fn single(route: Route, call: &Call) -> Single {
    match route {
        _ if is_tiny(call) => tiny(call),
        Route::Inline => Single::new(11, "inline"),
        Route::RunToEnd => Single::new(12, "run-to-end").run_to_end(),
        Route::Sub => sub("here"),
        Route::MissingSub => sub("elsewhere"),
        Route::Missing => Single::new(14, "missing"),
        _ => ECHO,
    }
}

pub(crate) const ECHO: Single = Single::new(10, "echo");

pub(crate) fn sub(name: &str) -> Single {
    Single::new(13, "sub").at(name)
}

/// Whether the request of a call is too short to say which call it is.
pub(crate) fn is_tiny(call: &Call) -> bool {
    call.route == Route::Echo && call.size.is_none_or(|size| size < NAMED)
}

/// A handler for one call alone.
pub(crate) fn tiny(call: &Call) -> Single {
    Single::new(15, "tiny").at(&call.name)
}

/// Streams without input.
pub(crate) fn items(route: Route, capacities: (u32, u32)) -> Items {
    match route {
        Route::Drip => Items::new(20, "drip"),
        Route::NoInput => Items::new(29, "no-input"),
        _ => Items::new(21, "source"),
    }
    .out_capacity(capacities.1)
}

/// Streams with input and one result.
pub(crate) fn fold(route: Route, capacities: (u32, u32)) -> Fold {
    match route {
        Route::Gulp => Fold::new(22, "gulp"),
        _ => Fold::new(23, "sink"),
    }
    .in_capacity(capacities.0)
}

/// Streams both ways.
pub(crate) fn both(route: Route, capacities: (u32, u32)) -> Both {
    match route {
        Route::Narrow => Both::new(24, "narrow"),
        Route::Wide => Both::new(26, "wide"),
        Route::MissingStream => Both::new(27, "missing-stream"),
        Route::Mismatch => Both::new(28, "mismatch"),
        Route::NoInput => Both::new(29, "no-input"),
        _ => Both::new(25, "talk"),
    }
    .in_capacity(capacities.0)
    .out_capacity(capacities.1)
}

/// Handler and subroute of a call, as its caller sends them.
pub(crate) fn address(call: &Call) -> (u8, Option<SubrouteId>) {
    let Some(capacities) = call.route.capacities() else {
        let route = single(call.route, call);
        return (route.handler(), route.subroute());
    };
    let handler = match call.route {
        Route::Drip | Route::Source => items(call.route, capacities).handler(),
        Route::Gulp | Route::Sink => fold(call.route, capacities).handler(),
        _ => both(call.route, capacities).handler(),
    };
    (handler, None)
}

/// The streams that the wire monitors are to know: those that both ends agree on.
pub(crate) fn capacities() -> Capacities {
    let streams = [
        (20, Route::Drip),
        (21, Route::Source),
        (22, Route::Gulp),
        (23, Route::Sink),
        (24, Route::Narrow),
        (25, Route::Talk),
        (26, Route::Wide),
    ];
    streams.into_iter().fold(Capacities::new(), |all, (handler, route)| {
        all.with(handler, None, route.capacities().unwrap_or_default())
    })
}
