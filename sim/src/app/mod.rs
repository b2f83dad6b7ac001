//! The scripted applications: what a script's lines call, on the handles that users hold.

mod caller;
mod content;
mod flow;
mod forms;
mod handler;
mod routes;
mod stage;

pub(crate) use self::caller::{perform, unless_dropped};
pub(crate) use self::content::{Kind, call_of};
pub(crate) use self::handler::serve;
pub(crate) use self::routes::{address, capacities, infos, is_tiny, request_size};
pub(crate) use self::stage::{Stage, Witness};
