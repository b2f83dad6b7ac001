//! A small application that serves what the recorded Go node serves, over the machine's own API.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::event::IncomingCall;
use gridmux_core::mux::{IncomingKey, Received};
use gridmux_core::outbox::Data;
use gridmux_core::peer::Peer;
use gridmux_core::time::{Instant, Now};

/// What a handler still has to do.
#[derive(Debug)]
enum Work {
    Sleep { until: Instant, payload: Bytes },
    Echo { held: Option<Bytes> },
    Items { left: VecDeque<Bytes>, end: Result<(), String> },
    Block,
}

/// The handlers that run.
#[derive(Debug, Default)]
pub struct App {
    tasks: Vec<(IncomingKey, Work)>,
}

impl App {
    /// Begins to serve a call.
    pub fn serve(&mut self, peer: &mut Peer, now: Now, call: &IncomingCall) {
        let handler = peer.node().routes.get(call.route).handler;
        let payload = call.payload.as_slice().to_vec();
        let text = String::from_utf8_lossy(&payload).into_owned();
        let work = match handler {
            1 => {
                return peer.respond(now, call.key, Ok(Data::Borrowed(&payload)));
            }
            2 => return peer.respond(now, call.key, Err(&text)),
            6 => return peer.respond(now, call.key, Err(&format!("panic: {text}"))),
            3 => {
                let millis = text.parse().expect("a number of milliseconds");
                let until = now.instant.after(Duration::from_millis(millis));
                Work::Sleep { until, payload: payload.into() }
            }
            11 | 17 => Work::Echo { held: None },
            14 => {
                let (count, size) = text.split_once(' ').expect("count and size");
                let (count, size) = (count.parse().expect("count"), size.parse().expect("size"));
                let left = (0..count).map(|_| Bytes::from(vec![0; size])).collect();
                Work::Items { left, end: Err(format!("failed after {count}")) }
            }
            13 | 15 => Work::Block,
            other => panic!("no script for handler {other}"),
        };
        self.tasks.push((call.key, work));
    }

    /// Lets every handler go on as far as it can.
    pub fn run(&mut self, peer: &mut Peer, now: Now) {
        self.tasks.retain_mut(|(key, work)| {
            if !peer.is_live(*key) {
                peer.handler_gone(now, *key);
                return false;
            }
            !advance(peer, now, *key, work)
        });
    }

    /// When the next handler wakes.
    pub fn next_wake(&self) -> Option<Instant> {
        let sleeps = self.tasks.iter().filter_map(|(_, work)| match work {
            Work::Sleep { until, .. } => Some(*until),
            _ => None,
        });
        sleeps.min()
    }
}

/// `true` once the handler has returned.
fn advance(peer: &mut Peer, now: Now, key: IncomingKey, work: &mut Work) -> bool {
    match work {
        Work::Block => false,
        Work::Sleep { until, payload } => {
            if now.instant < *until {
                return false;
            }
            peer.respond(now, key, Ok(Data::Borrowed(payload)));
            true
        }
        Work::Items { left, end } => {
            while let Some(item) = left.front() {
                if peer.serve_item(key, Data::Borrowed(item)).is_err() {
                    return false;
                }
                left.pop_front();
            }
            peer.finish(now, key, end.clone());
            true
        }
        Work::Echo { held } => loop {
            if let Some(item) = held {
                if peer.serve_item(key, Data::Borrowed(item)).is_err() {
                    return false;
                }
                *held = None;
            }
            match peer.take_input(key) {
                Received::Item(item) => *held = Some(item),
                Received::Pending => return false,
                Received::End => {
                    peer.finish(now, key, Ok(()));
                    return true;
                }
                Received::Failed(reason) => {
                    peer.finish(now, key, Err(reason.to_string()));
                    return true;
                }
            }
        },
    }
}
