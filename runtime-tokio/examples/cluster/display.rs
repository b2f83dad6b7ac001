//! A line for each node while the cluster runs: in place on a terminal, below each other elsewhere.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::report::{Lives, State};
use crate::terminal::{self, Size};

/// Between two looks at the nodes on a terminal, and elsewhere after the first: in a file every
/// line stays.
const IN_PLACE_EVERY: Duration = Duration::from_secs(1);
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Shows the nodes.
#[derive(Debug)]
pub(crate) struct Display {
    shown_at: Instant,
    /// Calls of each node when they were last shown; empty before the first time.
    calls: Vec<u64>,
    screen: Screen,
    /// [`terminal::notes`] when the nodes were last shown.
    notes: u64,
}

impl Display {
    pub(crate) fn new() -> Self {
        let screen = Screen::default();
        Self { shown_at: Instant::now(), calls: Vec::new(), screen, notes: terminal::notes() }
    }

    /// Shows the nodes if it is time.
    pub(crate) fn refresh(&mut self, nodes: &[Lives]) {
        let size = size_for(nodes.len());
        let first = self.calls.is_empty();
        let every = if first || size.is_some() { IN_PLACE_EVERY } else { PLAIN_EVERY };
        if self.shown_at.elapsed() >= every {
            self.show(nodes, size);
        }
    }

    /// Shows the nodes one last time.
    pub(crate) fn finish(&mut self, nodes: &[Lives]) {
        self.show(nodes, size_for(nodes.len()));
    }

    fn show(&mut self, nodes: &[Lives], size: Option<Size>) {
        let since = self.shown_at.elapsed().as_secs_f64().max(0.001);
        self.shown_at = Instant::now();
        let calls: Vec<_> = nodes.iter().map(|node| node.totals().0.calls).collect();
        let before = self.calls.iter().copied().chain(std::iter::repeat(0));
        let rates = calls.iter().zip(before).map(|(now, then)| now.saturating_sub(then));
        let rates: Vec<_> = rates.map(|calls| calls as f64 / since).collect();
        // The last column stays free: some terminals go to the next line as soon as it is taken.
        let lines = lines(nodes, &rates, size.map_or(usize::MAX, |size| size.columns - 1));
        let notes = terminal::notes();
        if std::mem::replace(&mut self.notes, notes) != notes {
            self.screen.scrolled();
        }
        self.calls = calls;
        let text = self.screen.draw(&lines, size);
        // Without standard output there is no reader.
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// The terminal's size, if there is one on which so many lines can be written over.
fn size_for(lines: usize) -> Option<Size> {
    terminal::size().filter(|size| size.rows > lines)
}

/// What is on the terminal.
#[derive(Debug, Default)]
struct Screen {
    /// How many lines above the cursor may be written over.
    above: usize,
    columns: usize,
}

impl Screen {
    /// Something else was written: the lines are not where they were.
    const fn scrolled(&mut self) {
        self.above = 0;
    }

    /// Text that writes the lines over those before, or below them if there is no terminal.
    fn draw(&mut self, lines: &[String], size: Option<Size>) -> String {
        let columns = size.map_or(0, |size| size.columns);
        // A terminal that has become narrower has wrapped the lines.
        if columns < self.columns || size.is_none() {
            self.above = 0;
        }
        self.columns = columns;
        let mut text = String::new();
        if self.above > 0 {
            let _ = write!(text, "\x1b[{}A", self.above);
        }
        let clear = if size.is_some() { "\x1b[2K" } else { "" };
        for line in lines {
            let _ = writeln!(text, "{clear}{line}");
        }
        self.above = if size.is_some() { lines.len() } else { 0 };
        text
    }
}

/// A line for each node, of the same columns, none longer than `width` characters.
fn lines(nodes: &[Lives], rates: &[f64], width: usize) -> Vec<String> {
    let rows: Vec<_> = nodes.iter().zip(rates).map(|(node, rate)| cells(node, *rate)).collect();
    let mut shown: Vec<bool> = vec![true; COLUMNS];
    let widths: Vec<_> = (0..COLUMNS)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let fits = |shown: &[bool]| {
        let used = widths.iter().zip(shown).filter(|(_, shown)| **shown);
        used.map(|(width, _)| width + GAP.len()).sum::<usize>() <= width.saturating_add(GAP.len())
    };
    for column in LEAST_IMPORTANT_FIRST {
        if fits(&shown) {
            break;
        }
        shown[column] = false;
    }
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(&widths).zip(&shown).filter(|(_, shown)| **shown);
        let cells: Vec<_> = cells.map(|((cell, width), _)| format!("{cell:<width$}")).collect();
        cells.join(GAP).trim_end().chars().take(width).collect()
    };
    rows.iter().map(line).collect()
}

const GAP: &str = "  ";

const COLUMNS: usize = 8;

/// Which of [`cells`] go first where there is no room; the name stays, and is cut.
const LEAST_IMPORTANT_FIRST: [usize; COLUMNS - 1] = [1, 7, 6, 4, 5, 3, 2];

fn cells(node: &Lives, rate: f64) -> [String; COLUMNS] {
    let state = match node.state() {
        State::Up => "up",
        State::Draining => "draining",
        State::Down => "down",
        State::Ended => "ended",
    };
    let view = node.view();
    let round_trip = view
        .round_trip_nanos
        .map_or_else(|| "-".to_owned(), |nanos| format!("{:.2} ms", nanos as f64 / 1e6));
    [
        node.name.clone(),
        format!("{:<9}", node.runtime().name()),
        format!("{state:<8}"),
        format!("links {}/{}", view.links_up, view.links),
        format!("rtt {round_trip:>9}"),
        format!("{rate:>7.0} calls/s"),
        format!("streams {:>3}", view.streams),
        format!("locks {}", view.held),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::homes::Kind;
    use crate::node::View;

    fn nodes(names: &[&str]) -> Vec<Lives> {
        let node = |name: &&str| {
            let mut lives = Lives::new((*name).to_owned(), Kind::AsyncStd);
            lives.see(View { links: 15, links_up: 15, streams: 100, held: 3, ..View::default() });
            lives
        };
        names.iter().map(node).collect()
    }

    const LOOPBACK: [&str; 2] = ["http://127.0.0.1:15000", "http://127.0.0.1:29999"];

    /// What a terminal of this width shows after this text.
    fn shown_on(columns: usize, text: &str) -> Vec<String> {
        let (mut rows, mut row, mut column) = (vec![String::new()], 0, 0);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("\x1b[2K") {
                rows[row].clear();
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix("\x1b[") {
                let (count, after) = after.split_once('A').expect("no other sequence");
                row -= count.parse::<usize>().expect("a number");
                rest = after;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            if c == '\n' || column == columns {
                row += 1;
                column = 0;
                rows.resize(rows.len().max(row + 1), String::new());
            }
            if c != '\n' {
                assert_eq!(rows[row].chars().count(), column, "a line that was not cleared");
                rows[row].push(c);
                column += 1;
            }
        }
        rows
    }

    #[test]
    fn lines_stay_in_place_on_a_terminal_of_any_width() {
        let nodes = nodes(&LOOPBACK);
        for columns in 1..200 {
            let (size, mut screen) = (Some(Size { columns, rows: 24 }), Screen::default());
            let mut text = String::new();
            for rate in [10.0, 123_456.0, 7.0] {
                let lines = lines(&nodes, &[rate, rate], columns - 1);
                text.push_str(&screen.draw(&lines, size));
            }
            let expected = lines(&nodes, &[7.0, 7.0], columns - 1);
            let shown = shown_on(columns, &text);
            assert_eq!(shown, [&expected[..], &[String::new()]].concat(), "{columns} columns");
        }
    }

    #[test]
    fn eighty_columns_have_room_for_name_state_links_and_calls() {
        let lines = lines(&nodes(&LOOPBACK), &[5.0, 6.0], 79);
        assert_eq!(
            lines[1],
            "http://127.0.0.1:29999  up        links 15/15  rtt         -        6 calls/s"
        );
    }

    #[test]
    fn a_note_between_is_not_written_over_and_neither_is_a_wrapped_line() {
        let nodes = nodes(&LOOPBACK);
        let mut screen = Screen::default();
        let wide = lines(&nodes, &[1.0, 1.0], 99);
        let mut text = screen.draw(&wide, Some(Size { columns: 100, rows: 24 }));
        text.push_str("draining\n");
        screen.scrolled();
        text.push_str(&screen.draw(&wide, Some(Size { columns: 100, rows: 24 })));
        let shown = shown_on(100, &text);
        assert_eq!(shown[2], "draining");
        assert_eq!(shown[3..5], wide);
        let narrow =
            screen.draw(&lines(&nodes, &[1.0, 1.0], 39), Some(Size { columns: 40, rows: 24 }));
        assert!(!narrow.contains("\x1b[2A"), "{narrow:?}");
    }

    #[test]
    fn without_a_terminal_lines_are_plain_and_whole() {
        let lines = lines(&nodes(&LOOPBACK), &[5.0, 6.0], usize::MAX);
        let text = Screen::default().draw(&lines, None);
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(lines.iter().all(|line| line.ends_with("locks 3")), "{lines:?}");
    }
}
