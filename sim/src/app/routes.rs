//! The routes of scripted applications, as each end declares them.
//!
//! Those of other forms than the raw one have the handlers of the raw ones, under subroutes that
//! are named for the form.

use std::sync::{Arc, LazyLock};

use gridmux_core::payload::Payload;
use gridmux_core::route::{ClientStream, RouteInfo, ServerStream, TwoWay, Unary};
use gridmux_core::wire::SubrouteId;

use super::forms::{Content, Record, with_form};
use crate::monitor::Capacities;
use crate::script::{Call, Form, Route, Way};

pub(crate) type Single<T> = Unary<T, T>;
pub(crate) type Items<T> = ServerStream<T, T>;
pub(crate) type Fold<T> = ClientStream<T, T, T>;
pub(crate) type Both<T> = TwoWay<T, T, T>;

/// Requests shorter than this cannot name their call; each has a handler of its own.
pub(crate) const NAMED: u32 = 8;

/// A route of a type under the subroute of its form.
macro_rules! in_form {
    ($type:ident, $route:expr) => {
        match $type::FORM {
            Form::Raw => $route,
            form => $route.at(form.word()),
        }
    };
}

/// Single requests.
pub(crate) fn single<T: Content>(call: &Call) -> Single<T> {
    match call.route {
        _ if is_tiny(call) => tiny(call),
        Route::Inline => inline(),
        Route::RunToEnd => run_to_end(),
        Route::Sub => sub("here"),
        Route::MissingSub => sub("elsewhere"),
        Route::Mistyped => Single::new(16, "mistyped"),
        Route::Missing => in_form!(T, Single::new(14, "missing")),
        _ => echo(),
    }
}

pub(crate) fn echo<T: Content>() -> Single<T> {
    in_form!(T, Single::new(10, "echo"))
}

pub(crate) fn inline<T: Content>() -> Single<T> {
    in_form!(T, Single::new(11, "inline"))
}

pub(crate) fn run_to_end<T: Content>() -> Single<T> {
    in_form!(T, Single::new(12, "run-to-end").run_to_end())
}

/// Under two subroutes, unless its form is the raw one.
pub(crate) fn sub<T: Content>(name: &str) -> Single<T> {
    let route = Single::new(13, "sub");
    match T::FORM {
        Form::Raw => route.at(name),
        form => route.at_parts(&[name, form.word()]),
    }
}

/// Whether the request of a call is too short to say which call it is.
pub(crate) fn is_tiny(call: &Call) -> bool {
    let short = match call.form {
        Form::Raw => call.size.is_none_or(|size| size < NAMED),
        form => form == Form::Nothing,
    };
    call.route == Route::Echo && short
}

/// The bytes that a call's request is made of.
pub(crate) fn request_size(call: &Call) -> Option<u32> {
    match call.route.capacities() {
        None if call.form == Form::Raw => call.size,
        _ => Some(call.size.unwrap_or(0).max(NAMED)),
    }
}

/// The bytes that an item is made of: it has some where they alone say what it is.
pub(crate) fn item_size(call: &Call, size: u32) -> u32 {
    if call.way == Way::Bytes { size.max(1) } else { size }
}

/// A handler for one call alone.
pub(crate) fn tiny<T: Content>(call: &Call) -> Single<T> {
    Single::new(15, "tiny").at(&call.name)
}

/// Streams without input.
pub(crate) fn items<T: Content>(route: Route, capacities: (u32, u32)) -> Items<T> {
    let items = match route {
        Route::Drip => Items::new(20, "drip"),
        Route::NoInput => Items::new(29, "no-input"),
        Route::MistypedItems => Items::new(30, "mistyped-items"),
        _ => Items::new(21, "source"),
    };
    in_form!(T, items).out_capacity(capacities.1)
}

/// A single request as its callee believes it to be.
pub(crate) const MISTYPED: Unary<Record, Record> = Unary::new(16, "mistyped");

/// A stream whose items its callee believes to be texts.
pub(crate) fn mistyped_items() -> ServerStream<Payload, Record> {
    ServerStream::new(30, "mistyped-items")
}

/// Streams with input and one result.
pub(crate) fn fold<T: Content>(route: Route, capacities: (u32, u32)) -> Fold<T> {
    let fold = match route {
        Route::Gulp => Fold::new(22, "gulp"),
        _ => Fold::new(23, "sink"),
    };
    in_form!(T, fold).in_capacity(capacities.0)
}

/// Streams both ways.
pub(crate) fn both<T: Content>(route: Route, capacities: (u32, u32)) -> Both<T> {
    let both = match route {
        Route::Narrow => Both::new(24, "narrow"),
        Route::Wide => Both::new(26, "wide"),
        Route::MissingStream => Both::new(27, "missing-stream"),
        Route::Mismatch => Both::new(28, "mismatch"),
        Route::NoInput => Both::new(29, "no-input"),
        _ => Both::new(25, "talk"),
    };
    in_form!(T, both).in_capacity(capacities.0).out_capacity(capacities.1)
}

/// Handler and subroute of a call, as its caller sends them.
pub(crate) fn address(call: &Call) -> (u8, Option<SubrouteId>) {
    with_form!(call.form, T => {
        let Some(capacities) = call.route.capacities() else {
            let route = single::<T>(call);
            return (route.handler(), route.subroute());
        };
        let info = match call.route {
            Route::Drip | Route::Source | Route::MistypedItems => {
                items::<T>(call.route, capacities).info()
            }
            Route::Gulp | Route::Sink => fold::<T>(call.route, capacities).info(),
            _ => both::<T>(call.route, capacities).info(),
        };
        (info.handler, info.subroute)
    })
}

/// A call's route as its callee has it.
fn served(call: &Call) -> RouteInfo {
    let capacities = call.route.served_capacities().unwrap_or_default();
    with_form!(call.form, T => match call.route {
        Route::Drip | Route::Source | Route::NoInput | Route::MistypedItems => {
            items::<T>(call.route, capacities).info()
        }
        Route::Gulp | Route::Sink => fold::<T>(call.route, capacities).info(),
        _ if call.route.capacities().is_some() => both::<T>(call.route, capacities).info(),
        _ => single::<T>(call).info(),
    })
}

/// The routes that a node needs for these calls to it, and the plain ones.
pub(crate) fn infos(calls: &[Arc<Call>], node: usize) -> Vec<RouteInfo> {
    let here = calls.iter().filter(|call| call.to == node && call.route.is_served());
    let mut infos: Vec<_> = here.map(|call| served(call)).collect();
    let plain = Route::ALL.into_iter().filter(|route| route.is_served());
    infos.extend(plain.map(|route| served(&Call::new("", 0, node, route))));
    infos.sort_by_key(|info| (info.handler, info.subroute.map(|id| *id.as_bytes())));
    infos.dedup_by_key(|info| (info.handler, info.subroute));
    infos
}

/// The streams that the wire monitors are to know: those that both ends agree on.
pub(crate) fn capacities() -> Capacities {
    static ALL: LazyLock<Capacities> = LazyLock::new(|| {
        let agreed = Route::ALL.into_iter().filter(|route| route.is_agreed() && route.is_served());
        let streams = agreed.filter_map(|route| Some((route, route.capacities()?)));
        let calls = streams.flat_map(|(route, capacities)| {
            let call = move |form| Call { form, ..Call::new("", 0, 0, route) };
            Form::ALL.map(|form| (address(&call(form)), capacities))
        });
        calls.fold(Capacities::new(), |all, ((handler, subroute), capacities)| {
            all.with(handler, subroute.map(|id| *id.as_bytes()), capacities)
        })
    });
    ALL.clone()
}
