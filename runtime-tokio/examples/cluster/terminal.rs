//! The terminal on standard output, and what else writes to it.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The size of the terminal, or `None` if standard output is none that can move its cursor, or
/// does not know its size.
pub(crate) fn size() -> Option<Size> {
    let stdout = io::stdout();
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if !stdout.is_terminal() || is_dumb {
        return None;
    }
    size_of(&stdout).filter(|size| size.columns > 0 && size.rows > 0)
}

#[cfg(unix)]
fn size_of(stdout: &io::Stdout) -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    Some(Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

#[cfg(not(unix))]
const fn size_of(_: &io::Stdout) -> Option<Size> {
    None
}

/// How often something was written to standard error.
static NOTES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn notes() -> u64 {
    NOTES.load(Ordering::Relaxed)
}

/// Standard error, which may be the same terminal: what it shows moves the lines that are written
/// in place.
#[derive(Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        NOTES.fetch_add(1, Ordering::Relaxed);
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
