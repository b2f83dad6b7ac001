//! The rules, each a table or a count that knows nothing of connections.

mod automata;
mod credit;
mod epoch;
mod link;
mod shape;

pub(super) use self::automata::{CalleeEvent, CalleeState, CallerEvent, CallerState, Event};
pub(super) use self::credit::Flow;
pub(super) use self::epoch::{Generations, generations_between};
pub(super) use self::link::LinkEnd;
pub(super) use self::shape::check as check_shape;
