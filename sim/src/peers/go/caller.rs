//! How a Go node calls.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use gridmux_core::driver::runtime::Clock as _;
use gridmux_core::error::{CallError, Violation};
use gridmux_core::payload::Payload;
use gridmux_core::wire::{Flags, Header, MessageRef, MuxConnectError, Op, Pong};

use super::link::Link;
use super::mux::{End, Mux};
use super::quirk::Quirk;
use crate::app::{self, Kind, Witness};
use crate::history::Sight;
use crate::script::{Call, Close};

const DEFAULT_DEADLINE: u64 = 60_000_000_000;
const PING_INTERVAL: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(30);
const MILLI: u64 = 1_000_000;

const LOST: CallError = CallError::Disconnected { may_have_run: true };
const NOT_SENT: CallError = CallError::Disconnected { may_have_run: false };

/// Makes a call of the script.
pub(crate) async fn perform(link: Arc<Link>, witness: Witness, call: Arc<Call>) {
    let performance = async {
        witness.sees(Sight::Issued);
        let done = match call.route.capacities() {
            None => single(&link, &witness, &call).await,
            Some(capacities) => stream(&link, &witness, &call, capacities).await,
        };
        if let Err(error) = done {
            witness.sees(Sight::Ended(Err(error)));
        }
    };
    app::unless_dropped(&witness, performance).await;
}

/// A mux of ours, as long as its call is open.
struct Open<'a> {
    link: &'a Link,
    mux: Arc<Mux>,
    is_stream: bool,
}

impl<'a> Open<'a> {
    fn new(link: &'a Link, is_stream: bool) -> Result<Self, CallError> {
        let mux = link.issue().ok_or(NOT_SENT)?;
        Ok(Self { link, mux, is_stream })
    }

    /// Gives up what is not over.
    fn give_up(&self) {
        if !self.link.forget(self.mux.id) {
            return;
        }
        if !self.is_stream {
            if !self.link.quirks.has(Quirk::SilentCancel) {
                self.link.send_end(None, Op::DisconnectServerMux, self.mux.id, 0);
            }
            return;
        }
        if self.link.quirks.has(Quirk::DoubleCancel) {
            let seq = self.mux.with(|state| state.sends);
            let quirk = Some(Quirk::DoubleCancel);
            self.link.send_end(quirk, Op::DisconnectServerMux, self.mux.id, seq);
        }
        self.link.send_end(None, Op::DisconnectServerMux, self.mux.id, 0);
    }

    fn fail(&self, error: CallError) {
        self.mux.end(End::Failed(error));
        self.give_up();
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The deadline as it travels, rounded down or up.
fn deadline_ms(down: bool, timeout: Option<u64>) -> Result<u32, CallError> {
    let Some(nanos) = timeout else { return Ok(0) };
    if nanos < MILLI {
        return Err(CallError::DeadlineTooShort);
    }
    let millis = if down { nanos / MILLI } else { nanos.div_ceil(MILLI) };
    Ok(u32::try_from(millis).unwrap_or(u32::MAX))
}

/// The quirk that shows in a deadline, if it does.
fn rounded(timeout: Option<u64>) -> Option<Quirk> {
    timeout.is_some_and(|nanos| nanos % MILLI != 0).then_some(Quirk::RoundsDown)
}

async fn single(link: &Link, witness: &Witness, call: &Call) -> Result<(), CallError> {
    let timeout = call.timeout.unwrap_or(DEFAULT_DEADLINE);
    let deadline_ms = deadline_ms(link.quirks.has(Quirk::RoundsDown), Some(timeout))?;
    let (handler, subroute) = app::address(call);
    let request = witness.payload(Kind::Request, app::request_size(call));
    let open = Open::new(link, false)?;
    let is_empty = !request.is_nil() && request.is_empty();
    let mut flags = Flags::EOF;
    flags.set(Flags::PAYLOAD_IS_ZERO, is_empty && !link.quirks.has(Quirk::NeverZero));
    let header =
        Header { mux: open.mux.id, handler, deadline_ms, flags, ..Header::new(Op::Request) };
    let small = (open.mux.id == 1).then_some(Quirk::SmallIds);
    let quirk = is_empty.then_some(Quirk::NeverZero).or(rounded(Some(timeout))).or(small);
    link.send_because(quirk, header, subroute, &request);
    let answered = open.mux.when(|state| state.end.clone());
    match link.here.within(Duration::from_nanos(timeout), answered).await {
        Some(End::Done(answer)) => {
            let due = app::payload_due(witness, call, &request);
            witness.sees(Sight::Ended(Ok(*answer == *due)));
            Ok(())
        }
        Some(End::Failed(error)) => Err(error),
        None => Err(CallError::DeadlineExceeded { may_have_run: true }),
    }
}

async fn stream(
    link: &Link,
    witness: &Witness,
    call: &Call,
    (input, _): (u32, u32),
) -> Result<(), CallError> {
    let deadline_ms = deadline_ms(link.quirks.has(Quirk::RoundsDown), call.timeout)?;
    let (handler, subroute) = app::address(call);
    let request = witness.payload(Kind::Request, app::request_size(call));
    let open = Open::new(link, true)?;
    open.mux.with(|state| {
        state.credits = input;
        state.sends = 1;
    });
    let flags = if input == 0 { Flags::EOF } else { Flags::empty() };
    let header =
        Header { mux: open.mux.id, handler, deadline_ms, flags, ..Header::new(Op::ConnectMux) };
    link.send_because(rounded(call.timeout), header, subroute, &request);
    witness.sees(Sight::Opened);
    let sending = async {
        if input > 0 {
            send(&open, witness, call).await;
        }
    };
    let performance = join(sending, read(&open, witness, call));
    beside(performance, watch(&open, call.timeout)).await;
    Ok(())
}

/// Runs `main` to its end, and `aside` as long.
async fn beside(main: impl Future, aside: impl Future<Output = ()>) {
    let (mut main, mut aside) = (pin!(main), pin!(aside));
    let mut over = false;
    poll_fn(|cx| {
        over = over || aside.as_mut().poll(cx).is_ready();
        match main.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// Pings, and ends the call when its time is over or nobody answers.
async fn watch(open: &Open<'_>, timeout: Option<u64>) {
    let here = &open.link.here;
    let begun = here.runtime.instant();
    let timeout = timeout.map(Duration::from_nanos);
    let pings = timeout.is_none_or(|timeout| timeout > PING_INTERVAL);
    loop {
        let left = timeout.map(|t| t.saturating_sub(here.runtime.instant().since(begun)));
        if left == Some(Duration::ZERO) {
            return open.fail(CallError::DeadlineExceeded { may_have_run: true });
        }
        let wait = match (left, pings) {
            (Some(left), true) => left.min(PING_INTERVAL),
            (Some(left), false) => left,
            (None, _) => PING_INTERVAL,
        };
        here.sleep(wait).await;
        if open.mux.has_ended() {
            return;
        }
        if pings {
            let silent = open.mux.with(|state| here.runtime.instant().since(state.heard));
            if silent > SILENCE {
                return open.fail(LOST);
            }
            open.link.send_counted(&open.mux, Header::new(Op::Ping), &[]);
        }
    }
}

async fn send(open: &Open<'_>, witness: &Witness, call: &Call) {
    for index in 0..call.input.items {
        witness.rest(call.input.pace).await;
        let may_send =
            open.mux.when(|state| match (&state.end, state.acked && state.credits > 0) {
                (Some(_), _) => Some(false),
                (None, true) => {
                    state.credits -= 1;
                    Some(true)
                }
                (None, false) => None,
            });
        if !may_send.await {
            witness.sees(Sight::SendFailed(LOST));
            return;
        }
        let item = witness.payload(Kind::Input(index), Some(call.input.size));
        open.link.send_counted(&open.mux, item_header(Op::MuxClientMsg, &item), &item);
        witness.sees(Sight::Sent(index));
    }
    match call.input.close {
        Close::Eof => {
            if !open.mux.has_ended() {
                let flags = Flags::EOF;
                let eof = Header { flags, ..Header::new(Op::MuxClientMsg) };
                open.link.send_counted(&open.mux, eof, &[]);
            }
            witness.sees(Sight::Closed);
        }
        Close::Drop => {
            open.fail(CallError::Cancelled);
            witness.sees(Sight::Dropped);
        }
        Close::Never => std::future::pending().await,
    }
}

/// The header of an item; that it is empty rather than nil is said.
pub(super) fn item_header(op: Op, item: &Payload) -> Header {
    let zero = !item.is_nil() && item.is_empty();
    let flags = if zero { Flags::PAYLOAD_IS_ZERO } else { Flags::empty() };
    Header { flags, ..Header::new(op) }
}

async fn read(open: &Open<'_>, witness: &Witness, call: &Call) {
    witness.rest(call.reading.after).await;
    let mut taken = 0;
    loop {
        if call.reading.stop.is_some_and(|stop| taken >= stop) {
            std::future::pending::<()>().await;
        }
        if taken > 0 {
            witness.rest(call.reading.pace).await;
        }
        let next = open.mux.when(|state| match state.queue.pop_front() {
            Some(item) => Some(Ok((item, state.end.is_none()))),
            None => state.end.clone().map(Err),
        });
        match next.await {
            Ok((item, goes_on)) => {
                let kind = match call.route.gives_items() {
                    true => Kind::Output(taken),
                    false => Kind::Result,
                };
                let expected = witness.payload(kind, Some(call.plan.item_size));
                witness.sees(Sight::Taken(taken, *item == *expected));
                taken += 1;
                if goes_on {
                    open.link.send_counted(&open.mux, Header::new(Op::UnblockSrvMux), &[]);
                }
            }
            Err(End::Done(_)) => return witness.sees(Sight::Ended(Ok(true))),
            Err(End::Failed(error)) => return witness.sees(Sight::Ended(Err(error))),
        }
    }
}

/// Something has come for a mux of ours.
pub(super) fn hear(link: &Link, message: &MessageRef<'_>) {
    let header = &message.header;
    let Some(mux) = link.outgoing(header.mux) else { return hear_unknown(link, message) };
    mux.with(|state| state.heard = link.here.runtime.instant());
    match header.op {
        Op::Response => {
            let end = match message.error_text() {
                Some(text) => End::Failed(CallError::Remote(text.into())),
                None => End::Done(Bytes::copy_from_slice(message.payload)),
            };
            end_at(link, &mux, end);
        }
        Op::MuxConnectError => {
            let reason = MuxConnectError::decode(message.payload).unwrap_or_default().error;
            end_at(link, &mux, End::Failed(CallError::Refused(reason)));
        }
        Op::DisconnectClientMux => {
            let error = message.error_text().map(|text| CallError::Remote(text.into()));
            end_at(link, &mux, End::Failed(error.unwrap_or(LOST)));
        }
        Op::Pong => {
            let pong = Pong::decode(message.payload).unwrap_or_default();
            if let Some(error) = pong.error {
                end_at(link, &mux, End::Failed(CallError::Remote(error)));
            } else if pong.not_found {
                end_at(link, &mux, End::Failed(LOST));
            }
        }
        _ => hear_counted(link, &mux, message),
    }
}

/// Acks, credits and items: each must have the number that is due.
fn hear_counted(link: &Link, mux: &Arc<Mux>, message: &MessageRef<'_>) {
    let header = &message.header;
    if header.op == Op::MuxServerMsg && message.is_nil() && !header.flags.contains(Flags::EOF) {
        // Not an item, and not counted: the next one is out of sequence.
        return;
    }
    let (expected, counts) = mux.with(|state| (state.expects, state.counts(header.seq)));
    if !counts {
        let violation = Violation::OutOfSequence { expected, received: header.seq };
        end_at(link, mux, End::Failed(CallError::PeerViolation(violation)));
        link.send_end(None, Op::DisconnectServerMux, mux.id, 0);
        return;
    }
    match header.op {
        Op::AckMux => mux.with(|state| state.acked = true),
        Op::UnblockClMux => mux.with(|state| state.credits += 1),
        _ if header.flags.contains(Flags::EOF) => {
            let end = match message.error_text() {
                Some(text) => End::Failed(CallError::Remote(text.into())),
                None => End::Done(Bytes::new()),
            };
            end_at(link, mux, end);
        }
        _ => mux.with(|state| state.queue.push_back(Bytes::copy_from_slice(message.payload))),
    }
}

/// The other side has ended a mux of ours.
fn end_at(link: &Link, mux: &Arc<Mux>, end: End) {
    if !link.forget(mux.id) {
        return;
    }
    let loses = matches!(end, End::Failed(_)) && link.quirks.has(Quirk::LosesItems);
    mux.with(|state| {
        if loses {
            state.queue.clear();
        }
        state.end.get_or_insert(end);
    });
}

/// What the callee says of a mux that is over is answered, in the wrong direction.
fn hear_unknown(link: &Link, message: &MessageRef<'_>) {
    let Header { op, flags, mux, .. } = message.header;
    let answered = match op {
        Op::AckMux | Op::Pong => true,
        Op::MuxServerMsg => !flags.contains(Flags::EOF),
        _ => false,
    };
    if answered && link.quirks.has(Quirk::WrongDirection) {
        link.send_end(Some(Quirk::WrongDirection), Op::DisconnectClientMux, mux, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{CallError, MILLI, deadline_ms};

    #[test]
    fn deadlines_are_rounded_down_unless_that_quirk_is_off() {
        assert_eq!(deadline_ms(true, Some(5 * MILLI + 1)), Ok(5));
        assert_eq!(deadline_ms(false, Some(5 * MILLI + 1)), Ok(6));
        assert_eq!(deadline_ms(true, Some(MILLI)), Ok(1));
        assert_eq!(deadline_ms(true, Some(MILLI - 1)), Err(CallError::DeadlineTooShort));
        assert_eq!(deadline_ms(true, None), Ok(0));
    }
}
