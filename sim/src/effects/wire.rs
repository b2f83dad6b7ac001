//! Follows what is written and what arrives, connection by connection.

use std::collections::{BTreeSet, VecDeque};

use super::WireCounts;
use crate::monitor::{Body, Kind, Message, Op, Seen, flag};
use crate::world::{EPOCH, End};

/// A clock that is off by so much is near the limit of 300 s, or beyond.
const EDGE: i128 = 290_000_000_000;

/// Generations this near the last one, and the first, are on two sides of the wrap.
const NEAR_WRAP: u64 = 0x20;
const LAST_GENERATION: u64 = 0x7fff_ffff;

/// One direction of a connection, by the end that sends.
#[derive(Debug, Default)]
struct Way {
    /// Where the messages under way end.
    ends: VecDeque<u64>,
    /// Where the last message ended of which all has arrived.
    boundary: u64,
    arrived: u64,
    /// Where what was written last ends.
    written: u64,
    /// Muxes that this end has opened, and whose end is not under way yet.
    live: BTreeSet<u64>,
    /// This end has opened a mux of one of the last generations.
    nears_wrap: bool,
}

#[derive(Debug, Default)]
struct Line {
    ways: [Way; 2],
    /// What the clock in the Connect was off, in nanoseconds.
    off: i128,
}

/// All connections of a run, by number.
#[derive(Debug, Default)]
pub(crate) struct WireWatch {
    lines: Vec<Line>,
    pub(crate) counts: WireCounts,
}

impl WireWatch {
    /// There is another connection.
    pub(crate) fn connect(&mut self) {
        self.lines.push(Line::default());
    }

    /// An end has written a whole message.
    pub(crate) fn wrote(&mut self, now: u64, conn: usize, end: End, seen: &Seen) {
        let Some(line) = self.lines.get_mut(conn) else { return };
        let way = &mut line.ways[end as usize];
        way.ends.push_back(seen.end);
        // A control frame has ended within the message.
        self.counts.fragmented += u64::from(seen.start < way.written);
        way.written = seen.end;
        if let Kind::Message(message) = &seen.kind {
            message.each().iter().for_each(|one| line.says(now, end, one, &mut self.counts));
        }
    }

    /// So many bytes of what `by` has written arrive at once.
    pub(crate) fn arrived(&mut self, conn: usize, by: End, bytes: u64) {
        let Some(line) = self.lines.get_mut(conn) else { return };
        let way = &mut line.ways[by as usize];
        way.arrived += bytes;
        let mut whole = 0;
        while let Some(end) = way.ends.pop_front_if(|end| *end <= way.arrived) {
            way.boundary = end;
            whole += 1;
        }
        self.counts.cut += u64::from(way.boundary != way.arrived);
        self.counts.coalesced += u64::from(whole > 1);
    }
}

impl Line {
    fn says(&mut self, now: u64, end: End, message: &Message, counts: &mut WireCounts) {
        let [own, others] = match end {
            End::Dialler => [0, 1],
            End::Acceptor => [1, 0],
        };
        let mux = message.mux;
        match message.op {
            Op::Request | Op::ConnectMux => {
                counts.same_ids += u64::from(self.ways[others].live.contains(&mux));
                counts.wrapped += u64::from(self.ways[own].open(mux));
            }
            Op::Response | Op::MuxConnectError | Op::DisconnectClientMux => {
                self.ways[others].live.remove(&mux);
            }
            Op::MuxServerMsg if message.has(flag::EOF) => {
                self.ways[others].live.remove(&mux);
            }
            Op::DisconnectServerMux => {
                self.ways[own].live.remove(&mux);
            }
            Op::Ping if mux != 0 => {
                counts.crossed_pings += u64::from(!self.ways[own].live.contains(&mux));
            }
            _ => {}
        }
        match message.body.as_deref() {
            Some(Body::Connect { time, .. }) => {
                let shown = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
                self.off = shown - (EPOCH + i128::from(now));
            }
            Some(Body::ConnectResponse { accepted: true, .. }) => {
                counts.accepted_at_the_edge += u64::from(self.off.abs() >= EDGE);
            }
            Some(Body::ConnectResponse { reason, .. }) => {
                counts.refused_for_clock += u64::from(reason.contains("clocks differ"));
            }
            Some(Body::Pong { not_found: true, .. }) => counts.unknown_pongs += 1,
            _ => {}
        }
    }
}

impl Way {
    /// Opens a mux; whether its generation is past the last one, behind others near it.
    fn open(&mut self, mux: u64) -> bool {
        self.live.insert(mux);
        let generation = mux >> 32 & LAST_GENERATION;
        let wraps = self.nears_wrap && generation < NEAR_WRAP;
        self.nears_wrap = match wraps {
            true => false,
            false => self.nears_wrap || generation > LAST_GENERATION - NEAR_WRAP,
        };
        wraps
    }
}

#[cfg(test)]
mod tests {
    use super::{EPOCH, WireWatch};
    use crate::monitor::{Body, Crc, Kind, Message, Op, Payload, Seen, Time, flag};
    use crate::world::End::{self, Acceptor, Dialler};

    fn message(op: Op, mux: u64) -> Message {
        Message {
            mux,
            seq: 0,
            deadline_ms: 0,
            handler: 0,
            op,
            flags: 0,
            payload: Payload::default(),
            subroute: None,
            crc: Crc::Absent,
            body: None,
            parts: Vec::new(),
            torn: None,
            encoded_len: 10,
            canonical: true,
        }
    }

    fn watch() -> WireWatch {
        let mut watch = WireWatch::default();
        watch.connect();
        watch
    }

    fn say(watch: &mut WireWatch, end: End, start: u64, message: Message) {
        let kind = Kind::Message(message);
        watch.wrote(0, 0, end, &Seen { start, end: start + 10, kind });
    }

    fn body(op: Op, body: Body) -> Message {
        Message { body: Some(Box::new(body)), ..message(op, 0) }
    }

    fn handshake(off: i64, accepted: bool, reason: &str) -> WireWatch {
        let mut watch = watch();
        let seconds = i64::try_from(EPOCH / 1_000_000_000).expect("it fits") + off;
        let (time, id) = (Time { seconds, nanos: 0 }, [0; 16]);
        let connect = Body::Connect { id, host: String::new(), time };
        say(&mut watch, Dialler, 0, body(Op::Connect, connect));
        let response = Body::ConnectResponse { id, accepted, reason: reason.into() };
        say(&mut watch, Acceptor, 0, body(Op::ConnectResponse, response));
        watch
    }

    #[test]
    fn whole_messages_one_by_one_are_neither_cut_nor_coalesced() {
        let mut watch = watch();
        for start in [0, 10, 20] {
            say(&mut watch, Dialler, start, message(Op::Request, 1));
        }
        watch.arrived(0, Dialler, 10);
        assert_eq!((watch.counts.cut, watch.counts.coalesced), (0, 0));
        watch.arrived(0, Dialler, 20);
        assert_eq!((watch.counts.cut, watch.counts.coalesced), (0, 1));
        watch.arrived(0, Acceptor, 3);
        assert_eq!((watch.counts.cut, watch.counts.coalesced), (1, 1), "begun, not whole");
    }

    #[test]
    fn a_message_is_in_fragments_if_a_control_frame_ends_within_it() {
        let mut watch = watch();
        let ping = |start| Seen { start, end: start + 5, kind: Kind::Control(9) };
        watch.wrote(0, 0, Dialler, &ping(0));
        say(&mut watch, Dialler, 5, message(Op::Request, 1));
        watch.wrote(0, 0, Acceptor, &ping(20));
        say(&mut watch, Dialler, 15, message(Op::Request, 2));
        assert_eq!(watch.counts.fragmented, 0, "one behind the other");
        watch.wrote(0, 0, Dialler, &ping(28));
        say(&mut watch, Dialler, 25, message(Op::Request, 3));
        assert_eq!(watch.counts.fragmented, 1);
    }

    #[test]
    fn ids_are_the_same_while_both_muxes_live() {
        let mut watch = watch();
        say(&mut watch, Dialler, 0, message(Op::Request, 7));
        say(&mut watch, Acceptor, 0, message(Op::Response, 7));
        say(&mut watch, Acceptor, 10, message(Op::Request, 7));
        assert_eq!(watch.counts.same_ids, 0, "the first is over");
        say(&mut watch, Dialler, 10, message(Op::ConnectMux, 7));
        assert_eq!(watch.counts.same_ids, 1);
    }

    #[test]
    fn a_generation_wraps_only_behind_the_last_ones() {
        let mut watch = watch();
        say(&mut watch, Dialler, 0, message(Op::Request, 5));
        assert_eq!(watch.counts.wrapped, 0);
        say(&mut watch, Dialler, 10, message(Op::Request, 0x7fff_ffff << 32 | 5));
        say(&mut watch, Acceptor, 0, message(Op::Request, 6));
        assert_eq!(watch.counts.wrapped, 0, "of the other end");
        say(&mut watch, Dialler, 20, message(Op::Request, 5));
        assert_eq!(watch.counts.wrapped, 1);
    }

    #[test]
    fn a_ping_crosses_the_end_of_its_stream() {
        let mut watch = watch();
        say(&mut watch, Dialler, 0, message(Op::ConnectMux, 7));
        say(&mut watch, Dialler, 10, message(Op::Ping, 7));
        assert_eq!(watch.counts.crossed_pings, 0);
        let last = Message { flags: flag::EOF, ..message(Op::MuxServerMsg, 7) };
        say(&mut watch, Acceptor, 0, last);
        say(&mut watch, Dialler, 20, message(Op::Ping, 7));
        assert_eq!(watch.counts.crossed_pings, 1);
        say(&mut watch, Dialler, 30, message(Op::Ping, 0));
        assert_eq!(watch.counts.crossed_pings, 1, "the link's own");
    }

    #[test]
    fn a_clock_is_felt_when_it_is_refused_or_just_accepted() {
        let counts = |off, accepted, reason| {
            let counts = handshake(off, accepted, reason).counts;
            (counts.refused_for_clock, counts.accepted_at_the_edge)
        };
        assert_eq!(counts(0, true, ""), (0, 0));
        assert_eq!(counts(299, true, ""), (0, 1));
        assert_eq!(counts(-299, true, ""), (0, 1));
        assert_eq!(counts(301, false, "the clocks differ by 301 s"), (1, 0));
        assert_eq!(counts(0, false, "shutting down"), (0, 0));
    }
}
