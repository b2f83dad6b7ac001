//! What applications do: one call or one stream a line.

use super::form::{Form, Way};

/// A route that the scripted applications serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// A single request on a task of its own; the answer is the question.
    Echo,
    /// The same, inline on the link's task.
    Inline,
    /// The same; runs to its end whatever becomes of the call.
    RunToEnd,
    /// The same, under a subroute.
    Sub,
    /// A single request that nobody serves.
    Missing,
    /// A subroute that nobody serves, of a handler that exists.
    MissingSub,
    /// A stream without input; out capacity 1.
    Drip,
    /// A stream without input; out capacity 8.
    Source,
    /// A stream with input and one result; in capacity 1.
    Gulp,
    /// A stream with input and one result; in capacity 8.
    Sink,
    /// A stream with input and output; capacities 1 and 1.
    Narrow,
    /// A stream with input and output; capacities 4 and 2.
    Talk,
    /// A stream with input and output; capacities 64 and 64.
    Wide,
    /// A stream that nobody serves.
    MissingStream,
    /// A stream of which the caller believes 8 and 8, and the callee 2 and 2.
    Mismatch,
    /// A stream that the caller believes to take input, and the callee does not.
    NoInput,
    /// A single request of whose types the ends have different beliefs.
    Mistyped,
    /// A stream without input of whose items the ends have different beliefs.
    MistypedItems,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Echo,
        Self::Inline,
        Self::RunToEnd,
        Self::Sub,
        Self::Missing,
        Self::MissingSub,
        Self::Drip,
        Self::Source,
        Self::Gulp,
        Self::Sink,
        Self::Narrow,
        Self::Talk,
        Self::Wide,
        Self::MissingStream,
        Self::Mismatch,
        Self::NoInput,
        Self::Mistyped,
        Self::MistypedItems,
    ];

    /// The word for it in a script.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Inline => "inline",
            Self::RunToEnd => "run-to-end",
            Self::Sub => "sub",
            Self::Missing => "missing",
            Self::MissingSub => "missing-sub",
            Self::Drip => "drip",
            Self::Source => "source",
            Self::Gulp => "gulp",
            Self::Sink => "sink",
            Self::Narrow => "narrow",
            Self::Talk => "talk",
            Self::Wide => "wide",
            Self::MissingStream => "missing-stream",
            Self::Mismatch => "mismatch",
            Self::NoInput => "no-input",
            Self::Mistyped => "mistyped",
            Self::MistypedItems => "mistyped-items",
        }
    }

    /// In and out capacity as the caller believes them; `None` for a single request.
    pub const fn capacities(self) -> Option<(u32, u32)> {
        match self {
            Self::Echo
            | Self::Inline
            | Self::RunToEnd
            | Self::Sub
            | Self::Missing
            | Self::MissingSub
            | Self::Mistyped => None,
            Self::Drip => Some((0, 1)),
            Self::Source | Self::MistypedItems => Some((0, 8)),
            Self::Gulp => Some((1, 2)),
            Self::Sink => Some((8, 2)),
            Self::Narrow => Some((1, 1)),
            Self::Talk => Some((4, 2)),
            Self::Wide => Some((64, 64)),
            Self::MissingStream | Self::Mismatch | Self::NoInput => Some((8, 8)),
        }
    }

    /// In and out capacity as the callee has them; `None` where nobody serves it, or for a single
    /// request.
    pub const fn served_capacities(self) -> Option<(u32, u32)> {
        match self {
            Self::MissingStream => None,
            Self::Mismatch => Some((2, 2)),
            Self::NoInput => Some((0, 8)),
            other => other.capacities(),
        }
    }

    /// Whether anybody serves it.
    pub const fn is_served(self) -> bool {
        !matches!(self, Self::Missing | Self::MissingSub | Self::MissingStream)
    }

    /// Whether both ends agree on what it is.
    pub const fn is_agreed(self) -> bool {
        !matches!(self, Self::Mismatch | Self::NoInput | Self::Mistyped | Self::MistypedItems)
    }

    /// Whether the caller may send items.
    pub const fn takes_input(self) -> bool {
        matches!(self.capacities(), Some((1.., _)))
    }

    /// Whether it gives items rather than one result.
    pub const fn gives_items(self) -> bool {
        self.capacities().is_some() && !matches!(self, Self::Gulp | Self::Sink)
    }
}

/// How a handler ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// In order.
    #[default]
    Ok,
    /// With an error.
    Error,
    /// With a panic.
    Panic,
    /// Not at all.
    Never,
}

/// What a handler does. It first rests for `after`, then takes input and gives output side by
/// side, each at its pace, then ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nanoseconds before it does anything.
    pub after: u64,
    /// Items that it gives.
    pub items: u32,
    /// Bytes of each, and of the result of a stream without items. The answer to a single request
    /// has as many, or is the question if this is 0.
    pub item_size: u32,
    /// Nanoseconds between two of them.
    pub pace: u64,
    /// Items that it takes before it ends; `None`: all, until the end of the input.
    pub take: Option<u32>,
    /// Nanoseconds between two that it takes.
    pub take_pace: u64,
    /// How it ends.
    pub finish: Finish,
}

/// How the caller ends its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Close {
    /// In order.
    #[default]
    Eof,
    /// It drops the sending half, which cancels the call.
    Drop,
    /// It keeps the sending half open.
    Never,
}

/// What the caller of a stream sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Items.
    pub items: u32,
    /// Bytes of each.
    pub size: u32,
    /// Nanoseconds between two of them.
    pub pace: u64,
    /// How it ends.
    pub close: Close,
}

/// How the caller of a stream reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Nanoseconds before the first item is taken.
    pub after: u64,
    /// Nanoseconds between two.
    pub pace: u64,
    /// After so many it takes no more, and holds the receiving half until the call is over or
    /// cancelled; `None`: never.
    pub stop: Option<u32>,
}

/// A call or a stream of a scripted application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What other lines call it.
    pub name: String,
    /// The node that calls.
    pub from: usize,
    /// The node that is called.
    pub to: usize,
    /// The route.
    pub route: Route,
    /// Bytes of the request; `None` for a nil payload.
    pub size: Option<u32>,
    /// The type of what travels.
    pub form: Form,
    /// By which functions.
    pub way: Way,
    /// The deadline, in nanoseconds; `None` for the default of single requests, and for no
    /// deadline of streams.
    pub timeout: Option<u64>,
    /// How long it waits for a link.
    pub wait_link: Option<u64>,
    /// The call of the same node that must have failed before this one is made.
    pub again_after: Option<String>,
    /// What the handler does.
    pub plan: Plan,
    /// What the caller sends.
    pub input: Input,
    /// How the caller reads.
    pub reading: Reading,
}

impl Call {
    /// Whether it can travel in its form and its way.
    pub fn is_possible(&self) -> bool {
        let nothing = self.form == Form::Nothing && self.route != Route::Echo;
        let mistyped = matches!(self.route, Route::Mistyped | Route::MistypedItems);
        let typed = mistyped && (self.form != Form::Raw || self.way == Way::Bytes);
        let letters = self.way == Way::Bytes && !self.form.is_bytes();
        !nothing && !letters && !typed
    }

    /// A call with nothing special about it.
    pub fn new(name: impl Into<String>, from: usize, to: usize, route: Route) -> Self {
        Self {
            name: name.into(),
            from,
            to,
            route,
            size: Some(64),
            form: Form::default(),
            way: Way::default(),
            timeout: None,
            wait_link: None,
            again_after: None,
            plan: Plan::default(),
            input: Input::default(),
            reading: Reading::default(),
        }
    }
}
