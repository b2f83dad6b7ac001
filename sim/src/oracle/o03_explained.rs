//! O3: every error is explained by what has happened, told apart by type; and an error that says
//! that no handler has run is right about that.
//!
//! | error | explained by |
//! | --- | --- |
//! | `Disconnected` | no link at some time while it was open; or the callee's own end of it: its deadline, by a clock that is ahead, the silence of the caller; or 30 s without an answer, with a fault in that time |
//! | what a handler is told of its caller's silence | a fault in that time |
//! | `DeadlineExceeded` | a deadline; whether it had passed is judged by O5 |
//! | `DeadlineTooShort` | a deadline under 1 ms |
//! | `Refused` | a route that nobody serves; a peer that shuts down or removes; a limit |
//! | `Remote` | a handler that failed or panicked with this text; on a route whose ends disagree, a violation |
//! | `Cancelled` | its other half, the end of this node's grace, the application |
//! | `Limit`, `TooLarge` | calls and bytes of the script that reach the limit |
//! | `ShuttingDown`, `PeerShuttingDown`, `PeerRemoved` | such a fault |
//! | `PeerViolation` | a route whose ends disagree |
//! | `Ended` of a `send` | a handler that has returned in order |
//! | a `ConfigError` | the mistake that it names, if one was [tried](crate::script::Trial) |
//! | any | a peer that is not ours; for what the peer says or does not say, a byte that was changed on the way |
//!
//! Each is counted by class.

use gridmux_core::error::{CallError, CancelReason, LimitKind, PeerLimit};

use super::bounds::{call_bytes, nanos};
use super::evidence::ConnectionLife;
use super::o05_deadlines::reader_lag;
use super::story::{Serving, Story};
use super::{Bench, Case, failure_text};
use crate::history::{Entry, Sight};
use crate::script::{Close, Deed, Fault, Finish, Form};
use crate::verdict::Class;

/// What explains the end of a stream that was answered by nothing.
const SILENT: &str = "no answer to the stream's pings";

/// Wake-ups between a ping that is due and the handler's own record of its silence.
const SILENCE_WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    judge_trials(case, bench);
    for story in case.stories.iter().filter(|story| story.ours[0]) {
        if story.ours[1] {
            judge_silence(case, bench, story);
        }
        let Some(issued) = story.issued() else { continue };
        for entry in &story.caller {
            let (Sight::Ended(Err(error)) | Sight::SendFailed(error)) = &entry.sight else {
                continue;
            };
            bench.judged();
            let cause = Cause { case, story, issued, entry };
            match cause.of(error) {
                Some(class) => bench.excuse(class),
                None => {
                    let rule = unexplained(error);
                    bench.unsafe_exchange(rule, entry.at, story, &format!("{error:?}"));
                }
            }
            if matches!(entry.sight, Sight::Ended(_)) && !error.may_have_run() {
                judge_not_run(bench, story, entry, error);
            }
        }
    }
}

/// A caller that is there and pings is not silent: what its handler is told has a cause, too.
fn judge_silence(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>) {
    let timings = &case.evidence.timings;
    let silence = nanos(timings.mux_ping_silence) + nanos(timings.mux_ping_interval);
    for serving in &story.servings {
        let is_silence = |sight: &Sight| {
            matches!(
                sight,
                Sight::Cancelled(CancelReason::CallerSilent)
                    | Sight::InputEnded(Err(CancelReason::CallerSilent))
            )
        };
        let Some(told) = serving.find(is_silence) else { continue };
        bench.judged();
        let (from, to) = (story.call.from, story.call.to);
        let near = told.at.saturating_sub(case.bounds.span(to, silence, SILENCE_WAKES));
        let troubled = is_slow(case, story) || case.bounds.is_troubled(from, to, near, told.at);
        let lost = case.evidence.views_of(from, to).any(|view| view.at >= near && !view.up);
        let dead = story
            .issued()
            .is_some_and(|issued| case.evidence.is_dead(issued.node, issued.life, told.at));
        if troubled || lost || dead || case.bounds.is_corrupted(from, to, told.at) {
            bench.excuse("the callee heard no ping");
        } else {
            bench.unsafe_exchange("an unexplained CallerSilent", told.at, story, "");
        }
    }
}

/// Whether nothing but the silence of a stream can have ended it at its caller.
pub(super) fn ends_for_silence(case: &Case<'_>, story: &Story<'_>, entry: &Entry) -> bool {
    let Some(issued) = story.issued() else { return false };
    let cause = Cause { case, story, issued, entry };
    cause.disconnected().is_none_or(|class| class == SILENT)
}

/// A configuration that cannot work is refused, by the error that names the mistake.
fn judge_trials(case: &Case<'_>, bench: &mut Bench<'_>) {
    // Refusals explain themselves, too.
    bench.pass_on_complaints(case);
    for tried in &case.evidence.inside.tried {
        bench.judged();
        if !tried.is_refused() {
            let rule = "a mistake in a configuration was not refused";
            let at = case.evidence.farewell.end;
            bench.fail(Class::Safety, rule, at, format!("{tried:?}"));
        }
    }
}

/// Whether what travels between the ends of a call may take so long that pings are missed, though
/// nothing is wrong.
fn is_slow(case: &Case<'_>, story: &Story<'_>) -> bool {
    let (from, to) = (story.call.from, story.call.to);
    let there_and_back = case.bounds.delivery(from, to).saturating_mul(2);
    case.evidence.script.knobs.rate > 0
        || there_and_back >= nanos(case.evidence.timings.mux_ping_interval)
}

/// What says that no handler has run must be right.
fn judge_not_run(bench: &mut Bench<'_>, story: &Story<'_>, entry: &Entry, error: &CallError) {
    if let Some(started) = story.started() {
        let at = started.at.max(entry.at);
        let rule = "a handler ran for a call that says it cannot have";
        bench.unsafe_exchange(rule, at, story, &format!("{error:?}"));
    }
}

const fn unexplained(error: &CallError) -> &'static str {
    match error {
        CallError::Disconnected { .. } => "an unexplained Disconnected",
        CallError::DeadlineExceeded { .. } => "an unexplained DeadlineExceeded",
        CallError::DeadlineTooShort => "an unexplained DeadlineTooShort",
        CallError::Refused(_) => "an unexplained Refused",
        CallError::Remote(_) => "an unexplained Remote",
        CallError::Cancelled => "an unexplained Cancelled",
        CallError::Limit(_) => "an unexplained Limit",
        CallError::TooLarge { .. } => "an unexplained TooLarge",
        CallError::ResponseTooLarge { .. } => "an unexplained ResponseTooLarge",
        CallError::PeerLimit { .. } => "an unexplained PeerLimit",
        CallError::ShuttingDown => "an unexplained ShuttingDown",
        CallError::PeerShuttingDown => "an unexplained PeerShuttingDown",
        CallError::PeerRemoved { .. } => "an unexplained PeerRemoved",
        CallError::PeerViolation(_) => "an unexplained PeerViolation",
        CallError::Encode(_) | CallError::Decode(_) => "an unexplained Encode or Decode",
        CallError::SendClosed | CallError::Ended => "an unexplained end of sending",
        _ => "an unexplained error",
    }
}

/// Looks for what explains one error.
struct Cause<'a> {
    case: &'a Case<'a>,
    story: &'a Story<'a>,
    issued: &'a Entry,
    entry: &'a Entry,
}

impl Cause<'_> {
    fn of(&self, error: &CallError) -> Option<&'static str> {
        let by_call = match error {
            CallError::Disconnected { .. } => self.disconnected(),
            CallError::DeadlineExceeded { .. } => {
                let default = nanos(self.case.evidence.timings.default_deadline);
                self.story.timeout(default).map(|_| "deadline")
            }
            CallError::DeadlineTooShort => {
                self.story.call.timeout.filter(|t| *t < 1_000_000).map(|_| "deadline under 1 ms")
            }
            CallError::Refused(_) => self.refused(),
            CallError::Remote(text) => self.remote(text),
            CallError::Cancelled => self.cancelled(),
            CallError::Limit(kind) => self.limit(*kind),
            CallError::TooLarge { size, limit, .. } => self.too_large(*size, *limit),
            CallError::ResponseTooLarge { .. } => self.answer_too_large(),
            CallError::PeerLimit { limit, text, .. } => self.peer_limit(*limit, text),
            CallError::ShuttingDown => self.shutdown_of(self.from()),
            CallError::PeerShuttingDown => {
                self.shutdown_of(self.to()).or_else(|| self.removal(self.to(), self.from()))
            }
            CallError::PeerRemoved { .. } => self.removal(self.from(), self.to()),
            CallError::PeerViolation(_) => self.disagreement(),
            CallError::Ended => {
                let is_send = matches!(self.entry.sight, Sight::SendFailed(_));
                let returned = self.any_serving(|one| one.returned_in_order().is_some());
                (is_send && returned).then_some("sent after the handler has returned")
            }
            _ => None,
        };
        by_call.or_else(|| self.foreign(error))
    }

    const fn from(&self) -> usize {
        self.story.call.from
    }

    const fn to(&self) -> usize {
        self.story.call.to
    }

    /// Until when the cause can have come: what was seen of it may be seen late.
    fn until(&self) -> u64 {
        self.case.bounds.by(self.from(), self.entry.at, 0, 4)
    }

    fn any_serving(&self, is: impl Fn(&Serving<'_>) -> bool) -> bool {
        self.story.servings.iter().any(is)
    }

    fn was_told(&self, reason: CancelReason) -> bool {
        let is = |sight: &Sight| match sight {
            Sight::Cancelled(why) | Sight::InputEnded(Err(why)) => *why == reason,
            _ => false,
        };
        self.any_serving(|one| one.find(is).is_some())
    }

    /// What only others can have caused: a peer that is not ours, bytes that are not its own.
    fn foreign(&self, error: &CallError) -> Option<&'static str> {
        let by_peer = matches!(
            error,
            CallError::Disconnected { .. }
                | CallError::Refused(_)
                | CallError::Remote(_)
                | CallError::PeerShuttingDown
                | CallError::PeerViolation(_)
                | CallError::Decode(_)
                | CallError::RequestUndecodable(_)
                | CallError::ResponseTooLarge { .. }
                | CallError::PeerLimit { .. }
        );
        if matches!(error, CallError::Ended) && !self.story.ours[1] {
            return Some("the peer is not ours");
        }
        // Its receiving half has met an item that is none of its type.
        let by_item = *error == CallError::Cancelled && self.story.call.form != Form::Raw;
        if by_item && !self.story.ours[1] {
            return Some("the peer is not ours");
        }
        if !by_peer {
            return None;
        }
        if !self.story.ours[1] {
            return Some("the peer is not ours");
        }
        let corrupted = self.case.bounds.is_corrupted(self.from(), self.to(), self.entry.at);
        let corrupted = corrupted.then_some("a byte was changed on the way");
        corrupted.or_else(|| self.disagreement())
    }

    fn disconnected(&self) -> Option<&'static str> {
        let (from, to) = (self.from(), self.to());
        let evidence = self.case.evidence;
        // What is seen in the same instant may have come after the call.
        if !evidence.was_up(from, self.issued.life, to, self.issued.at.saturating_sub(1)) {
            return Some("no link when it was made");
        }
        // Or it was lost, and the node has not noticed yet: it may have been stopped. What is made
        // in the same instant may come after the call, too.
        let lives = |at: u64| {
            let is_open = |broken: Option<u64>| broken.is_none_or(|broken| broken > at);
            let mut connections = evidence.between(from, to);
            let is_made = |life: &ConnectionLife, end: usize| {
                let made = if end == 0 { life.agreed_at } else { life.accepted_at };
                made.is_some_and(|made| made < at)
            };
            connections.any(|(life, end)| is_made(life, end) && is_open(life.broken_at[end]))
        };
        if !lives(self.issued.at) {
            return Some("no link when it was made");
        }
        let while_open = |at: u64| (self.issued.at..=self.until()).contains(&at);
        let seen = evidence.views_of(from, to).any(|view| !view.up && while_open(view.at));
        let broken = evidence
            .between(from, to)
            .any(|(life, end)| life.broken_at[end].is_some_and(while_open));
        if seen || broken {
            return Some("link lost");
        }
        if self.case.bounds.may_have_panicked(from, to, self.issued.at, self.entry.at) {
            return Some("a machine has panicked");
        }
        self.given_up().or_else(|| self.silence())
    }

    /// The callee has ended it by itself.
    fn given_up(&self) -> Option<&'static str> {
        if self.was_told(CancelReason::Deadline) && self.callee_is_ahead() {
            return Some("the callee's deadline came first");
        }
        if self.was_told(CancelReason::CallerSilent) {
            return Some("the callee heard no ping");
        }
        // Its bare end is read before the end of the link, which is slow.
        if self.was_told(CancelReason::ShuttingDown) {
            return self.shutdown_of(self.to()).or_else(|| self.removal(self.to(), self.from()));
        }
        // What has returned, and whose end waits for a credit, is told nothing any more.
        let is_over = self.any_serving(|one| one.started().is_some() && one.is_over());
        let waited = |patience: u64| {
            // It counts from the arrival of the call, which is no earlier than this.
            let clock = self.case.bounds.most_clock(self.to(), self.issued.at, self.entry.at);
            is_over && clock >= patience
        };
        // The callee is first by its clock, if that is ahead, or because pings are missing.
        let silence = nanos(self.case.evidence.timings.mux_ping_silence);
        let timeout = self.story.call.timeout;
        let expired = || timeout.is_some_and(waited) && self.callee_is_ahead();
        let is_watched = timeout.is_none_or(|timeout| timeout > silence);
        let unheard = || is_watched && waited(silence) && self.pings_may_be_missed(silence);
        (expired() || unheard()).then_some("the callee gave up an end that waited for a credit")
    }

    /// Whether the callee's clock can be ahead of the caller's by more than the time before a
    /// deadline in which a bare end is held back (PROTOCOL.md section 5.2).
    fn callee_is_ahead(&self) -> bool {
        let default = nanos(self.case.evidence.timings.default_deadline);
        let Some(timeout) = self.story.timeout(default) else { return false };
        let held_back = (timeout / 100).max(50_000_000);
        let gain = self.case.bounds.gain(self.to(), self.from(), self.issued.at, self.entry.at);
        gain >= held_back
    }

    /// The stream's own pings went unanswered.
    fn silence(&self) -> Option<&'static str> {
        let timings = &self.case.evidence.timings;
        let (from, at) = (self.from(), self.entry.at);
        let is_watched = self.story.call.route.capacities().is_some()
            && self.story.call.timeout.is_none_or(|t| t > nanos(timings.mux_ping_interval));
        let long =
            self.case.bounds.most_clock(from, self.issued.at, at) >= nanos(timings.mux_silence);
        if !is_watched || !long {
            return None;
        }
        let missed = self.pings_may_be_missed(nanos(timings.mux_silence));
        missed.then_some(SILENT)
    }

    /// Whether pings, or the answers to them, can have been missing for so long. The end is seen
    /// when what came before it is read.
    fn pings_may_be_missed(&self, silence: u64) -> bool {
        let (from, at) = (self.from(), self.entry.at);
        let (lag, wakes) = reader_lag(self.case, self.story);
        let interval = nanos(self.case.evidence.timings.mux_ping_interval);
        let span = silence.saturating_add(interval).saturating_add(lag);
        let near = at.saturating_sub(self.case.bounds.span(from, span, wakes));
        is_slow(self.case, self.story)
            || self.case.bounds.is_troubled(from, self.to(), near.max(self.issued.at), at)
    }

    fn refused(&self) -> Option<&'static str> {
        if !self.story.call.route.is_served() {
            return Some("nobody serves the route");
        }
        self.shutdown_of(self.to()).or_else(|| self.removal(self.to(), self.from())).or_else(|| {
            let limits = &self.case.evidence.limits;
            let (calls, bytes) = self.demand();
            let full = calls >= as_u64(limits.incoming_muxes)
                || bytes >= as_u64(limits.received_bytes)
                || bytes >= as_u64(limits.queued_bytes);
            full.then_some("limit of the callee")
        })
    }

    fn remote(&self, text: &str) -> Option<&'static str> {
        let (Finish::Error | Finish::Panic) = self.story.call.plan.finish else {
            let cause = self.disagreement().or_else(|| self.receive_limit(text));
            return cause.or_else(|| self.answer_too_large());
        };
        let failed = self.any_serving(|one| {
            let is = |sight: &Sight| matches!(sight, Sight::Returned(false) | Sight::Panicked);
            one.find(is).is_some_and(|entry| entry.at <= self.entry.at)
        });
        if failed && text.contains(&failure_text(&self.story.call.name)) {
            return Some("the handler failed");
        }
        self.disagreement().or_else(|| self.receive_limit(text))
    }

    /// The handler's answer, or item, is over the limit, and the error that says so went instead.
    fn answer_too_large(&self) -> Option<&'static str> {
        let largest = u64::from(self.story.call.plan.item_size);
        let can_be = largest.saturating_add(1_024) >= as_u64(self.case.evidence.limits.message);
        can_be.then_some("answer over the limit")
    }

    fn disagreement(&self) -> Option<&'static str> {
        (!self.story.call.route.is_agreed()).then_some("the ends disagree on the route")
    }

    /// A handler that has just returned is told nothing of the limit any more.
    fn receive_limit(&self, text: &str) -> Option<&'static str> {
        let says_so = text.contains("received data");
        let full = self.demand().1 >= as_u64(self.case.evidence.limits.received_bytes);
        let told = self.was_told(CancelReason::ReceiveLimit);
        (told || says_so && full).then_some("limit of the callee")
    }

    fn cancelled(&self) -> Option<&'static str> {
        if self.story.call.input.close == Close::Drop {
            return Some("its sending half was dropped");
        }
        let name = &self.story.call.name;
        let cancels =
            |line: &crate::script::Line| matches!(&line.deed, Deed::Cancel(n) if n == name);
        if self.case.evidence.script.lines.iter().any(cancels) {
            return Some("cancelled by the application");
        }
        if self.entry.at >= self.case.evidence.phases.drain {
            return Some("cancelled by the drain");
        }
        self.shutdown_of(self.from())
    }

    /// Calls and bytes of the script that go the same way.
    fn demand(&self) -> (u64, u64) {
        let pair = [self.from(), self.to()];
        let calls = || {
            let same =
                |call: &&crate::script::Call| pair.contains(&call.from) && pair.contains(&call.to);
            self.case.evidence.script.calls().filter(same)
        };
        let count = u64::try_from(calls().count()).unwrap_or(u64::MAX);
        (count, calls().map(call_bytes).fold(0, u64::saturating_add))
    }

    fn limit(&self, kind: LimitKind) -> Option<&'static str> {
        let limits = &self.case.evidence.limits;
        let (calls, bytes) = self.demand();
        let reached = match kind {
            LimitKind::OutgoingMuxes => calls > as_u64(limits.outgoing_muxes),
            LimitKind::ReceivedBytes => bytes >= as_u64(limits.received_bytes),
            // Only the `try_` forms know these, and the applications use none.
            _ => false,
        };
        reached.then_some("limit of the caller")
    }

    /// All that is called the same way, or answered, may be held at one time.
    fn peer_limit(&self, limit: PeerLimit, text: &str) -> Option<&'static str> {
        let limits = &self.case.evidence.limits;
        let bytes = self.demand().1;
        let reached = match limit {
            PeerLimit::ReceivedBytes => return self.refused().or_else(|| self.receive_limit(text)),
            PeerLimit::HandlerBytes => bytes >= as_u64(limits.handler_bytes),
            PeerLimit::ResponseBytes => bytes >= as_u64(limits.response_bytes),
            // The applications send raw payloads, and no script sends as much as a node may hold.
            _ => false,
        };
        reached.then_some("limit of the callee")
    }

    fn too_large(&self, size: usize, limit: usize) -> Option<&'static str> {
        let call = self.story.call;
        let largest = u64::from(call.size.unwrap_or(0).max(call.input.size));
        let is_ours = limit == self.case.evidence.limits.message && size > limit;
        let can_be = largest.saturating_add(1_024) >= as_u64(limit);
        (is_ours && can_be).then_some("message over the limit")
    }

    fn shutdown_of(&self, whose: usize) -> Option<&'static str> {
        let is = |fault: &Fault| matches!(fault, Fault::Shutdown { node, .. } if *node == whose);
        self.case.bounds.has_come(self.entry.at, is).then_some("shutdown")
    }

    fn removal(&self, whose: usize, whom: usize) -> Option<&'static str> {
        let is = |fault: &Fault| match fault {
            Fault::Remove { node, peer, .. } => (*node, *peer) == (whose, whom),
            _ => false,
        };
        self.case.bounds.has_come(self.entry.at, is).then_some("removed from the grid")
    }
}

fn as_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::{
        CallError, CancelReason, ConfigError, LimitKind, LimitOwner, PeerLimit, Violation,
    };

    use crate::history::Sight::{
        Cancelled, Ended, Issued, OutputSent, Panicked, Returned, SendFailed, Started,
    };
    use crate::oracle::failure_text;
    use crate::oracle::tale::{EXPIRED, LOST, MS, Tale, call};
    use crate::run::{Refusal, Tried};
    use crate::script::{
        Call, Close, Deed, Fault, Finish, Form, Line, Moment, NodeKind, Route, Trial,
    };
    use crate::world::Damage;

    const NOT_RUN: CallError = CallError::Disconnected { may_have_run: false };

    /// A call that was made at 5 ms and fails at 40 s.
    fn fails(call: Call, error: CallError) -> Tale {
        Tale::of(call, &[(5, Issued), (40_000, Ended(Err(error)))])
    }

    #[track_caller]
    fn is_excused(tale: &Tale, class: &str) {
        tale.is_good(3);
        assert_eq!(tale.verdicts(3).excuses.get(class), Some(&1), "{class}");
    }

    #[test]
    fn a_disconnected_needs_a_link_that_was_down() {
        let mut tale = fails(call(Route::Echo), LOST);
        assert_eq!(tale.broken(3), ["an unexplained Disconnected"]);
        tale.lose(39_999, 0, 1);
        is_excused(&tale, "link lost");
        let mut before = Tale::new(2);
        before.lose(3, 0, 1);
        let id = before.call(call(Route::Echo));
        before.see(5, id, Issued).see(5, id, Ended(Err(NOT_RUN)));
        is_excused(&before, "no link when it was made");
    }

    #[test]
    fn a_link_that_the_dialler_has_not_heard_of_is_none() {
        let mut tale = Tale::new(2);
        let [dialler, acceptor] = tale.evidence.connections[0].nodes;
        let id = tale.call(Call { from: dialler, to: acceptor, ..call(Route::Echo) });
        // It still takes the former link, which is gone, for one that is up.
        tale.evidence.connections[0].broken_at = [Some(3 * MS); 2];
        tale.connect(4, dialler, acceptor).see(6, id, Issued).see(6, id, Ended(Err(NOT_RUN)));
        assert_eq!(tale.broken(3), ["an unexplained Disconnected"]);
        for not_before in [6, 7] {
            tale.evidence.connections[1].agreed_at = Some(not_before * MS);
            is_excused(&tale, "no link when it was made");
        }
    }

    #[test]
    fn a_byte_that_is_changed_on_a_path_without_checksums_explains_anything() {
        let mut tale = fails(call(Route::Echo), CallError::Cancelled);
        let damage = Damage::Flip(1);
        tale.fault(6, 6, Fault::Damage { from: 1, to: 0, damage });
        assert_eq!(tale.broken(3), ["an unexplained Cancelled"]);
        tale.evidence.script.secure = true;
        is_excused(&tale, "a byte was changed on a path without CRC");
    }

    #[test]
    fn a_panic_explains_what_fails_when_it_comes() {
        let panics = |at: u64| {
            let mut tale = fails(call(Route::Echo), LOST);
            tale.fault(2, 2, Fault::Panic { node: 1, peer: 0, using: true });
            tale.evidence.inside.bugs.push(at * MS);
            tale
        };
        is_excused(&panics(7), "a machine has panicked");
        for at in [3, 41_000] {
            assert_eq!(panics(at).broken(3), ["an unexplained Disconnected"]);
        }
        let mut other = fails(call(Route::Echo), LOST);
        other.evidence.inside.bugs.push(7 * MS);
        assert_eq!(other.broken(3), ["an unexplained Disconnected"], "nobody told it to");
    }

    #[test]
    fn a_mistake_in_a_configuration_must_be_refused_for_what_it_is() {
        let tried = |answer| {
            let mut tale = Tale::new(2);
            tale.evidence.inside.tried.push(Tried { node: 0, trial: Trial::OwnTwice, answer });
            tale
        };
        let config = |error| tried(Some(Refusal::Config(error)));
        config(ConfigError::DuplicateName("a".into())).is_good(3);
        let rule = ["a mistake in a configuration was not refused"];
        assert_eq!(tried(None).broken(3), rule);
        assert_eq!(config(ConfigError::UnknownPeer("a".into())).broken(3), rule);
    }

    #[test]
    fn another_pairs_loss_or_a_later_one_explains_nothing() {
        let mut tale = Tale::new(3);
        let id = tale.call(call(Route::Echo));
        tale.see(5, id, Issued).lose(6, 0, 2).lose(6, 1, 2).see(7, id, Ended(Err(LOST)));
        tale.lose(20, 0, 1);
        assert_eq!(tale.broken(3), ["an unexplained Disconnected"]);
    }

    #[test]
    fn the_callee_may_give_up_first() {
        let mut slow = call(Route::Talk);
        slow.timeout = Some(60_000 * MS);
        let mut tale = fails(slow, LOST);
        tale.see(6, 0, Started(true)).see(39_000, 0, Cancelled(CancelReason::Deadline));
        assert_eq!(tale.broken(3), ["an unexplained Disconnected"], "the clocks agree");
        tale.fault(38_000, 38_000, Fault::Jump { node: 1, ahead: 21_000 * MS });
        is_excused(&tale, "the callee's deadline came first");
        let ends = || {
            let mut ends = fails(call(Route::Talk), LOST);
            ends.see(6, 0, Started(true)).see(39_000, 0, Cancelled(CancelReason::ShuttingDown));
            ends
        };
        assert_eq!(ends().broken(3), ["an unexplained Disconnected"], "nobody shuts down");
        let shutdown = Fault::Shutdown { node: 1, grace: 0, back: None };
        for fault in [shutdown, Fault::Remove { node: 1, peer: 0, lasts: 0 }] {
            let mut ends = ends();
            ends.fault(38_999, 60_000, fault);
            ends.is_good(3);
        }
        let mut waits = fails(call(Route::Talk), LOST);
        waits.see(6, 0, Started(true)).see(7, 0, OutputSent(0)).see(8, 0, Returned(true));
        assert_eq!(waits.broken(3), ["an unexplained Disconnected"], "not yet");
        waits.see(100_000, 0, SendFailed(LOST));
        assert_eq!(waits.broken(3).len(), 2, "nor after a minute, if it hears pings");
        waits.fault(5, 70_000, Fault::Stall { from: 0, to: 1, lasts: 69_995 * MS });
        assert_eq!(waits.broken(3), [""; 0]);
    }

    #[test]
    fn the_silence_of_a_stream_needs_a_fault() {
        let mut tale = fails(call(Route::Talk), LOST);
        assert_eq!(tale.broken(3), ["an unexplained Disconnected"]);
        let stall = Fault::Stall { from: 1, to: 0, lasts: 33_000 * MS };
        let mut before = Tale::new(2);
        let id = before.call(call(Route::Talk));
        before.see(5, id, Issued).see(90_000, id, Ended(Err(LOST)));
        before.fault(5_000, 38_000, stall.clone());
        assert_eq!(before.broken(3), ["an unexplained Disconnected"], "it was over by then");
        tale.fault(5_000, 38_000, stall);
        is_excused(&tale, "no answer to the stream's pings");
    }

    #[test]
    fn a_callers_silence_needs_a_fault() {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true))]);
        tale.see(90_000, 0, Cancelled(CancelReason::CallerSilent));
        assert_eq!(tale.broken(3), ["an unexplained CallerSilent"]);
        tale.fault(30_000, 40_000, Fault::Stall { from: 0, to: 1, lasts: 10_000 * MS });
        is_excused(&tale, "the callee heard no ping");
    }

    #[test]
    fn the_limits_of_a_peer_need_something_that_reaches_them() {
        let error = |limit| {
            let may_have_run = limit == PeerLimit::ResponseBytes;
            CallError::PeerLimit { limit, may_have_run, text: "too much".into() }
        };
        let of = |limit| {
            let mut large = call(Route::Echo);
            large.plan.item_size = 2_000;
            fails(large, error(limit))
        };
        let mut tale = of(PeerLimit::HandlerBytes);
        assert_eq!(tale.broken(3), ["an unexplained PeerLimit"]);
        tale.evidence.limits.handler_bytes = 2_000;
        is_excused(&tale, "limit of the callee");
        let mut tale = of(PeerLimit::ResponseBytes);
        assert_eq!(tale.broken(3), ["an unexplained PeerLimit"]);
        tale.evidence.limits.response_bytes = 2_000;
        is_excused(&tale, "limit of the callee");
        assert_eq!(of(PeerLimit::NodeBytes).broken(3), ["an unexplained PeerLimit"]);
    }

    #[test]
    fn an_answer_over_the_limit_is_an_error() {
        let mut large = call(Route::Echo);
        large.plan.item_size = 1_000;
        let (size, limit, whose) = (1_040, 1_024, LimitOwner::Peer);
        let mut tale = fails(large, CallError::ResponseTooLarge { size, limit, whose });
        assert_eq!(tale.broken(3), ["an unexplained ResponseTooLarge"]);
        tale.evidence.limits.message = 1_024;
        is_excused(&tale, "answer over the limit");
    }

    #[test]
    fn no_handler_runs_for_what_says_that_none_has() {
        let mut tale = Tale::new(2);
        tale.lose(3, 0, 1);
        let id = tale.call(call(Route::Echo));
        tale.see(5, id, Issued).see(5, id, Ended(Err(NOT_RUN)));
        tale.is_good(3);
        tale.see(9, id, Started(true));
        assert_eq!(tale.broken(3), ["a handler ran for a call that says it cannot have"]);
        let flip = Fault::Damage { from: 1, to: 0, damage: Damage::Flip(8) };
        tale.fault(4, 4, flip);
        assert_eq!(
            tale.broken(3),
            ["a handler ran for a call that says it cannot have"],
            "checked"
        );
        tale.evidence.script.secure = true;
        is_excused(&tale, "a byte was changed on a path without CRC");
    }

    #[test]
    fn deadlines_need_a_deadline() {
        is_excused(&fails(call(Route::Echo), EXPIRED), "deadline");
        let rule = "an unexplained DeadlineExceeded";
        assert_eq!(fails(call(Route::Talk), EXPIRED).broken(3), [rule]);
        let mut short = call(Route::Echo);
        short.timeout = Some(MS - 1);
        is_excused(&fails(short, CallError::DeadlineTooShort), "deadline under 1 ms");
        let long = fails(call(Route::Echo), CallError::DeadlineTooShort);
        assert_eq!(long.broken(3), ["an unexplained DeadlineTooShort"]);
    }

    #[test]
    fn refusals_need_a_reason() {
        let refused = || CallError::Refused("no".into());
        is_excused(&fails(call(Route::Missing), refused()), "nobody serves the route");
        let mut tale = fails(call(Route::Echo), refused());
        assert_eq!(tale.broken(3), ["an unexplained Refused"]);
        tale.evidence.limits.incoming_muxes = 1;
        is_excused(&tale, "limit of the callee");
        tale.evidence.limits.incoming_muxes = 2;
        tale.fault(9, 90, Fault::Shutdown { node: 1, grace: MS, back: None });
        is_excused(&tale, "shutdown");
    }

    #[test]
    fn remote_errors_need_a_handler_that_said_so() {
        let mut bad = call(Route::Echo);
        bad.plan.finish = Finish::Panic;
        let text = format!("the handler panicked: {}", failure_text("c"));
        let mut tale = fails(bad.clone(), CallError::Remote(text));
        assert_eq!(tale.broken(3), ["an unexplained Remote"], "it has not failed");
        tale.see(6, 0, Started(true)).see(7, 0, Panicked);
        is_excused(&tale, "the handler failed");
        let mut other = fails(bad, CallError::Remote("out of cheese".into()));
        other.see(6, 0, Started(true)).see(7, 0, Panicked);
        assert_eq!(other.broken(3), ["an unexplained Remote"], "it has said something else");
    }

    #[test]
    fn violations_need_ends_that_disagree_or_bytes_that_were_changed() {
        let over = Violation::OverCapacity { route: None, capacity: 1 };
        let violation = || CallError::PeerViolation(over);
        is_excused(&fails(call(Route::Mismatch), violation()), "the ends disagree on the route");
        let mut tale = fails(call(Route::Talk), violation());
        assert_eq!(tale.broken(3), ["an unexplained PeerViolation"]);
        let mut foreign = fails(call(Route::Talk), violation());
        foreign.evidence.script.nodes[1] = NodeKind::Go;
        is_excused(&foreign, "the peer is not ours");
        tale.fault(1, 1, Fault::Damage { from: 1, to: 0, damage: Damage::Flip(1) });
        is_excused(&tale, "a byte was changed on the way");
    }

    #[test]
    fn cancels_need_somebody_who_cancels() {
        let mut tale = fails(call(Route::Talk), CallError::Cancelled);
        assert_eq!(tale.broken(3), ["an unexplained Cancelled"]);
        let deed = Deed::Cancel("c".into());
        tale.evidence.script.lines.push(Line { moment: Moment::At(9), deed });
        is_excused(&tale, "cancelled by the application");
        let mut half = call(Route::Talk);
        half.input.close = Close::Drop;
        is_excused(&fails(half, CallError::Cancelled), "its sending half was dropped");
        let misread = |form| {
            let mut tale = fails(Call { form, ..call(Route::Talk) }, CallError::Cancelled);
            tale.evidence.script.nodes[1] = NodeKind::Go;
            tale
        };
        assert_eq!(misread(Form::Raw).broken(3), ["an unexplained Cancelled"]);
        is_excused(&misread(Form::Mss), "the peer is not ours");
    }

    #[test]
    fn limits_need_something_that_reaches_them() {
        let mut tale = fails(call(Route::Echo), CallError::Limit(LimitKind::OutgoingMuxes));
        assert_eq!(tale.broken(3), ["an unexplained Limit"]);
        tale.evidence.limits.outgoing_muxes = 1;
        tale.call(call(Route::Echo));
        is_excused(&tale, "limit of the caller");
        let mut large = call(Route::Echo);
        large.size = Some(1_950);
        let whose = LimitOwner::ThisNode;
        let mut tale = fails(large, CallError::TooLarge { size: 2_000, limit: 1_500, whose });
        tale.evidence.limits.message = 1_500;
        tale.is_good(3);
        tale.evidence.limits.message = 16 << 20;
        assert_eq!(tale.broken(3), ["an unexplained TooLarge"]);
    }

    #[test]
    fn shutdowns_and_removals_need_the_fault() {
        let cases = [
            (CallError::ShuttingDown, Fault::Shutdown { node: 0, grace: 0, back: None }),
            (CallError::PeerShuttingDown, Fault::Shutdown { node: 1, grace: 0, back: None }),
            (
                CallError::PeerRemoved { may_have_run: true },
                Fault::Remove { node: 0, peer: 1, lasts: MS },
            ),
        ];
        for (error, fault) in cases {
            let mut tale = fails(call(Route::Echo), error);
            assert_eq!(tale.broken(3).len(), 1, "{fault:?}");
            tale.fault(9, 10, fault);
            tale.is_good(3);
        }
    }

    #[test]
    fn a_send_after_the_end_needs_the_end() {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true))]);
        tale.see(9, 0, SendFailed(CallError::Ended));
        assert_eq!(tale.broken(3), ["an unexplained end of sending"]);
        tale.see(8, 0, Returned(true));
        is_excused(&tale, "sent after the handler has returned");
    }
}
