//! Streams of each shape, from their opening to their end.

use gridmux_core::mux::{IncomingKey, OutgoingKey, Received};
use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, Shape};

use super::{MuxLoop, Wire, route};

/// Room for all items of a stream and its end.
const CAPACITY: u32 = 64;

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamShape {
    /// Items from the handler.
    Server,
    /// Items from the caller, then one result.
    Client,
    /// Items from the caller, each of which comes back before the next is sent.
    TwoWay,
}

impl StreamShape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Server, Self::Client, Self::TwoWay];

    /// Its name, in benches.
    pub const fn name(self) -> &'static str {
        self.route().name
    }

    /// How many items may be in flight, there and back.
    const fn capacities(self) -> (u32, u32) {
        match self {
            Self::Server => (0, CAPACITY),
            Self::Client => (CAPACITY, 2),
            Self::TwoWay => (CAPACITY, CAPACITY),
        }
    }

    pub(super) const fn route(self) -> RouteInfo {
        let (in_capacity, out_capacity) = self.capacities();
        let (handler, name) = match self {
            Self::Server => (3, "server-stream"),
            Self::Client => (4, "client-stream"),
            Self::TwoWay => (5, "two-way"),
        };
        route(handler, name, Shape::Stream { in_capacity, out_capacity })
    }
}

impl<W: Wire> MuxLoop<W> {
    /// So many streams at once, each of `items` items, at most 60: opened, run and ended.
    pub fn streams(&mut self, shape: StreamShape, item: &[u8], items: u32, streams: usize) {
        let (now, route) = (self.now.instant, shape.route());
        for _ in 0..streams {
            let caller = self.caller.peer();
            let opened = caller.open(now, route.target(), shape.capacities(), Data::Nil, None);
            self.calls.push(opened.expect("within the limits"));
        }
        self.there();
        self.take_calls();
        match shape {
            StreamShape::Server => self.run_server_streams(item, items),
            StreamShape::Client => self.run_client_streams(item, items),
            StreamShape::TwoWay => self.run_two_way(item, items),
        }
        let (now, caller) = (self.now, self.caller.peer());
        for key in self.calls.drain(..) {
            assert_eq!(caller.receive(key), Received::End);
            caller.release(now, key);
        }
        self.served.clear();
        self.there();
        self.drain_events();
    }

    fn run_server_streams(&mut self, item: &[u8], items: u32) {
        for index in 0..self.served.len() {
            let key = self.served[index];
            (0..items).for_each(|_| self.serve_item(key, item));
            self.finish(key);
        }
        self.back();
        for index in 0..self.calls.len() {
            let key = self.calls[index];
            (0..items).for_each(|_| self.receive_item(key, item.len()));
        }
    }

    fn run_client_streams(&mut self, item: &[u8], items: u32) {
        // That they are open: before that, nothing is sent on them.
        self.back();
        for index in 0..self.calls.len() {
            let key = self.calls[index];
            (0..items).for_each(|_| self.send_item(key, item));
            self.caller.peer().close_input(key);
        }
        self.there();
        for index in 0..self.served.len() {
            let key = self.served[index];
            (0..items).for_each(|_| self.take_item(key, item.len()));
            assert_eq!(self.callee.peer().take_input(key), Received::End);
            self.serve_item(key, &items.to_le_bytes());
            self.finish(key);
        }
        self.back();
        for index in 0..self.calls.len() {
            self.receive_item(self.calls[index], 4);
        }
    }

    fn run_two_way(&mut self, item: &[u8], items: u32) {
        self.back();
        for _ in 0..items {
            for index in 0..self.calls.len() {
                self.send_item(self.calls[index], item);
            }
            self.there();
            for index in 0..self.served.len() {
                self.take_item(self.served[index], item.len());
                self.serve_item(self.served[index], item);
            }
            self.back();
            for index in 0..self.calls.len() {
                self.receive_item(self.calls[index], item.len());
            }
        }
        for index in 0..self.calls.len() {
            self.caller.peer().close_input(self.calls[index]);
        }
        self.there();
        for index in 0..self.served.len() {
            let key = self.served[index];
            assert_eq!(self.callee.peer().take_input(key), Received::End);
            self.finish(key);
        }
        self.back();
    }

    fn take_calls(&mut self) {
        while let Some(call) = self.callee.peer().poll_call() {
            self.served.push(call.key);
        }
        assert_eq!(self.served.len(), self.calls.len(), "every stream is opened");
    }

    fn send_item(&mut self, key: OutgoingKey, item: &[u8]) {
        let sent = self.caller.peer().send(key, Data::Borrowed(item));
        sent.expect("there is a credit");
    }

    fn serve_item(&mut self, key: IncomingKey, item: &[u8]) {
        let sent = self.callee.peer().serve_item(key, Data::Borrowed(item));
        sent.expect("there is a credit");
    }

    fn take_item(&mut self, key: IncomingKey, len: usize) {
        let Received::Item(item) = self.callee.peer().take_input(key) else {
            panic!("an item came")
        };
        assert_eq!(item.len(), len);
    }

    fn receive_item(&mut self, key: OutgoingKey, len: usize) {
        let Received::Item(item) = self.caller.peer().receive(key) else {
            panic!("an item came back")
        };
        assert_eq!(item.len(), len);
    }

    fn finish(&mut self, key: IncomingKey) {
        let now = self.now;
        self.callee.peer().finish(now, key, Ok(()));
    }
}
