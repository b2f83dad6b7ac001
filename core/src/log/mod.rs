//! The one way in which text from outside, and anything that others can repeat, reaches the log.
//!
//! - Text that a peer, a stranger, a resolver or a handler has written goes through [`excerpt`]: cut,
//!   and without line breaks or control characters, so that it cannot forge a line.
//! - A line that others can cause goes through [`Repeats`]: the first of its kind is told, then one a
//!   minute, with the number of those left out. A kind is a fixed text of ours, never text from outside:
//!   changing a character of a name or a time makes no new kind.

mod repeats;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Write};

pub(crate) use self::repeats::{Kind, Repeats, ScopedRepeats, Told};

/// Characters of a text from outside that are logged.
pub(crate) const EXCERPT_LEN: usize = 200;

/// Bytes of a text from outside that are kept with an error.
pub(crate) const KEPT_LEN: usize = 256;

/// Shows the first [`EXCERPT_LEN`] characters of a text from outside on one line: line breaks, control
/// characters and characters that no terminal shows are escaped. Twice is as good as once.
pub(crate) const fn excerpt<T: Display>(text: T) -> Excerpt<T> {
    Excerpt(text)
}

/// See [`excerpt`].
pub(crate) struct Excerpt<T>(T);

impl<T: Display> Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Escaping { to: f, room: EXCERPT_LEN, failed: false };
        let written = write!(writer, "{}", self.0);
        let Escaping { to, room, failed } = writer;
        match written {
            Err(_) if room == 0 && !failed => to.write_char('…'),
            written => written,
        }
    }
}

/// The same: a field that is recorded with `?` is no way around it.
impl<T: Display> fmt::Debug for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Writes as long as there is room. Its error ends the formatting of a text that is too long, however
/// long it is.
struct Escaping<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    room: usize,
    failed: bool,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let escape = c.escape_debug();
            // Quotes and backslashes are as good as letters.
            let plain = matches!(c, '"' | '\'' | '\\') || escape.len() == 1;
            let len = if plain { 1 } else { escape.len() };
            if len > self.room {
                self.room = 0;
                return Err(fmt::Error);
            }
            self.room -= len;
            let written = if plain { self.to.write_char(c) } else { write!(self.to, "{escape}") };
            self.failed |= written.is_err();
            written?;
        }
        Ok(())
    }
}

/// The beginning of a text from the other end, to be kept with an error: at most [`KEPT_LEN`] bytes, in
/// which control characters are spaces; none at the ends.
pub(crate) fn kept(text: &[u8]) -> String {
    // A character more than is kept, so that none is cut.
    let text = String::from_utf8_lossy(&text[..text.len().min(KEPT_LEN)]);
    let printable = text.replace(char::is_control, " ");
    let text = printable.trim();
    text[..text.floor_char_boundary(KEPT_LEN)].to_owned()
}
