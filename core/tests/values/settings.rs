//! Limits and durations that could not work are refused, and those at the edge are not.

use std::time::Duration;

use gridmux_core::error::ConfigError;
use gridmux_core::limits::Limits;
use gridmux_core::timings::Timings;

/// Each limit by name, the least and the greatest that it may be, and how to set it.
type Bounds = (&'static str, usize, usize, fn(&mut Limits, usize));

const BOUNDS: [Bounds; 10] = [
    ("message", 1 << 10, 1 << 30, |limits, value| limits.message = value),
    ("first_message", 1 << 10, 1 << 30, |limits, value| limits.first_message = value),
    ("unauthenticated", 1, 1 << 20, |limits, value| limits.unauthenticated = value),
    ("unauthenticated_per_address", 1, 1 << 20, |limits, value| {
        limits.unauthenticated_per_address = value;
    }),
    ("outgoing_muxes", 1, 1 << 30, |limits, value| limits.outgoing_muxes = value),
    ("incoming_muxes", 1, 1 << 30, |limits, value| limits.incoming_muxes = value),
    ("queued_bytes", 1, 1 << 40, |limits, value| limits.queued_bytes = value),
    ("reply_bytes", 1 << 10, 1 << 40, |limits, value| limits.reply_bytes = value),
    ("answer_bytes", 1 << 10, 1 << 40, |limits, value| limits.answer_bytes = value),
    ("received_bytes", 1 << 10, 1 << 40, |limits, value| limits.received_bytes = value),
];

#[test]
fn a_limit_is_accepted_at_its_bounds_and_refused_beyond_them_by_name() {
    Limits::default().validate().unwrap();
    for (limit, low, high, set) in BOUNDS {
        let validate = |value| {
            let mut limits = Limits::default();
            set(&mut limits, value);
            limits.validate()
        };
        assert_eq!(validate(low), Ok(()), "{limit}");
        assert_eq!(validate(high), Ok(()), "{limit}");
        for value in [low - 1, high + 1] {
            let refused = ConfigError::Limit { name: limit, value, low, high };
            assert_eq!(validate(value), Err(refused));
        }
    }
}

#[test]
fn a_merged_message_may_be_64_kib_longer_than_a_message() {
    let limits = Limits { message: 5000, ..Limits::default() };
    assert_eq!(limits.websocket_message(), 5000 + 65_536);
}

const MS: Duration = Duration::from_millis(1);

/// The setting that is refused, if one is.
fn refused(change: impl FnOnce(&mut Timings)) -> Option<&'static str> {
    let mut timings = Timings::default();
    change(&mut timings);
    match timings.validate() {
        Ok(()) => None,
        Err(ConfigError::Timing { name, .. }) => Some(name),
        Err(other) => panic!("another error: {other}"),
    }
}

#[test]
fn a_duration_under_a_millisecond_is_refused_by_name() {
    type Set = fn(&mut Timings, Duration);
    let settings: [(&str, Set); 8] = [
        ("dial", |timings, value| timings.dial = value),
        ("dialler_handshake", |timings, value| timings.dialler_handshake = value),
        ("acceptor_handshake", |timings, value| timings.acceptor_handshake = value),
        ("acceptor_request", |timings, value| timings.acceptor_request = value),
        ("retry_min", |timings, value| timings.retry_min = value),
        ("ping_interval", |timings, value| timings.ping_interval = value),
        ("write_stall", |timings, value| timings.write_stall = value),
        ("default_deadline", |timings, value| timings.default_deadline = value),
    ];
    for (name, set) in settings {
        assert_eq!(refused(|timings| set(timings, MS)), None, "{name}");
        let shorter = MS - Duration::from_nanos(1);
        assert_eq!(refused(|timings| set(timings, shorter)), Some(name));
    }
}

#[test]
fn durations_that_contradict_each_other_are_refused() {
    let second = Duration::from_secs(1);
    assert_eq!(refused(|timings| timings.retry_max = timings.retry_min), None);
    assert_eq!(refused(|timings| timings.retry_max = timings.retry_min - MS), Some("retry_max"));
    assert_eq!(refused(|timings| timings.silence = timings.ping_interval), None);
    assert_eq!(refused(|timings| timings.silence = timings.ping_interval - MS), Some("silence"));
    for at_least in [second * 15, second * 15 + MS] {
        let expected = (at_least == second * 15).then_some("mux_silence");
        assert_eq!(refused(|timings| timings.mux_silence = at_least), expected);
        let expected = (at_least == second * 15).then_some("mux_ping_silence");
        assert_eq!(refused(|timings| timings.mux_ping_silence = at_least), expected);
    }
}
