//! The routes that a node serves.

use std::collections::BTreeMap;

use crate::wire::SubrouteId;

use super::{RouteInfo, Shape};

/// All routes that a node serves: filled when the node is built, only read afterwards.
#[derive(Debug, Clone)]
pub struct RouteTable {
    routes: Vec<RouteInfo>,
    /// By handler id.
    plain: [Option<RouteIndex>; 256],
    subroutes: BTreeMap<SubrouteId, RouteIndex>,
}

/// Which route of its table. Counts up from 0 in the order of insertion, so that a `Vec` beside
/// the table can hold what belongs to each route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(u32);

impl RouteIndex {
    /// The position.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A route cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Handler id 0 stands for "none".
    #[error("route {name}: handler id 0 is not valid")]
    HandlerZero {
        /// The name of the route that was refused.
        name: &'static str,
    },
    /// Another route has this handler id, and the same subroute or none either.
    #[error("route {name}: handler id {handler} is taken by route {taken_by}")]
    Taken {
        /// The name of the route that was refused.
        name: &'static str,
        /// The id that both have.
        handler: u8,
        /// The name of the route that was there before.
        taken_by: &'static str,
    },
    /// A stream could never send anything, not even its end.
    #[error("route {name}: the out capacity of a stream is at least 1")]
    NoOutCapacity {
        /// The name of the route that was refused.
        name: &'static str,
    },
    /// Four billion routes are there already.
    #[error("route {name}: too many routes")]
    TooMany {
        /// The name of the route that was refused.
        name: &'static str,
    },
}

impl RouteTable {
    /// A table without routes.
    #[must_use]
    pub const fn new() -> Self {
        Self { routes: Vec::new(), plain: [None; 256], subroutes: BTreeMap::new() }
    }

    /// Adds a route. A handler id can be used without a subroute, and with any number of them, at
    /// the same time.
    ///
    /// # Errors
    /// [`RouteError`] says what is wrong with the route; the table is as it was.
    pub fn insert(&mut self, route: RouteInfo) -> Result<RouteIndex, RouteError> {
        let RouteInfo { handler, subroute, name, shape, run_to_end: _ } = route;
        if handler == 0 {
            return Err(RouteError::HandlerZero { name });
        }
        if matches!(shape, Shape::Stream { out_capacity: 0, .. }) {
            return Err(RouteError::NoOutCapacity { name });
        }
        if let Some(taken) = self.find(handler, subroute.as_ref()) {
            return Err(RouteError::Taken { name, handler, taken_by: self.get(taken).name });
        }
        let Ok(index) = u32::try_from(self.routes.len()) else {
            return Err(RouteError::TooMany { name });
        };
        let index = RouteIndex(index);
        match subroute {
            None => self.plain[usize::from(handler)] = Some(index),
            Some(id) => {
                self.subroutes.insert(id, index);
            }
        }
        self.routes.push(route);
        Ok(index)
    }

    /// The route that a message with this handler id and subroute is for.
    ///
    /// A message with a subroute is for the route with exactly that one: never for the plain route
    /// of the same handler id, and whatever its `handler` is, for the id holds one of its own.
    #[must_use]
    pub fn find(&self, handler: u8, subroute: Option<&SubrouteId>) -> Option<RouteIndex> {
        match subroute {
            None => self.plain[usize::from(handler)],
            Some(id) => self.subroutes.get(id).copied(),
        }
    }

    /// The route at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is another table's, and this one has fewer routes.
    #[must_use]
    pub fn get(&self, index: RouteIndex) -> &RouteInfo {
        &self.routes[index.as_usize()]
    }

    /// How many routes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// All routes, in the order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RouteInfo> {
        self.routes.iter()
    }
}

impl Default for RouteTable {
    fn default() -> Self {
        Self::new()
    }
}
