//! What the program prints. Nothing else of it writes to stdout and stderr.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stderr, stdout};

use super::exit::{Done, Exit, Trouble};

/// Prints a text as it is to stdout.
pub(super) fn text(text: impl Display) -> Done<()> {
    into(&mut stdout().lock(), text)
}

/// Prints a line to stdout.
pub(super) fn line(line: impl Display) -> Done<()> {
    text(format_args!("{line}\n"))
}

/// Prints a line to stderr. If it cannot be printed, nobody can be told so.
pub(super) fn note(line: impl Display) {
    writeln!(stderr().lock(), "{line}").ok();
}

fn into(out: &mut impl Write, text: impl Display) -> Done<()> {
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| trouble(&error))
}

/// What it means that stdout takes no more: the reader has seen enough, or something is wrong.
pub(super) fn trouble(error: &io::Error) -> Trouble {
    let exit = match error.kind() {
        ErrorKind::BrokenPipe => Exit::Unread,
        _ => Exit::Unwritten,
    };
    Trouble { text: format!("stdout: {error}"), exit }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind, Write};

    use super::into;
    use crate::command::exit::Exit;

    /// Fails in this way once it is flushed, as what keeps bytes for later does.
    struct Full(ErrorKind);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn what_is_not_read_is_told_from_what_cannot_be_written() {
        let exit = |kind| into(&mut Full(kind), "text").unwrap_err().exit;
        assert_eq!(exit(ErrorKind::BrokenPipe), Exit::Unread);
        assert_eq!(exit(ErrorKind::StorageFull), Exit::Unwritten);
        let mut out = Vec::new();
        assert!(into(&mut out, format_args!("a {}", 1)).is_ok());
        assert_eq!(out, b"a 1");
    }
}
