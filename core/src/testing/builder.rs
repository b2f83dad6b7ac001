//! Settings of a pair.

use std::sync::Arc;

use super::{End, Mode, Pair, Which};
use crate::auth::StaticToken;
use crate::grid::GridState;
use crate::limits::Limits;
use crate::link::dials;
use crate::node::Node;
use crate::route::RouteTable;
use crate::time::Instant;
use crate::timings::Timings;

/// Settings of a [`Pair`].
#[derive(Debug, Clone)]
pub struct PairBuilder {
    names: (String, String),
    mode: Mode,
    routes: RouteTable,
    limits: [Limits; 2],
    timings: Timings,
    tokens: [String; 2],
    http_routes: [Option<String>; 2],
    seed: u64,
    first_generation: u32,
}

impl Default for PairBuilder {
    fn default() -> Self {
        Self {
            names: ("http://127.0.0.1:9101".into(), "http://127.0.0.1:9102".into()),
            mode: Mode::Frames,
            routes: RouteTable::default(),
            limits: [Limits::default(), Limits::default()],
            timings: Timings::default(),
            tokens: ["secret-token".into(), "secret-token".into()],
            http_routes: [None, None],
            seed: 1,
            first_generation: 0,
        }
    }
}

impl PairBuilder {
    /// How the two are joined; frames unless set.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The names, in any order: who dials follows from them.
    #[must_use]
    pub fn names(mut self, one: &str, other: &str) -> Self {
        self.names = (one.into(), other.into());
        self
    }

    /// What both ends serve.
    #[must_use]
    pub fn routes(mut self, routes: RouteTable) -> Self {
        self.routes = routes;
        self
    }

    /// The limits of one end.
    #[must_use]
    pub fn limits(mut self, which: Which, limits: Limits) -> Self {
        self.limits[which.index()] = limits;
        self
    }

    /// The timings of both ends.
    #[must_use]
    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The token that one end sends and accepts.
    #[must_use]
    pub fn token(mut self, which: Which, token: &str) -> Self {
        self.tokens[which.index()] = token.into();
        self
    }

    /// The HTTP route that one end asks for and serves.
    #[must_use]
    pub fn http_route(mut self, which: Which, route: &str) -> Self {
        self.http_routes[which.index()] = Some(route.into());
        self
    }

    /// The seed of both ends.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the generations of mux ids begin.
    #[must_use]
    pub fn first_generation(mut self, generation: u32) -> Self {
        self.first_generation = generation;
        self
    }

    /// The two nodes, not started.
    ///
    /// # Panics
    /// If the settings are refused.
    pub fn build(self) -> Pair {
        let (one, other) = self.names.clone();
        let (dialler, acceptor) = if dials(&one, &other) { (one, other) } else { (other, one) };
        let now = Instant::from_millis(1000);
        let ends = [
            self.end(Which::Dialler, &dialler, &acceptor, now),
            self.end(Which::Acceptor, &acceptor, &dialler, now),
        ];
        Pair::new(ends, now, self.mode, self.seed)
    }

    /// The two nodes, connected.
    ///
    /// # Panics
    /// If they do not connect.
    pub fn connected(self) -> Pair {
        let mut pair = self.build();
        pair.start();
        pair.drive();
        assert!(pair.is_connected(), "{:?}", pair.ends.each_ref().map(|end| &end.closed));
        for end in &mut pair.ends {
            end.events.clear();
        }
        pair
    }

    fn end(&self, which: Which, own: &str, other: &str, now: Instant) -> End {
        let index = which.index();
        let token = StaticToken::new(self.tokens[index].clone()).expect("a token");
        let mut node = Node::new(own, [index as u8 + 1; 16], Arc::new(token));
        node.routes = self.routes.clone();
        node.limits = self.limits[index].clone();
        node.timings = self.timings.clone();
        if let Some(route) = &self.http_routes[index] {
            node.http_route.clone_from(route);
        }
        let seed = self.seed.wrapping_mul(2).wrapping_add(index as u64);
        let names = [own.to_owned(), other.to_owned()];
        let grid = GridState::new(Arc::new(node), &names, seed, self.first_generation, now);
        End::new(grid.expect("the settings work"), other)
    }
}
