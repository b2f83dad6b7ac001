//! Follows the signs of life on a connection: what each end has heard of the other one, and what
//! becomes of the pings of the link.

use std::collections::VecDeque;

use crate::monitor::{Body, Kind, Message, Op, Seen};
use crate::oracle::{LinkPing, Mark, Missed, Silence};

/// A message by which a link shows that it lives, on its way.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// The link is up.
    Accepted,
    Ping,
    Pong,
}

/// The first and the last of some moments, and the last one before that instant.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    first: Option<Mark>,
    last: Option<Mark>,
    before: Option<Mark>,
}

impl Times {
    fn at(&mut self, now: Mark) {
        self.first.get_or_insert(now);
        if self.last.is_some_and(|last| last.at < now.at) {
            self.before = self.last;
        }
        self.last = Some(now);
    }

    fn before(&self, at: u64) -> Option<Mark> {
        self.last.filter(|last| last.at < at).or(self.before)
    }
}

/// A ping that an end has taken and not answered yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: u64,
    /// What the end had written when that instant was over.
    written: Option<u64>,
    behind: u64,
}

/// One end of a connection.
#[derive(Debug, Default)]
struct Side {
    written: u64,
    /// Where what it has sent ends, and what that was.
    under_way: VecDeque<(u64, Sign)>,
    heard: Times,
    ponged: Times,
    asked: Option<Asked>,
    /// For it, the link is up, or was.
    up: bool,
    /// What comes to it is not what was sent.
    falsified: bool,
    /// It writes nothing more: pings are not answered.
    closing: bool,
}

/// The signs of life on one connection, by end.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    sides: [Side; 2],
}

impl Pulse {
    /// An end writes bytes, before it is known what they complete.
    pub(super) fn writes(&mut self, at: u64, end: usize, bytes: u64) {
        let side = &mut self.sides[end];
        if let Some(asked) = &mut side.asked
            && asked.at < at
        {
            asked.written.get_or_insert(side.written);
        }
        side.written += bytes;
    }

    /// An end has written a whole WebSocket message; what it has answered by that, if it has.
    pub(super) fn wrote(&mut self, at: u64, end: usize, seen: &Seen) -> Option<Answer> {
        let side = &mut self.sides[end];
        let Kind::Message(message) = &seen.kind else {
            if matches!(seen.kind, Kind::Control(8)) {
                self.ends(end);
            }
            return None;
        };
        let mut ponged = false;
        for sign in message.each().iter().filter_map(sign) {
            ponged |= matches!(sign, Sign::Pong);
            side.up |= matches!(sign, Sign::Accepted);
            side.under_way.push_back((seen.end, sign));
        }
        if ponged {
            let asked = side.asked.take()?;
            return Some(Answer { asked: asked.at, answered: Some(at), behind: asked.behind });
        }
        if let Some(Asked { written: Some(written), behind, .. }) = &mut side.asked {
            // Pings and pongs are small, and overtake data as well.
            let is_data = |one: &Message| !matches!(one.op, Op::Ping | Op::Pong);
            let is_data = message.each().iter().any(is_data);
            *behind += u64::from(is_data && seen.start >= *written);
        }
        None
    }

    /// An end has taken what the other one has sent, up to this offset.
    pub(super) fn taken(&mut self, now: Mark, end: usize, offset: u64) {
        self.sides[end].heard.at(now);
        while let Some((_, sign)) =
            self.sides[1 - end].under_way.pop_front_if(|(end, _)| *end <= offset)
        {
            let side = &mut self.sides[end];
            match sign {
                Sign::Accepted => side.up = true,
                Sign::Pong => side.ponged.at(now),
                Sign::Ping if side.falsified || side.closing => {}
                Sign::Ping => {
                    let fresh = Asked { at: now.at, written: None, behind: 0 };
                    side.asked.get_or_insert(fresh);
                }
            }
        }
    }

    /// An end has handled all that came and written all that it had; what it has left unanswered.
    pub(super) fn flushed(&mut self, at: u64, end: usize) -> Option<Answer> {
        let asked = self.sides[end].asked.take_if(|asked| asked.at < at)?;
        Some(Answer { asked: asked.at, answered: None, behind: asked.behind })
    }

    /// An end writes nothing more: it has sent a close frame, or closed, dropped or lost the
    /// connection.
    pub(super) fn ends(&mut self, end: usize) {
        let side = &mut self.sides[end];
        side.closing = true;
        side.asked = None;
    }

    /// What comes to an end is not what was sent.
    pub(super) fn falsified(&mut self, end: usize) {
        let side = &mut self.sides[end];
        side.falsified = true;
        side.asked = None;
    }

    /// An end has given the connection up, because it missed something.
    pub(super) fn given_up(
        &self,
        now: Mark,
        end: usize,
        [node, peer]: [usize; 2],
        missed: Missed,
    ) -> Option<Silence> {
        let side = Some(&self.sides[end]).filter(|side| side.up)?;
        let last = match missed {
            Missed::Bytes => side.heard.before(now.at),
            Missed::Pongs => side.ponged.before(now.at),
        };
        // Before a link is up, something has been heard, and that was no pong.
        let last = last.or(side.heard.first)?;
        Some(Silence { node, peer, missed, at: now, last, falsified: side.falsified })
    }
}

/// What has become of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    asked: u64,
    answered: Option<u64>,
    behind: u64,
}

impl Answer {
    pub(super) const fn of(self, [node, peer]: [usize; 2]) -> LinkPing {
        let Self { asked, answered, behind } = self;
        LinkPing { node, peer, asked, answered, behind }
    }
}

fn sign(message: &Message) -> Option<Sign> {
    match (message.op, message.mux, message.body.as_deref()) {
        (_, 0, Some(Body::ConnectResponse { accepted: true, .. })) => Some(Sign::Accepted),
        (_, 0, Some(Body::Pong { .. })) => Some(Sign::Pong),
        (Op::Ping, 0, _) => Some(Sign::Ping),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Pulse};
    use crate::monitor::{Body, Crc, Kind, Message, Op, Payload, Seen, Time};
    use crate::oracle::{Mark, Missed};

    fn message(op: Op, body: Option<Body>) -> Message {
        Message {
            mux: 0,
            seq: 0,
            deadline_ms: 0,
            handler: 0,
            op,
            flags: 0,
            payload: Payload::default(),
            subroute: None,
            crc: Crc::Absent,
            body: body.map(Box::new),
            parts: Vec::new(),
            torn: None,
            encoded_len: 8,
            canonical: true,
        }
    }

    fn ping() -> Message {
        message(Op::Ping, None)
    }

    fn pong() -> Message {
        let time = Time::default();
        message(Op::Pong, Some(Body::Pong { not_found: false, error: None, time }))
    }

    fn accepted() -> Message {
        let reason = String::new();
        let body = Body::ConnectResponse { id: [0; 16], accepted: true, reason };
        message(Op::ConnectResponse, Some(body))
    }

    fn mark(at: u64) -> Mark {
        Mark { at, clock: 1_000 + at }
    }

    /// A connection whose end 1 pings, and whose end 0 writes messages of ten bytes.
    struct Line {
        pulse: Pulse,
        written: [u64; 2],
    }

    impl Line {
        fn up() -> Self {
            let mut line = Self { pulse: Pulse::default(), written: [0; 2] };
            line.write(0, 1, accepted());
            line.pulse.taken(mark(1), 0, 10);
            line
        }

        fn write(&mut self, at: u64, end: usize, message: Message) -> Option<Answer> {
            let start = self.written[end];
            self.written[end] += 10;
            self.pulse.writes(at, end, 10);
            let seen = Seen { start, end: start + 10, kind: Kind::Message(message) };
            self.pulse.wrote(at, end, &seen)
        }

        /// The ping of end 1 is taken.
        fn asked(at: u64) -> Self {
            let mut line = Self::up();
            line.write(at, 1, ping());
            line.pulse.taken(mark(at), 0, 20);
            line
        }
    }

    fn data() -> Message {
        message(Op::Request, None)
    }

    #[test]
    fn what_is_written_at_once_is_not_ahead_of_a_pong() {
        let mut line = Line::asked(5);
        assert_eq!(line.write(5, 0, data()), None);
        let answer = line.write(5, 0, pong());
        assert_eq!(answer, Some(Answer { asked: 5, answered: Some(5), behind: 0 }));
        assert_eq!(line.write(6, 0, pong()), None, "nobody has asked");
    }

    #[test]
    fn what_is_begun_later_is_ahead_and_what_was_begun_before_is_not() {
        let mut line = Line::asked(5);
        line.pulse.writes(5, 0, 3);
        line.pulse.writes(7, 0, 7);
        let seen = |start, end| Seen { start, end, kind: Kind::Message(data()) };
        line.pulse.wrote(7, 0, &seen(0, 10));
        line.written[0] = 10;
        line.write(8, 0, data());
        line.write(9, 0, data());
        let answer = line.write(9, 0, pong());
        assert_eq!(answer, Some(Answer { asked: 5, answered: Some(9), behind: 2 }));
    }

    #[test]
    fn other_pings_and_pongs_may_go_ahead() {
        let mut line = Line::asked(5);
        line.pulse.writes(7, 0, 0);
        line.write(8, 0, Message { mux: 3, ..message(Op::Pong, None) });
        line.write(9, 0, data());
        let answer = line.write(9, 0, pong());
        assert_eq!(answer, Some(Answer { asked: 5, answered: Some(9), behind: 1 }));
    }

    #[test]
    fn an_end_that_has_nothing_more_to_write_has_not_answered() {
        let mut line = Line::asked(5);
        assert_eq!(line.pulse.flushed(5, 0), None, "it may still do so");
        let left = Answer { asked: 5, answered: None, behind: 0 };
        assert_eq!(line.pulse.flushed(6, 0), Some(left));
        let mut gone = Line::asked(5);
        gone.pulse.ends(0);
        assert_eq!(gone.pulse.flushed(6, 0), None, "nor can it");
        let mut changed = Line::asked(5);
        changed.pulse.falsified(0);
        assert_eq!(changed.pulse.flushed(6, 0), None);
    }

    #[test]
    fn the_last_sign_of_life_is_one_before_the_instant_of_the_end() {
        let line = Line::asked(5);
        let given_up = |at, missed| line.pulse.given_up(mark(at), 0, [3, 4], missed).unwrap();
        assert_eq!(given_up(9, Missed::Bytes).last, mark(5));
        assert_eq!(given_up(5, Missed::Bytes).last, mark(1));
        assert_eq!(given_up(9, Missed::Pongs).last, mark(1), "no pong since it was up");
        let never = Pulse::default();
        assert_eq!(never.given_up(mark(9), 0, [3, 4], Missed::Bytes), None, "it was not up");
    }
}
