//! The signals that ask this process to end: SIGINT, which is Ctrl-C, and SIGTERM.

use std::io;
use std::sync::Arc;

use tokio::sync::Notify;

/// Notifies once for every signal, whatever is going on when it comes. From when this returns, the
/// signals no longer end the process by themselves.
#[cfg(unix)]
pub(crate) fn watch() -> io::Result<Arc<Notify>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let notify = Arc::new(Notify::new());
    let notifies = notify.clone();
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                signal = interrupt.recv() => signal,
                signal = terminate.recv() => signal,
            };
            if signal.is_none() {
                return;
            }
            notifies.notify_one();
        }
    });
    Ok(notify)
}

/// Notifies once for every Ctrl-C, whatever is going on when it comes.
#[cfg(not(unix))]
pub(crate) fn watch() -> io::Result<Arc<Notify>> {
    let notify = Arc::new(Notify::new());
    let notifies = notify.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            notifies.notify_one();
        }
    });
    Ok(notify)
}
