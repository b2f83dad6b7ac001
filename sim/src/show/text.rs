//! A run as lines of text.

use std::fmt::{self, Write as _};

use gridmux_core::wire::Flags;

use super::Shown;
use super::view::{Frame, MuxKey, View};
use crate::history::{CallId, Entry};
use crate::script::Call;
use crate::trace::{Brief, Event, Happening};
use crate::verdict::Failure;
use crate::world::ConnId;

/// Which lines of a log are wanted. The usual one wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what this call is about: what its two applications saw, the frames of its mux, the
    /// life of their connection, and what befell its two nodes.
    pub call: Option<CallId>,
    /// Only what these two nodes have to do with.
    pub pair: Option<[usize; 2]>,
    /// Nothing later than this, in simulated nanoseconds.
    pub until: Option<u64>,
    /// Only so many lines: the last ones.
    pub last: Option<usize>,
}

/// One line per event, oldest first, in fixed columns: time in seconds, who, on which connection,
/// what, and the rest.
pub fn text(shown: &Shown<'_>, filter: &Filter) -> String {
    let view = View::new(shown);
    let issued = filter.call.map(|call| view.calls.iter().find(|issued| issued.id == call));
    let log = Log {
        filter,
        pair: match issued.flatten() {
            Some(issued) => Some([issued.call.from, issued.call.to]),
            None => filter.pair,
        },
        mux: issued.map(|issued| issued.and_then(|issued| issued.mux)),
        view: &view,
    };
    let mut rows: Vec<Row> =
        shown.trace.events.iter().filter_map(|event| log.event(event)).collect();
    rows.extend(view.frames.iter().flat_map(|frame| log.frame(frame)));
    let calls: Vec<&Call> = shown.played.calls().collect();
    rows.extend(shown.history.iter().filter_map(|entry| log.sight(entry, &calls)));
    rows.extend(shown.outcome.failures.iter().filter_map(|failure| log.failure(failure)));
    rows.retain(|row| filter.until.is_none_or(|until| row.at <= until));
    rows.sort_by_key(|row| row.at);
    let skipped = filter.last.map_or(0, |last| rows.len().saturating_sub(last));
    rows[skipped..].iter().map(Row::to_string).collect()
}

/// A line of the log.
struct Row {
    at: u64,
    who: String,
    conn: Option<ConnId>,
    what: String,
    rest: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at / 1_000_000_000, self.at % 1_000_000_000);
        let conn = self.conn.map_or("-".into(), |ConnId(number)| format!("c{number}"));
        let Self { who, what, rest, .. } = self;
        let line = format!("{seconds:>6}.{nanos:09}  {who:<9} {conn:<5} {what:<10} {rest}");
        writeln!(f, "{}", line.trim_end())
    }
}

/// What the filter lets through.
struct Log<'v> {
    filter: &'v Filter,
    pair: Option<[usize; 2]>,
    /// The mux of the call that is asked for, if one is; `Some(None)`: it never got one.
    mux: Option<Option<MuxKey>>,
    view: &'v View<'v>,
}

impl Log<'_> {
    fn one(&self, node: usize) -> bool {
        self.pair.is_none_or(|pair| pair.contains(&node))
    }

    fn both(&self, nodes: [usize; 2]) -> bool {
        nodes.iter().all(|node| self.one(*node))
    }

    fn on(&self, conn: ConnId) -> bool {
        self.mux.is_none_or(|mux| mux.is_some_and(|mux| mux.conn == conn))
    }

    /// A line for what is no frame.
    fn event(&self, event: &Event) -> Option<Row> {
        let (who, conn, what, rest) = match &event.what {
            Happening::Connected { conn, nodes } => {
                (self.both(*nodes) && self.on(*conn)).then_some(())?;
                (way(nodes[0], nodes[1]), Some(*conn), "connected", String::new())
            }
            Happening::Ended { conn, end, how } => {
                let nodes = self.view.conn(*conn)?.nodes;
                (self.both(nodes) && self.on(*conn)).then_some(())?;
                (format!("n{}", nodes[*end as usize]), Some(*conn), *how, String::new())
            }
            Happening::Born { node } if self.one(*node) => {
                (format!("n{node}"), None, "born", String::new())
            }
            Happening::Died { node } if self.one(*node) => {
                (format!("n{node}"), None, "died", String::new())
            }
            Happening::Fault { row, text, nodes, .. } => {
                nodes.iter().any(|node| self.one(*node)).then_some(())?;
                let who: Vec<_> = nodes.iter().map(|node| format!("n{node}")).collect();
                (who.join(","), None, "fault", format!("{row} {text}"))
            }
            Happening::Phase(phase) => ("run".into(), None, "phase", (*phase).to_owned()),
            _ => return None,
        };
        Some(Row { at: event.at, who, conn, what: what.into(), rest })
    }

    /// A line for the sending of a frame, and one for its arrival.
    fn frame(&self, frame: &Frame<'_>) -> Vec<Row> {
        let wanted = |message: &Brief| match self.mux {
            None => true,
            Some(mux) => mux.is_some() && MuxKey::of(frame, message) == mux,
        };
        if !self.both([frame.from, frame.to]) || !frame.messages.iter().any(wanted) {
            return Vec::new();
        }
        let briefs: Vec<_> = frame.messages.iter().map(show_brief).collect();
        let rest = format!("#{} {} B: {}", frame.number, frame.bytes, briefs.join(" + "));
        let row = |at, what: &str| Row {
            at,
            who: way(frame.from, frame.to),
            conn: Some(frame.conn),
            what: what.into(),
            rest: rest.clone(),
        };
        let sent = row(frame.sent, if frame.arrived.is_some() { "sent" } else { "sent, lost" });
        [sent].into_iter().chain(frame.arrived.map(|at| row(at, "arrived"))).collect()
    }

    fn sight(&self, entry: &Entry, calls: &[&Call]) -> Option<Row> {
        let call = calls.get(entry.call)?;
        let wanted = self.filter.call.is_none_or(|wanted| wanted == entry.call);
        (wanted && self.both([call.from, call.to])).then_some(())?;
        let what = match entry.serving {
            _ if entry.sight.is_of_caller() => "call".into(),
            0 => "handler".into(),
            before => format!("handler {}", before + 1),
        };
        let rest = format!("{} {:?}", call.name, entry.sight);
        Some(Row { at: entry.at, who: format!("n{}", entry.node), conn: None, what, rest })
    }

    fn failure(&self, failure: &Failure) -> Option<Row> {
        (self.filter.call.is_none() || self.filter.call == failure.call).then_some(())?;
        let rest = format!("{} {}: {}", failure.oracle, failure.rule, failure.detail);
        Some(Row { at: failure.at, who: "run".into(), conn: None, what: "FAILED".into(), rest })
    }
}

fn way(from: usize, to: usize) -> String {
    format!("n{from}>n{to}")
}

/// A message in short: what is 0 is left out.
pub(super) fn show_brief(message: &Brief) -> String {
    let Brief { op, mux, seq, flags, handler, payload } = message;
    let mut text = (*op).to_owned();
    let numbers = [("mux", *mux), ("seq", (*seq).into()), ("handler", (*handler).into())];
    for (key, value) in numbers.into_iter().filter(|(_, value)| *value != 0) {
        let _ = write!(text, " {key}={value}");
    }
    if *flags != 0 {
        let _ = write!(text, " {}", show_flags(*flags));
    }
    if *payload != 0 {
        let _ = write!(text, " len={payload}");
    }
    text
}

/// Flags by name, such as `CRC|EOF`.
pub(super) fn show_flags(flags: u8) -> String {
    let flags = Flags::from_bits_retain(flags);
    let mut names: Vec<_> = flags.iter_names().map(|(name, _)| name.to_owned()).collect();
    let named = flags.iter_names().fold(Flags::empty(), |all, (_, flag)| all | flag);
    let rest = flags.bits() & !named.bits();
    names.extend((rest != 0).then(|| format!("{rest:#04x}")));
    names.join("|")
}

#[cfg(test)]
mod tests {
    use super::{Filter, show_flags, text};
    use crate::history::Sight;
    use crate::show::sample::{Late, Sample};

    #[test]
    fn a_log_has_one_line_for_each_event_in_the_order_of_time() {
        let sample = Sample::new();
        let log = text(&sample.shown(), &Filter::default());
        let events = sample.trace.events.len() + sample.history.len();
        assert_eq!(log.lines().count(), events + sample.outcome.failures.len());
        let times: Vec<_> = log.lines().map(|line| &line[..16]).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn the_last_lines_of_a_call_tell_how_it_failed() {
        let sample = Sample::new();
        let filter = Filter { call: Some(1), last: Some(8), ..Filter::default() };
        let expected = "     0.038000000  n1>n0     c0    arrived    #4 60 B: MuxServerMsg mux=2 seq=2 CRC len=40
     0.039000000  n0>n1     c0    sent, lost #4 60 B: MuxClientMsg mux=2 seq=3 CRC len=40
     0.040000000  n0,n1     -     fault      B4 at 40ms reset n0 n1
     0.040000000  n0        c0    broken
     0.043000000  n1        c0    broken
     0.050000000  n1        -     fault      N1 at 50ms crash n1 back=15ms
     0.050000000  n1        -     died
     0.060000000  n0        -     call       b Ended(Err(Disconnected { may_have_run: true }))
";
        let until = Some(61_000_000);
        assert_eq!(text(&sample.shown(), &Filter { until, ..filter }), expected);
    }

    #[test]
    fn a_pair_of_nodes_hides_what_only_others_do() {
        let sample = Sample::new();
        let log = text(&sample.shown(), &Filter { pair: Some([0, 2]), ..Filter::default() });
        let has = |part: &str| log.contains(part);
        assert!(has("c1") && has("pause n2") && has("c</script> Issued"), "{log}");
        assert!(!has("c0") && !has("crash n1 ") && !has(" a Issued"), "{log}");
    }

    #[test]
    fn what_a_handler_sees_is_told_as_the_handlers_also_after_its_call_is_over() {
        let late = Late::new();
        let log = text(&late.shown(), &Filter { call: Some(0), ..Filter::default() });
        let told: Vec<(&str, &str)> = log
            .lines()
            .filter_map(|line| line.split_once(" late "))
            .map(|(before, sight)| (before.split_whitespace().last().unwrap(), sight))
            // Whether it is told first, or its caller, is up to the clocks.
            .filter(|(_, sight)| !sight.starts_with("Cancelled"))
            .collect();
        let expected = [
            ("call", "Issued"),
            ("handler", "Started(true)"),
            ("call", "Ended(Err(DeadlineExceeded { may_have_run: true }))"),
            ("handler", "Returned(true)"),
        ];
        assert_eq!(told, expected, "{log}");
    }

    #[test]
    fn a_second_handler_of_a_call_is_told_by_its_number() {
        let mut sample = Sample::new();
        sample.sight(45_000_000, 1, 1, 1, Sight::Started(true));
        let log = text(&sample.shown(), &Filter { call: Some(1), ..Filter::default() });
        assert!(log.contains("handler 2  b Started(true)"), "{log}");
    }

    #[test]
    fn bits_without_a_name_are_shown_as_a_number() {
        assert_eq!(show_flags(0b11), "CRC|EOF");
        assert_eq!(show_flags(0b1100_0001), "CRC|0xc0");
        assert_eq!(show_flags(0), "");
    }
}
