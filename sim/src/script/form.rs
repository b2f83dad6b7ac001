//! How applications use the handles: in which type payloads travel, and by which functions.

/// The type in which a call's request, items and result travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// [`Payload`](gridmux_core::payload::Payload).
    #[default]
    Raw,
    /// [`MsgBytes`](gridmux_core::payload::MsgBytes).
    Bytes,
    /// [`Json`](gridmux_core::payload::Json).
    Json,
    /// [`Mss`](gridmux_core::payload::Mss).
    Mss,
    /// [`UrlValues`](gridmux_core::payload::UrlValues).
    Url,
    /// [`Array`](gridmux_core::payload::Array).
    Array,
    /// A struct of the application's own.
    Record,
    /// [`NoPayload`](gridmux_core::payload::NoPayload); `echo` only.
    Nothing,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Raw,
        Self::Bytes,
        Self::Json,
        Self::Mss,
        Self::Url,
        Self::Array,
        Self::Record,
        Self::Nothing,
    ];

    /// The word for it in a script.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::Mss => "mss",
            Self::Url => "url",
            Self::Array => "array",
            Self::Record => "record",
            Self::Nothing => "nothing",
        }
    }

    /// Whether it is a string of bytes, which can be written and read as such.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Self::Raw | Self::Bytes)
    }
}

/// By which functions of the handles the two ends of a call do what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// `send` and `next`.
    #[default]
    Items,
    /// `try_send`, and `send` if that would have to wait; `try_next`; input and result of one
    /// handle; clones of a handler's output; a call that waits for the link apart, and asks
    /// without waiting first.
    Try,
    /// `Sink` and `Stream`.
    Sink,
    /// `AsyncWrite` and `AsyncRead`.
    Bytes,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Items, Self::Try, Self::Sink, Self::Bytes];

    /// The word for it in a script.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Try => "try",
            Self::Sink => "sink",
            Self::Bytes => "bytes",
        }
    }
}
