//! How a Go node serves.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use gridmux_core::driver::runtime::Clock as _;
use gridmux_core::error::CallError;
use gridmux_core::payload::Payload;
use gridmux_core::wire::{Flags, Header, MessageRef, Op, Pong, SubrouteId, Timestamp};

use super::caller::item_header;
use super::link::Link;
use super::mux::{End, Mux, State};
use super::quirk::Quirk;
use crate::app::{self, Kind, Witness};
use crate::history::{CallId, Sight};
use crate::keyed::mix;
use crate::oracle::failure_text;
use crate::script::{Call, Finish, Route};

/// A caller that is not heard for so long is gone.
const CALLER_SILENCE: Duration = Duration::from_secs(60);
/// How often a handler that never ends looks whether it still may.
const LOOK: Duration = Duration::from_secs(1);
/// Ids from here on belong to no handler.
const HANDLERS: u8 = 80;
const CANCELLED: CallError = CallError::Cancelled;

/// Something has come for a mux of the other node, or opens one.
pub(super) fn hear(link: &Arc<Link>, message: &MessageRef<'_>) {
    let header = &message.header;
    let mux = link.incoming(header.mux);
    match (header.op, mux) {
        (Op::Request, _) => request(link, message),
        (Op::ConnectMux, None) => connect(link, message),
        (Op::MuxClientMsg, Some(mux)) => input(link, &mux, message),
        (Op::MuxClientMsg, None) => link.send_end(None, Op::DisconnectClientMux, header.mux, 0),
        (Op::UnblockSrvMux, Some(mux)) => credited(link, &mux, header),
        (Op::Ping, mux) => ping(link, mux.as_ref(), header),
        (Op::DisconnectServerMux, Some(mux)) => cancelled(link, &mux),
        _ => {}
    }
}

/// Whether a counted message has the number that is due; if not, the mux is over.
fn count(link: &Link, mux: &Arc<Mux>, header: &Header) -> bool {
    let (expected, counts) = mux.with(|state| (state.expects, state.counts(header.seq)));
    if !counts {
        violated(link, mux, &format!("receive sequence: want {expected}, got {}", header.seq));
    }
    counts
}

fn credited(link: &Link, mux: &Arc<Mux>, header: &Header) {
    if count(link, mux, header) {
        mux.with(|state| state.credits += 1);
    }
}

fn cancelled(link: &Link, mux: &Arc<Mux>) {
    if link.let_go(mux) {
        mux.end(End::Failed(CANCELLED));
        link.send_end(None, Op::DisconnectClientMux, mux.id, 0);
    }
}

/// The other node has broken a rule.
fn violated(link: &Link, mux: &Arc<Mux>, text: &str) {
    if link.let_go(mux) {
        mux.end(End::Failed(CANCELLED));
        last_word(link, mux, Some(text));
    }
}

/// The final message, and what goes right behind it.
fn last_word(link: &Link, mux: &Mux, error: Option<&str>) {
    let mut flags = Flags::EOF;
    flags.set(Flags::PAYLOAD_IS_ERR, error.is_some());
    let header = Header { flags, ..Header::new(Op::MuxServerMsg) };
    link.send_counted(mux, header, error.unwrap_or_default().as_bytes());
    link.send_end(None, Op::DisconnectClientMux, mux.id, 0);
}

fn ping(link: &Link, mux: Option<&Arc<Mux>>, header: &Header) {
    let mut pong = Pong { time: Timestamp::ZERO, ..Pong::default() };
    match mux {
        None => pong.not_found = true,
        Some(mux) => {
            mux.with(|state| state.heard = link.here.runtime.instant());
            if !count(link, mux, header) {
                pong.error = Some("receive sequence".into());
            }
        }
    }
    link.send_pong(header, &pong);
}

fn input(link: &Link, mux: &Arc<Mux>, message: &MessageRef<'_>) {
    if !count(link, mux, &message.header) {
        return;
    }
    let is_eof = message.header.flags.contains(Flags::EOF);
    let refused = mux.with(|state| {
        let capacity = state.capacity as usize;
        let wrong = if capacity == 0 {
            Some("did not expect input")
        } else if state.closed {
            Some("input after the end of the input")
        } else if !is_eof && state.queue.len() >= capacity {
            Some("exceeded capacity")
        } else {
            None
        };
        if wrong.is_none() {
            if is_eof {
                state.closed = true;
            } else {
                state.queue.push_back(Bytes::copy_from_slice(message.payload));
            }
        }
        wrong
    });
    match refused {
        Some(text) => violated(link, mux, text),
        None => lift(link, mux),
    }
}

/// Takes an item out of the queue before the handler asks for it, and returns its credit.
fn lift(link: &Link, mux: &Mux) {
    if !link.quirks.has(Quirk::EarlyCredits) {
        return;
    }
    let lifted = mux.with(|state| {
        let lifts = state.hand.is_none() && state.end.is_none();
        state.hand = if lifts { state.queue.pop_front() } else { state.hand.take() };
        lifts && state.hand.is_some()
    });
    if lifted {
        let seq = mux.with(State::next_seq);
        let header = Header { mux: mux.id, seq, ..Header::new(Op::UnblockClMux) };
        link.send_because(Some(Quirk::EarlyCredits), header, None, &[]);
    }
}

// ---- handlers ----

/// The call that a request belongs to, or why it is refused.
fn find(
    link: &Link,
    (handler, subroute): (u8, Option<SubrouteId>),
    payload: &[u8],
    is_stream: bool,
) -> Result<Option<(CallId, Arc<Call>)>, String> {
    let stage = &link.here.stage;
    let calls = stage.calls();
    let is_here = |call: &&Arc<Call>| call.to == link.here.node && call.route.is_served();
    let same = |call: &Call| app::address(call) == (handler, subroute);
    let tiny = calls.iter().position(|call| app::is_tiny(call) && is_here(&call) && same(call));
    if let Some(id) = tiny {
        return Ok(Some((id, calls[id].clone())));
    }
    let of_kind = |call: &&Arc<Call>| call.route.capacities().is_some() == is_stream;
    let Some(served) = calls.iter().filter(is_here).filter(of_kind).find(|call| same(call)) else {
        return Err(match handler {
            0 | HANDLERS.. => "Invalid Handler".into(),
            _ => format!("Invalid Handler for type: {handler}"),
        });
    };
    let id = app::call_of(served.form, payload)
        .and_then(|mark| stage.find(mark))
        .filter(|id| calls.get(*id).is_some_and(|call| same(call)));
    Ok(id.map(|id| (id, calls[id].clone())))
}

fn task_key(link: &Link, mux: u64) -> u64 {
    mix(mux ^ (link.peer as u64) << 48)
}

fn request(link: &Arc<Link>, message: &MessageRef<'_>) {
    let header = message.header;
    let payload = Bytes::copy_from_slice(message.payload);
    let found = match find(link, (header.handler, message.subroute), &payload, false) {
        Ok(found) => found,
        Err(reason) => return link.refuse(&header, &reason),
    };
    let is_nil = message.is_nil();
    let serving = answer(link.clone(), header, payload, is_nil, found);
    link.here.runtime.spawn_keyed(task_key(link, header.mux), serving);
}

async fn answer(
    link: Arc<Link>,
    header: Header,
    payload: Bytes,
    is_nil: bool,
    found: Option<(CallId, Arc<Call>)>,
) {
    let connection = link.connection();
    let begun = link.here.runtime.instant();
    let deadline = Duration::from_millis(header.deadline_ms.into());
    let is_late = || {
        let passed = link.here.runtime.instant().since(begun);
        header.deadline_ms > 0 && passed >= deadline
    };
    let result = match found {
        None => Err("this request belongs to no call".into()),
        Some((id, call)) => {
            let witness = Witness::of_handler(&link.here.stage, &link.here.runtime, id);
            let expected = witness.payload(Kind::Request, app::request_size(&call));
            witness.sees(Sight::Started(*payload == *expected && is_nil == expected.is_nil()));
            witness.rest(if call.route == Route::Inline { 0 } else { call.plan.after }).await;
            if call.plan.finish == Finish::Never {
                while link.connection() == connection && !is_late() {
                    link.here.sleep(LOOK).await;
                }
                return witness.sees(Sight::HandlerDropped);
            }
            if is_late() && !link.quirks.has(Quirk::RunsOn) {
                return witness.sees(Sight::HandlerDropped);
            }
            finish(&witness, &call).map(|()| {
                let differs = call.plan.item_size > 0;
                differs.then(|| app::payload_due(&witness, &call, &Payload::NIL))
            })
        }
    };
    if is_late() || link.connection() != connection {
        return;
    }
    let (mut flags, answer) = match &result {
        Ok(answer) => (Flags::EOF, answer.as_deref().unwrap_or(&payload)),
        Err(text) => (Flags::EOF | Flags::PAYLOAD_IS_ERR, text.as_bytes()),
    };
    flags.set(Flags::PAYLOAD_IS_ZERO, answer.is_empty() && !is_nil);
    let header = Header { mux: header.mux, seq: header.seq, flags, ..Header::new(Op::Response) };
    link.send(header, None, answer);
}

/// How a handler ends, by its plan.
fn finish(witness: &Witness, call: &Call) -> Result<(), String> {
    match call.plan.finish {
        Finish::Ok | Finish::Never => {
            witness.sees(Sight::Returned(true));
            Ok(())
        }
        Finish::Error => {
            witness.sees(Sight::Returned(false));
            Err(failure_text(&call.name))
        }
        Finish::Panic => {
            witness.sees(Sight::Panicked);
            Err(format!("handleMessages: panic recovered: {}", failure_text(&call.name)))
        }
    }
}

fn connect(link: &Arc<Link>, message: &MessageRef<'_>) {
    let header = message.header;
    let found = match find(link, (header.handler, message.subroute), message.payload, true) {
        _ if header.flags.contains(Flags::STATELESS) => {
            return link.refuse(&header, "Stateless streams not supported");
        }
        Ok(found) => found,
        Err(reason) => return link.refuse(&header, &reason),
    };
    let mux = Arc::new(Mux::new(header.mux, header.seq, link.here.runtime.instant()));
    mux.with(|state| state.expects = header.seq.wrapping_add(1));
    if !link.take_up(&mux) {
        return;
    }
    link.send_counted(&mux, Header::new(Op::AckMux), &[]);
    let Some((id, call)) = found else {
        link.let_go(&mux);
        return last_word(link, &mux, Some("this request belongs to no call"));
    };
    let (input, output) = call.route.served_capacities().unwrap_or_default();
    mux.with(|state| {
        state.capacity = input;
        state.credits = output;
        state.closed = header.flags.contains(Flags::EOF);
    });
    let (link, key) = (link.clone(), task_key(link, header.mux));
    let right = {
        let size = app::request_size(&call);
        let witness = Witness::of_caller(&link.here.stage, &link.here.runtime, id);
        *message.payload == *witness.payload(Kind::Request, size)
    };
    let runtime = link.here.runtime.clone();
    runtime.spawn_keyed(key, async move {
        let witness = Witness::of_handler(&link.here.stage, &link.here.runtime, id);
        witness.sees(Sight::Started(right));
        serve(&link, &mux, &witness, &call, header.deadline_ms).await;
    });
}

/// Runs a stream's handler until it ends, is cancelled, or its time is over.
async fn serve(link: &Link, mux: &Arc<Mux>, witness: &Witness, call: &Call, deadline_ms: u32) {
    let mut handler = pin!(handle(link, mux, witness, call));
    let mut watch = pin!(watch(link, mux, deadline_ms));
    let result = poll_fn(|cx| {
        if watch.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        handler.as_mut().poll(cx).map(Some)
    })
    .await;
    let Some(result) = result else { return witness.sees(Sight::HandlerDropped) };
    if link.let_go(mux) {
        last_word(link, mux, result.err().as_deref());
    }
}

/// Ready once the handler is to be dropped.
async fn watch(link: &Link, mux: &Arc<Mux>, deadline_ms: u32) {
    let deadline = Duration::from_millis(deadline_ms.into());
    let is_timed = deadline_ms > 0;
    let ended = async { mux.when(|state| state.end.as_ref().map(drop)).await };
    let expired = async {
        if is_timed && deadline <= CALLER_SILENCE {
            return link.here.sleep(deadline).await;
        }
        let begun = link.here.runtime.instant();
        loop {
            link.here.sleep(LOOK).await;
            let now = link.here.runtime.instant();
            let silent = mux.with(|state| now.since(state.heard)) >= CALLER_SILENCE;
            if silent || (is_timed && now.since(begun) >= deadline) {
                return;
            }
        }
    };
    let (mut ended, mut expired) = (pin!(ended), pin!(expired));
    let by_itself = poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        expired.as_mut().poll(cx).map(|()| true)
    });
    if by_itself.await && link.let_go(mux) {
        match link.quirks.has(Quirk::BareDeadline) {
            true => {
                let quirk = Some(Quirk::BareDeadline);
                link.send_end(quirk, Op::DisconnectClientMux, mux.id, 0);
            }
            false => last_word(link, mux, Some("deadline exceeded")),
        }
    }
}

async fn handle(link: &Link, mux: &Arc<Mux>, witness: &Witness, call: &Call) -> Result<(), String> {
    witness.rest(call.plan.after).await;
    let taking = async {
        if call.route.takes_input() {
            take(link, mux, witness, call).await;
        }
    };
    let giving = async {
        let gives = call.route.gives_items();
        for index in 0..if gives { call.plan.items } else { 0 } {
            if index > 0 {
                witness.rest(call.plan.pace).await;
            }
            if link.quirks.has(Quirk::NilItems) {
                credit(mux).await;
                let seq = mux.with(State::next_seq);
                let header = Header { mux: mux.id, seq, ..Header::new(Op::MuxServerMsg) };
                link.send_because(Some(Quirk::NilItems), header, None, &[]);
            }
            let item = witness.payload(Kind::Output(index), Some(call.plan.item_size));
            give(link, mux, &item).await;
            witness.sees(Sight::OutputSent(index));
        }
    };
    join(taking, giving).await;
    if call.plan.finish == Finish::Never {
        std::future::pending::<()>().await;
    }
    finish(witness, call)?;
    if !call.route.gives_items() {
        give(link, mux, &witness.payload(Kind::Result, Some(call.plan.item_size))).await;
    }
    credit(mux).await;
    Ok(())
}

/// Waits for a credit, and uses it up.
async fn credit(mux: &Mux) {
    let credit = mux.when(|state| {
        let has = state.credits > 0;
        state.credits -= u32::from(has);
        has.then_some(())
    });
    credit.await;
}

async fn give(link: &Link, mux: &Mux, item: &Payload) {
    credit(mux).await;
    link.send_counted(mux, item_header(Op::MuxServerMsg, item), item);
}

async fn take(link: &Link, mux: &Mux, witness: &Witness, call: &Call) {
    let mut index = 0;
    while call.plan.take.is_none_or(|take| index < take) {
        if index > 0 {
            witness.rest(call.plan.take_pace).await;
        }
        let next = mux.when(|state| match state.hand.take() {
            Some(item) => Some(Some((item, false))),
            None => match state.queue.pop_front() {
                Some(item) => Some(Some((item, true))),
                None => state.closed.then_some(None),
            },
        });
        let Some((item, owes)) = next.await else {
            return witness.sees(Sight::InputEnded(Ok(())));
        };
        let expected = witness.payload(Kind::Input(index), Some(call.input.size));
        witness.sees(Sight::InputTaken(index, *item == *expected));
        index += 1;
        if owes {
            link.send_counted(mux, Header::new(Op::UnblockClMux), &[]);
        }
        lift(link, mux);
    }
}
