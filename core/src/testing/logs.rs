//! The log of this process, for tests that count its lines.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LINES: Mutex<Vec<LogLine>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: Level,
    /// The node that it is about; empty if it names none.
    pub node: String,
    /// The text and all other fields.
    pub text: String,
}

/// What is logged from now on. Node names tell the lines of tests that run at once apart.
#[derive(Debug)]
pub struct Logs {
    from: usize,
}

impl Logs {
    /// Listens; the first time, it makes itself the subscriber of the whole process.
    pub fn listen() -> Self {
        INSTALL.call_once(|| {
            // Another one may be there already; then the tests that look fail and say so.
            let _ = tracing::subscriber::set_global_default(Recorder(None));
        });
        Self { from: lines().len() }
    }

    /// What `act` logs on this thread; nothing of other tests. For machines, which have no other.
    pub fn of(act: impl FnOnce()) -> Vec<LogLine> {
        let lines = Arc::default();
        tracing::subscriber::with_default(Recorder(Some(Arc::clone(&lines))), act);
        std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Warnings and errors of this node with this text in them.
    pub fn problems(&self, node: &str, text: &str) -> Vec<LogLine> {
        let lines = lines();
        let problem = |line: &&LogLine| line.level <= Level::WARN && line.node == node;
        let new = lines[self.from..].iter().filter(problem);
        new.filter(|line| line.text.contains(text)).cloned().collect()
    }
}

fn lines() -> std::sync::MutexGuard<'static, Vec<LogLine>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records into lines of its own, or into those of the process.
struct Recorder(Option<Arc<Mutex<Vec<LogLine>>>>);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("gridmux")
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut line = LogLine { level, node: String::new(), text: String::new() };
        event.record(&mut line);
        match &self.0 {
            Some(own) => own.lock().unwrap_or_else(PoisonError::into_inner).push(line),
            None => lines().push(line),
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "node" => self.node = format!("{value:?}").trim_matches('"').to_owned(),
            name => self.text += &format!("{name}={value:?} "),
        }
    }
}
