use std::cell::Cell;

use super::*;
use crate::time::Instant;

const REFUSED: Kind = ("refused", "");
const LATE: Kind = ("refused", "late");

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1000 * seconds)
}

fn suppressed(told: Option<Told>) -> Option<u64> {
    told.expect("it is told").suppressed
}

#[test]
fn an_excerpt_is_one_line_whatever_the_text() {
    let forged = "unknown\r\n2026-01-01 ERROR all is lost\u{1b}[2J\u{2028}\u{202e}\0";
    let shown = excerpt(forged).to_string();
    let expected = "unknown\\r\\n2026-01-01 ERROR all is lost\\u{1b}[2J\\u{2028}\\u{202e}\\0";
    assert_eq!(shown, expected);
    assert_eq!(excerpt(&shown).to_string(), shown, "twice is once");
    assert_eq!(format!("{:?}", excerpt(forged)), expected, "nor does `?` let it through");
    let plain = r#"“größer” 'a' "b" \c"#;
    assert_eq!(excerpt(plain).to_string(), plain);
}

#[test]
fn an_excerpt_is_cut_between_characters() {
    let fits = "ä".repeat(EXCERPT_LEN);
    assert_eq!(excerpt(&fits).to_string(), fits);
    let cut = excerpt(format!("{fits}b")).to_string();
    assert_eq!(cut, format!("{fits}…"));
    // An escape is never cut: it has to fit.
    let shown = excerpt("x".repeat(EXCERPT_LEN - 1) + "\n").to_string();
    assert_eq!(shown, "x".repeat(EXCERPT_LEN - 1) + "…");
}

/// Counts how much of it is asked for.
struct Endless<'a>(&'a Cell<usize>);

impl Display for Endless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            self.0.set(self.0.get() + 1);
            f.write_str("0123456789")?;
        }
    }
}

#[test]
fn an_excerpt_of_an_endless_text_ends() {
    let asked = Cell::new(0);
    let shown = excerpt(Endless(&asked)).to_string();
    assert_eq!(shown, "0123456789".repeat(EXCERPT_LEN / 10) + "…");
    assert_eq!(asked.get(), EXCERPT_LEN / 10 + 1);
}

#[test]
fn what_is_kept_of_a_text_is_short_and_has_no_line_breaks() {
    assert_eq!(kept(b" not\nnow\r\n"), "not now");
    assert_eq!(kept(&[b'x'; 1 << 20]).len(), KEPT_LEN);
    assert!(kept("ä".repeat(1000).as_bytes()).len() <= KEPT_LEN);
    assert!(kept(&[0xff; 1000]).len() <= KEPT_LEN);
}

#[test]
fn the_first_of_a_kind_is_told_and_then_one_a_minute_with_the_count() {
    let mut repeats = Repeats::default();
    assert_eq!(suppressed(repeats.tell(REFUSED, at(0))), None);
    for _ in 0..1000 {
        assert_eq!(repeats.tell(REFUSED, at(59)), None);
    }
    assert_eq!(suppressed(repeats.tell(LATE, at(59))), None, "another kind");
    assert_eq!(suppressed(repeats.tell(REFUSED, at(60))), Some(1000));
    assert_eq!(repeats.tell(REFUSED, at(119)), None);
    assert_eq!(suppressed(repeats.tell(REFUSED, at(120))), Some(1));
    assert_eq!(suppressed(repeats.tell(REFUSED, at(3600))), None, "none was left out");
}

#[test]
fn scopes_are_told_apart_as_long_as_there_is_room() {
    let mut repeats = ScopedRepeats::new(2);
    assert!(repeats.tell(1, REFUSED, at(0)).is_some());
    assert!(repeats.tell(2, REFUSED, at(10)).is_some());
    assert!(repeats.tell(1, REFUSED, at(20)).is_none());
    // All others are one.
    assert!(repeats.tell(3, REFUSED, at(30)).is_some());
    for scope in 4..10_000 {
        assert_eq!(repeats.tell(scope, REFUSED, at(40)), None);
    }
    assert_eq!(repeats.len(), 2);
    // The first has been quiet for a minute: a new one takes its place, the second keeps its own.
    assert!(repeats.tell(3, REFUSED, at(60)).is_some());
    assert_eq!(repeats.tell(2, REFUSED, at(61)), None);
    assert_eq!(repeats.tell(4, REFUSED, at(62)), None, "one of the others again");
    assert_eq!(suppressed(repeats.tell(2, REFUSED, at(71))), Some(1));
    // What the first has left out is told by the others.
    assert_eq!(suppressed(repeats.tell(4, REFUSED, at(90))), Some(9996 + 1 + 1));
}

#[test]
fn changing_scopes_log_no_more_than_their_number_a_minute() {
    let mut repeats = ScopedRepeats::new(16);
    let told = |seconds: u64| seconds * 100;
    let lines = (0..60_000_u64).filter(|n| {
        let now = at(n * 600 / 60_000);
        repeats.tell(told(*n), REFUSED, now).is_some()
    });
    let lines = lines.count();
    assert!(lines <= 11 * 17, "{lines} lines in ten minutes");
    assert!(lines >= 10, "{lines} lines in ten minutes");
}
