//! What a user holds: the grid, its peers, pending calls and streams, on both ends.
//!
//! This is the only layer with locks and wakers. A machine emits events; here they find the
//! wakers of those who wait, which are woken after the lock is released. No user code, no waker
//! and no handler ever runs under a lock.

mod budget;
mod byte_reader;
mod byte_writer;
mod call;
#[cfg(any(test, feature = "testing"))]
mod fault;
mod grid;
mod incoming;
#[cfg(all(test, gridmux_shuttle))]
mod interleavings;
mod io_error;
mod letter;
mod loan;
mod node_log;
mod outlet;
mod peer;
#[cfg(all(test, feature = "planted"))]
mod planted;
mod service;
mod shared;
mod sink;
mod stream;
mod sync;
mod turns;
mod wait;
mod wakers;

pub use self::byte_reader::ByteReader;
pub use self::byte_writer::{ByteWriter, DEFAULT_ITEM_SIZE};
pub use self::call::Call;
#[cfg(any(test, feature = "testing"))]
pub use self::fault::{Fault, take_bugs};
pub use self::grid::{Grid, NotConnected, WeakGrid};
pub use self::incoming::{Cancelled, Context, Input, InputError, Output};
pub use self::outlet::SendHalf;
pub use self::peer::{PeerHandle, StateWatch, StreamRoute};
pub use self::sink::ItemSink;
pub use self::stream::{ClientCall, FromOpened, Opening, Receiver, Sender};

pub(crate) use self::grid::Parts;
pub(crate) use self::loan::StillLent;
pub(crate) use self::service::{Served, Service, Services, inline, server_stream, unary};
pub(crate) use self::service::{client_stream, two_way};
pub(crate) use self::shared::{Batch, Shared, State};
#[cfg(any(test, feature = "test-util"))]
pub(crate) use self::{grid::lock, wakers::set};
