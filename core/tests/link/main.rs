//! Links between whole nodes: how they begin, live and end, and what happens to calls.

mod accept;
mod bytes;
mod dial;
mod drain;
mod identity;
mod ledger;
mod life;
mod limits;
mod logs;
mod lost;
mod memory;
mod order;
mod pair;
mod replaced;
mod socket;
mod support;
