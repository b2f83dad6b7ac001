//! Routes with the types of what travels.

use std::fmt;
use std::marker::PhantomData;

use crate::wire::SubrouteId;

use super::{DEFAULT_CAPACITY, DEFAULT_RESULT_CAPACITY, RouteInfo, Shape};

/// Declares a route type with what all of them share. Its types are parameters of a function
/// pointer, so a route is `Copy`, `Send` and `Sync` whatever they are.
macro_rules! route {
    ($(#[$doc:meta])* $route:ident<$($type:ident),+>, $types:ty, $shape:expr) => {
        $(#[$doc])*
        pub struct $route<$($type),+> {
            info: RouteInfo,
            types: PhantomData<$types>,
        }

        impl<$($type),+> $route<$($type),+> {
            /// The route of the handler with this id.
            ///
            /// # Panics
            ///
            /// If `handler` is 0; in a `const`, that is an error of compilation.
            #[must_use]
            pub const fn new(handler: u8, name: &'static str) -> Self {
                assert!(handler != 0, "handler id 0 is not valid");
                let info =
                    RouteInfo { handler, subroute: None, name, shape: $shape, run_to_end: false };
                Self { info, types: PhantomData }
            }

            /// Has the handler keep running when its call is cancelled, by the caller, the
            /// deadline, a lost link or a shutdown. Its result is discarded then.
            #[must_use]
            pub const fn run_to_end(mut self) -> Self {
                self.info.run_to_end = true;
                self
            }

            /// This route under a subroute: one of several handlers with the same id, such as one
            /// for each disk.
            #[must_use]
            pub fn at(self, subroute: &str) -> Self {
                self.at_parts(&[subroute])
            }

            /// This route under a subroute of several parts. They are joined with `/`, so `a/b`
            /// is the same subroute as `a` and `b`.
            #[must_use]
            pub fn at_parts(mut self, parts: &[&str]) -> Self {
                self.info.subroute = Some(SubrouteId::new(self.info.handler, parts));
                self
            }

            /// The handler id.
            #[must_use]
            pub const fn handler(&self) -> u8 {
                self.info.handler
            }

            /// The name, for logs and metrics.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.info.name
            }

            /// The subroute, if the route is under one.
            #[must_use]
            pub const fn subroute(&self) -> Option<SubrouteId> {
                self.info.subroute
            }

            /// The route without its types.
            #[must_use]
            pub const fn info(&self) -> RouteInfo {
                self.info
            }
        }

        impl<$($type),+> Clone for $route<$($type),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($type),+> Copy for $route<$($type),+> {}

        impl<$($type),+> fmt::Debug for $route<$($type),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($route)).field(&self.info).finish()
            }
        }

        impl<$($type),+> From<$route<$($type),+>> for RouteInfo {
            fn from(route: $route<$($type),+>) -> Self {
                route.info
            }
        }
    };
}

macro_rules! in_capacity {
    ($route:ident<$($type:ident),+>) => {
        impl<$($type),+> $route<$($type),+> {
            /// How many items the caller may have in flight. Default:
            /// [`DEFAULT_CAPACITY`]. The other end must have the same.
            ///
            /// # Panics
            ///
            /// If `items` is 0; in a `const`, that is an error of compilation.
            #[must_use]
            pub const fn in_capacity(mut self, items: u32) -> Self {
                assert!(items != 0, "a stream with input has an in capacity of at least 1");
                if let Shape::Stream { in_capacity, .. } = &mut self.info.shape {
                    *in_capacity = items;
                }
                self
            }
        }
    };
}

macro_rules! out_capacity {
    ($route:ident<$($type:ident),+>, $default:ident) => {
        impl<$($type),+> $route<$($type),+> {
            /// How many items the handler may have in flight; the end of the stream counts as
            /// one. Default:
            #[doc = concat!("[`", stringify!($default), "`].")]
            /// The other end must have the same.
            ///
            /// # Panics
            ///
            /// If `items` is 0; in a `const`, that is an error of compilation.
            #[must_use]
            pub const fn out_capacity(mut self, items: u32) -> Self {
                assert!(items != 0, "the out capacity of a stream is at least 1");
                if let Shape::Stream { out_capacity, .. } = &mut self.info.shape {
                    *out_capacity = items;
                }
                self
            }
        }
    };
}

route! {
    /// One request, one response.
    ///
    /// ```
    /// use gridmux_core::payload::{Mss, NoPayload};
    /// use gridmux_core::route::Unary;
    ///
    /// const LOCK: Unary<Mss, NoPayload> = Unary::new(1, "lock");
    /// let on_disk = LOCK.at("disk-1");
    /// assert_eq!(on_disk.handler(), 1);
    /// ```
    ///
    /// There is no handler 0:
    ///
    /// ```compile_fail,E0080
    /// # use gridmux_core::{payload::NoPayload, route::Unary};
    /// const NONE: Unary<NoPayload, NoPayload> = Unary::new(0, "none");
    /// # let _ = NONE;
    /// ```
    Unary<Req, Res>, fn(Req) -> Res, Shape::Single
}

route! {
    /// One request, then items from the handler.
    ///
    /// ```
    /// use gridmux_core::payload::{Mss, Payload};
    /// use gridmux_core::route::ServerStream;
    ///
    /// const WALK: ServerStream<Mss, Payload> = ServerStream::new(7, "walk-dir").out_capacity(64);
    /// ```
    ///
    /// It could not even end without out capacity:
    ///
    /// ```compile_fail,E0080
    /// # use gridmux_core::{payload::NoPayload, route::ServerStream};
    /// const STUCK: ServerStream<NoPayload, NoPayload> = ServerStream::new(7, "stuck").out_capacity(0);
    /// # let _ = STUCK;
    /// ```
    ServerStream<Req, Item>, fn(Req) -> Item,
    Shape::Stream { in_capacity: 0, out_capacity: DEFAULT_CAPACITY }
}
out_capacity!(ServerStream<Req, Item>, DEFAULT_CAPACITY);

route! {
    /// One request and items from the caller, then one result: on the wire a stream whose handler
    /// sends exactly one item and ends.
    ///
    /// ```
    /// use gridmux_core::payload::{Mss, NoPayload, Payload};
    /// use gridmux_core::route::ClientStream;
    ///
    /// const UPLOAD: ClientStream<Mss, Payload, NoPayload> =
    ///     ClientStream::new(80, "upload").in_capacity(4);
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use gridmux_core::{payload::NoPayload, route::ClientStream};
    /// const MUTE: ClientStream<NoPayload, NoPayload, NoPayload> =
    ///     ClientStream::new(80, "mute").in_capacity(0);
    /// # let _ = MUTE;
    /// ```
    ClientStream<Req, Item, Res>, fn(Req, Item) -> Res,
    Shape::Stream { in_capacity: DEFAULT_CAPACITY, out_capacity: DEFAULT_RESULT_CAPACITY }
}
in_capacity!(ClientStream<Req, Item, Res>);
out_capacity!(ClientStream<Req, Item, Res>, DEFAULT_RESULT_CAPACITY);

route! {
    /// One request, then items in both directions.
    ///
    /// ```
    /// use gridmux_core::payload::{Mss, Payload};
    /// use gridmux_core::route::TwoWay;
    ///
    /// const CHAT: TwoWay<Mss, Payload, Payload> =
    ///     TwoWay::new(81, "chat").in_capacity(16).out_capacity(16);
    /// ```
    TwoWay<Req, In, Out>, fn(Req, In) -> Out,
    Shape::Stream { in_capacity: DEFAULT_CAPACITY, out_capacity: DEFAULT_CAPACITY }
}
in_capacity!(TwoWay<Req, In, Out>);
out_capacity!(TwoWay<Req, In, Out>, DEFAULT_CAPACITY);
