//! The scripted applications: what a script's lines call, on the handles that users hold.

mod beside;
mod caller;
mod content;
mod flow;
mod forms;
mod handler;
mod routes;
mod stage;

pub(crate) use self::caller::{payload_due, perform, unless_dropped};
pub(crate) use self::content::{CallMark, Kind, call_of};
pub(crate) use self::handler::serve;
pub(crate) use self::routes::{NAMED, address, capacities, infos, is_tiny, request_size};
pub(crate) use self::stage::{Stage, Witness};
