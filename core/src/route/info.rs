//! A route without its types.

use crate::mux::Target;
use crate::wire::SubrouteId;

/// What the protocol needs to know of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// The handler id, 1 to 255.
    pub handler: u8,
    /// Which of several handlers with this id, if there are several.
    pub subroute: Option<SubrouteId>,
    /// A name for logs and metrics. It is not on the wire and need not be unique.
    pub name: &'static str,
    /// What travels.
    pub shape: Shape,
    /// Whether the handler keeps running when its call is cancelled.
    pub run_to_end: bool,
}

impl RouteInfo {
    /// Where a call of this route goes.
    pub const fn target(&self) -> Target {
        Target { handler: self.handler, subroute: self.subroute }
    }
}

/// What travels in a call of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One request, one response.
    Single,
    /// A request, then items.
    Stream {
        /// How many items from caller to handler may be in flight; 0 means that the stream takes
        /// no input.
        in_capacity: u32,
        /// How many items from handler to caller may be in flight, at least 1.
        out_capacity: u32,
    },
}
