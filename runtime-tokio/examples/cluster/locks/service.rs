//! Locks, from the side of the tables: what a node answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use gridmux_tokio::builder::Builder;
use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::handle::Context;

use super::Table;
use super::routes::{LockArgs, LockOp, LockReply};

/// Adds the handlers of the lock service to the node of this name.
pub(crate) fn serve<R: Runtime>(
    builder: Builder<R>,
    runtime: &R,
    name: &str,
    table: &Arc<Mutex<Table>>,
) -> Builder<R> {
    LockOp::ALL.into_iter().fold(builder, |builder, op| {
        let (runtime, table, by) = (runtime.clone(), table.clone(), name.to_owned());
        builder.serve_inline(op.route(), move |args: LockArgs, _: &Context| {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = table.handle(runtime.instant(), op, &args.lock, args.uid);
            Ok::<_, Infallible>(LockReply { by: by.clone(), uid: args.uid, verdict })
        })
    })
}
