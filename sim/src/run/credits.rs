//! Counts the credits that callers give back for items, by call.

use std::collections::BTreeMap;

use crate::app::{self, CallMark};
use crate::monitor::{Message, Op};
use crate::script::Form;
use crate::world::{ConnId, End};

/// The streams whose call is known by their opening message, and what was given back for them.
#[derive(Debug, Default)]
pub(super) struct Credits {
    streams: BTreeMap<(ConnId, End, u64), CallMark>,
    given: Vec<(CallMark, u64)>,
}

impl Credits {
    /// An end has written these messages.
    pub(super) fn wrote(&mut self, at: u64, conn: ConnId, end: End, messages: &[Message]) {
        for message in messages {
            let stream = (conn, end, message.mux);
            match message.op {
                Op::ConnectMux => match opened(message) {
                    Some(call) => drop(self.streams.insert(stream, call)),
                    None => drop(self.streams.remove(&stream)),
                },
                Op::UnblockSrvMux => {
                    self.given.extend(self.streams.get(&stream).map(|call| (*call, at)));
                }
                _ => {}
            }
        }
    }

    /// By call and time of writing, in the order of the times.
    pub(super) fn given(&self) -> &[(CallMark, u64)] {
        &self.given
    }
}

/// The call that a message opens, if it says so at its beginning: in other forms than raw bytes,
/// the mark is further inside.
pub(super) fn opened(message: &Message) -> Option<CallMark> {
    let opens = matches!(message.op, Op::Request | Op::ConnectMux);
    let named = message.payload.len >= app::NAMED as usize;
    app::call_of(Form::Raw, &message.payload.prefix).filter(|_| opens && named)
}
