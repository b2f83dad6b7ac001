use super::*;

/// What a loop does is done whole, over either wire.
fn leaves_nothing<W: Wire>() {
    let mut machines = MuxLoop::<W>::new();
    for (size, calls) in [(0, 1), (0, 64), (512, 1), (512, 64), (20_000, 64), (1 << 20, 3)] {
        machines.round_trips(&vec![7; size], calls);
    }
    for shape in StreamShape::ALL {
        for streams in [1, 64] {
            machines.streams(shape, &[7; 512], 10, streams);
        }
    }
    machines.pass(Duration::from_millis(100));
    assert!(machines.is_quiescent());
}

#[test]
fn calls_and_streams_leave_nothing() {
    leaves_nothing::<Frames>();
    leaves_nothing::<Bytes>();
}

/// Streams stay open for as long as both ends ping, and carry items all the while.
fn streams_stay_open<W: Wire>() {
    let mut machines = MuxLoop::<W>::new();
    assert_eq!(machines.open_streams(100), 100);
    for second in 0..200 {
        machines.pass(Duration::from_secs(1));
        machines.echo_on(&[second % 100, (second + 50) % 100], &[7; 512]);
    }
    assert_eq!(machines.open_streams(0), 100);
}

#[test]
fn idle_streams_stay_open_by_their_pings() {
    streams_stay_open::<Frames>();
    streams_stay_open::<Bytes>();
}

#[test]
fn answers_are_what_was_sent() {
    let mut machines = MuxLoop::<Bytes>::new();
    let mut answers = Vec::new();
    machines.round_trips_into(b"there and back", 3, |answer| answers.push(answer));
    assert_eq!(answers, vec![Payload::from(&b"there and back"[..]); 3]);
}
