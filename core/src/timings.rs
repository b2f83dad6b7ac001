//! Every duration of PROTOCOL.md, with its section.

use std::time::Duration;

use crate::error::ConfigError;

/// The protocol's durations. The defaults are what the protocol says and what Go nodes use;
/// they are settings so that tests and simulations can move them, and all nodes should have the
/// same. Change some with `Timings { default_deadline, ..Timings::default() }`;
/// [`Builder::build`](crate::builder::Builder::build) checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// TCP, TLS and upgrade of one dial attempt; 2 s (section 4.1).
    pub dial: Duration,
    /// Dialler: from the end of the upgrade to the ConnectResponse; 2 s (section 7.5).
    pub dialler_handshake: Duration,
    /// Acceptor: from TCP accept to a good Connect; 4 s (section 7.5).
    pub acceptor_handshake: Duration,
    /// Acceptor: from TCP accept to the first byte, and from that to the end of the upgrade request's
    /// head; 1 s (section 7.5).
    pub acceptor_request: Duration,
    /// The next attempt starts at least this long after the failed one started; 1 s (section 4).
    pub retry_min: Duration,
    /// … and at most this long; 2 s.
    pub retry_max: Duration,
    /// Retry spacing while another process uses our name; 10 s (section 7.11).
    pub duplicate_retry: Duration,
    /// A link lost after at least this long is redialled at once; 10 s (section 7.11).
    pub stable_after: Duration,
    /// Between two link pings, and from Connect to the first; 10 s (section 4).
    pub ping_interval: Duration,
    /// Nothing received for longer than this at a ping tick drops the link; 20 s (section 7.6).
    pub silence: Duration,
    /// No answer, be it a Pong or one to a call, for this long drops the link though bytes arrive; 60 s
    /// (section 7.6). The time in which our ping has not left, or the peer is in the middle of a message,
    /// does not count.
    pub pong_silence: Duration,
    /// A write without progress for this long drops the link; 3 s (section 4). Where the transport tells
    /// what has left ([`Transport::unsent`](crate::driver::runtime::Transport::unsent)) a quarter longer,
    /// and on a path that has shown longer gaps twice the longest one, at most 10 s.
    pub write_stall: Duration,
    /// How far a Connect's time may be from our clock; 5 min (section 4.2).
    pub clock_skew: Duration,
    /// The deadline of a single request that sets none; 60 s (section 5.1).
    pub default_deadline: Duration,
    /// Between two pings of a stream; 15 s. Streams with a deadline up to this long send none (section 5.3).
    pub mux_ping_interval: Duration,
    /// Caller: no message of a stream for this long ends it, if the callee has read a ping of it; 30 s
    /// (section 5.3).
    pub mux_silence: Duration,
    /// Callee: no message of a stream without a deadline, or with a longer one, for this long ends it, if
    /// the caller's queue was empty since a ping was due; 60 s (section 5.3).
    pub mux_ping_silence: Duration,
    /// Flushing the queue at the end of a drain; 1 s (section 7.9).
    pub flush: Duration,
    /// Waiting for the answer to a WebSocket close frame; 1 s (section 7.9).
    pub close: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        const fn s(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        Self {
            dial: s(2),
            dialler_handshake: s(2),
            acceptor_handshake: s(4),
            acceptor_request: s(1),
            retry_min: s(1),
            retry_max: s(2),
            duplicate_retry: s(10),
            stable_after: s(10),
            ping_interval: s(10),
            silence: s(20),
            pong_silence: s(60),
            write_stall: s(3),
            clock_skew: s(300),
            default_deadline: s(60),
            mux_ping_interval: s(15),
            mux_silence: s(30),
            mux_ping_silence: s(60),
            flush: s(1),
            close: s(1),
        }
    }
}

impl Timings {
    /// Refuses durations that could not work.
    ///
    /// # Errors
    /// [`ConfigError::Timing`] names the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("dial", self.dial),
            ("dialler_handshake", self.dialler_handshake),
            ("acceptor_handshake", self.acceptor_handshake),
            ("acceptor_request", self.acceptor_request),
            ("retry_min", self.retry_min),
            ("ping_interval", self.ping_interval),
            ("silence", self.silence),
            ("pong_silence", self.pong_silence),
            ("write_stall", self.write_stall),
            ("default_deadline", self.default_deadline),
            ("mux_ping_interval", self.mux_ping_interval),
            ("mux_silence", self.mux_silence),
            ("mux_ping_silence", self.mux_ping_silence),
        ];
        for (name, value) in positive {
            if value < Duration::from_millis(1) {
                return Err(ConfigError::Timing { name, problem: "shorter than 1 ms" });
            }
        }
        if self.retry_max < self.retry_min {
            return Err(ConfigError::Timing { name: "retry_max", problem: "less than retry_min" });
        }
        for (name, silence) in
            [("mux_silence", self.mux_silence), ("mux_ping_silence", self.mux_ping_silence)]
        {
            if silence <= self.mux_ping_interval {
                return Err(ConfigError::Timing { name, problem: "not over mux_ping_interval" });
            }
        }
        if self.silence < self.ping_interval {
            return Err(ConfigError::Timing {
                name: "silence",
                problem: "less than ping_interval",
            });
        }
        Ok(())
    }
}
