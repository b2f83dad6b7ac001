//! What every run has some of, whatever its script says.

/// Behaviour of the simulated machines and of the network between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Frames are handed over whole; otherwise bytes are split anywhere.
    pub whole: bool,
    /// How long bytes travel, at least and at most, in nanoseconds.
    pub latency: (u64, u64),
    /// Bytes a second on each path; 0 for any number.
    pub rate: u64,
    /// Bytes that writer and reader of a connection hold.
    pub buffer: u64,
    /// A writer that has found no room hears of room when a third of the buffer is free, as from Linux;
    /// otherwise as soon as there is any.
    pub steps: bool,
    /// The largest piece that written bytes are split into; 1 dribbles.
    pub piece: u64,
    /// Timers fire up to so many nanoseconds late.
    pub slack: u64,
    /// Of a million wake-ups of application tasks, so many are late…
    pub lazy_per_million: u64,
    /// … by up to so many nanoseconds.
    pub laziness: u64,
    /// Of a million events, so many wake a task for nothing.
    pub spurious_per_million: u64,
    /// Links' tasks, those with single messages too, stay awake for waits up to so many nanoseconds; 0
    /// for a runtime that has no yielding.
    pub busy_poll: u64,
    /// Handlers run on tasks that wait for the next call of their route.
    pub workers: bool,
    /// Clocks move in steps of so many nanoseconds.
    pub grain: u64,
    /// Clocks of the nodes differ in rate by up to so many millionths.
    pub drift: u64,
    /// What monotonic clocks show at first: up to so many nanoseconds.
    pub origin: u64,
    /// Wall clocks of the nodes differ by up to so many nanoseconds.
    pub skew: u64,
}

impl Default for Knobs {
    /// A calm network: whole frames, 100 to 300 µs, exact clocks.
    fn default() -> Self {
        Self {
            whole: true,
            latency: (100_000, 300_000),
            rate: 0,
            buffer: 1 << 20,
            steps: false,
            piece: 1 << 16,
            slack: 0,
            lazy_per_million: 0,
            laziness: 0,
            spurious_per_million: 0,
            busy_poll: 0,
            workers: false,
            grain: 1,
            drift: 0,
            origin: 0,
            skew: 0,
        }
    }
}
