//! A call or a stream, as a script's line describes it, from its caller's side.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gridmux_core::error::CallError;
use gridmux_core::handle::{ClientCall, PeerHandle, Receiver, Sender, StreamRoute};
use gridmux_core::payload::Payload;
use gridmux_core::route::ServerStream;

use super::beside::beside;
use super::content::Kind;
use super::flow::{Giving, Taking, would_wait};
use super::forms::{Content, List, with_form};
use super::routes;
use super::stage::Witness;
use crate::history::Sight;
use crate::script::{Call, Close, Route, Way};

/// Makes the call, unless it is dropped before it is over.
pub(crate) async fn perform(witness: Witness, call: Arc<Call>, peer: PeerHandle) {
    if let Some(former) = &call.again_after
        && !has_failed(&witness, former).await
    {
        return;
    }
    // Some wait for the link before they call.
    let mut linked = Ok(());
    if let (Way::Try, Some(nanos)) = (call.way, call.wait_link) {
        let waiting = peer.connected(Duration::from_nanos(nanos));
        let Some(waited) = unless_cancelled(&witness, waiting).await else { return };
        linked = waited;
    }
    with_form!(call.form, T => {
        let performance = async {
            witness.sees(Sight::Issued);
            match linked {
                Ok(()) => make::<T>(&witness, &call, &peer).await,
                Err(error) => witness.sees(Sight::Ended(Err(error))),
            }
        };
        unless_dropped(&witness, performance).await;
    });
}

async fn make<T: Content>(witness: &Witness, call: &Call, peer: &PeerHandle) {
    match call.route.capacities() {
        None => single::<T>(witness, call, peer).await,
        Some(capacities) => stream::<T>(witness, call, peer, capacities).await,
    }
}

/// Waits for the end of another call of this application; whether it has failed.
async fn has_failed(witness: &Witness, former: &str) -> bool {
    let failed = poll_fn(|cx| witness.stage.poll_failed(former, cx));
    unless_cancelled(witness, failed).await == Some(true)
}

/// What a call waits for before it is made; `None` if it is dropped meanwhile, and never made.
async fn unless_cancelled<T>(witness: &Witness, waiting: impl Future<Output = T>) -> Option<T> {
    let (stage, id) = (&witness.stage, witness.id);
    stage.set_running(id, true);
    let mut waiting = pin!(waiting);
    let waited = poll_fn(|cx| match stage.poll_cancelled(id, cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => waiting.as_mut().poll(cx).map(Some),
    });
    let waited = waited.await;
    stage.set_running(id, false);
    waited
}

/// Has a call performed, unless its application drops it before it is over.
pub(crate) async fn unless_dropped(witness: &Witness, performance: impl Future<Output = ()>) {
    let (stage, id) = (witness.stage.clone(), witness.id);
    if stage.is_cancelled(id) {
        // Dropped before it was polled: it was never made.
        return;
    }
    stage.set_running(id, true);
    let dropped = {
        let mut performance = pin!(performance);
        poll_fn(|cx| {
            if stage.poll_cancelled(id, cx).is_ready() {
                return Poll::Ready(true);
            }
            performance.as_mut().poll(cx).map(|()| false)
        })
        .await
    };
    if dropped {
        witness.sees(Sight::Dropped);
    }
    stage.set_running(id, false);
}

/// Sets what a call says of its start; `no_wait` if it is not to wait for anything.
macro_rules! started {
    ($start:expr, $call:ident, $no_wait:expr) => {{
        let mut start = $start;
        if let Some(nanos) = $call.timeout {
            start = start.timeout(Duration::from_nanos(nanos));
        }
        match $call.wait_link {
            _ if $no_wait => start.no_wait(),
            Some(nanos) if $call.way != Way::Try => {
                start.wait_for_link(Duration::from_nanos(nanos))
            }
            _ => start,
        }
    }};
}

async fn single<T: Content>(witness: &Witness, call: &Call, peer: &PeerHandle) {
    let request: T = witness.content(Kind::Request, routes::request_size(call));
    let ask = |no_wait: bool| started!(peer.call(routes::single(call), &request), call, no_wait);
    let mut answer = ask(call.way == Way::Try).await;
    if answer.as_ref().is_err_and(would_wait) {
        answer = ask(false).await;
    }
    let due = answer_due(witness, call, &request);
    witness.sees(Sight::Ended(answer.map(|answer| answer == due)));
}

/// What the handler of a single request answers: the question, unless its plan says otherwise.
pub(super) fn answer_due<T: Content>(witness: &Witness, call: &Call, request: &T) -> T {
    match call.plan.item_size {
        0 => request.clone(),
        size => witness.content(Kind::Result, Some(size)),
    }
}

/// The same as it travels.
pub(crate) fn payload_due(witness: &Witness, call: &Call, request: &Payload) -> Payload {
    match call.plan.item_size {
        0 => request.clone(),
        size => witness.payload(Kind::Result, Some(size)),
    }
}

/// What a caller holds of a stream.
enum Held<T: Content> {
    Receiver(Receiver<T>),
    Halves(Sender<T>, Receiver<T>),
    Whole(ClientCall<T, T>),
}

async fn stream<T: Content>(
    witness: &Witness,
    call: &Call,
    peer: &PeerHandle,
    capacities: (u32, u32),
) {
    if call.route == Route::MistypedItems {
        return mistyped(witness, call, peer, capacities).await;
    }
    let held = match open::<T>(witness, call, peer, capacities).await {
        Ok(held) => held,
        Err(error) => return witness.sees(Sight::Ended(Err(error))),
    };
    witness.sees(Sight::Opened);
    match held {
        Held::Receiver(receiver) => read(witness, call, receiver).await,
        Held::Halves(sender, receiver) => {
            beside(send(witness, call, sender), read(witness, call, receiver)).await;
        }
        Held::Whole(whole) => finish(witness, call, whole).await,
    }
}

/// Takes items for what they are not.
async fn mistyped(witness: &Witness, call: &Call, peer: &PeerHandle, capacities: (u32, u32)) {
    let request: Payload = witness.content(Kind::Request, routes::request_size(call));
    let route = ServerStream::<Payload, List>::new(30, "mistyped-items").out_capacity(capacities.1);
    match opened(call, peer, route, &request).await {
        Ok(receiver) => {
            witness.sees(Sight::Opened);
            read(witness, call, receiver).await;
        }
        Err(error) => witness.sees(Sight::Ended(Err(error))),
    }
}

async fn open<T: Content>(
    witness: &Witness,
    call: &Call,
    peer: &PeerHandle,
    capacities: (u32, u32),
) -> Result<Held<T>, CallError> {
    let request: T = witness.content(Kind::Request, routes::request_size(call));
    Ok(match call.route {
        Route::Drip | Route::Source => {
            let route = routes::items(call.route, capacities);
            Held::Receiver(opened(call, peer, route, &request).await?)
        }
        Route::Gulp | Route::Sink => {
            let route = routes::fold(call.route, capacities);
            let whole: ClientCall<T, T> = opened(call, peer, route, &request).await?;
            if call.way == Way::Try && call.input.close == Close::Eof {
                return Ok(Held::Whole(whole));
            }
            let (sender, receiver) = whole.split();
            Held::Halves(sender, receiver)
        }
        _ => {
            let route = routes::both(call.route, capacities);
            let (sender, receiver) = opened(call, peer, route, &request).await?;
            Held::Halves(sender, receiver)
        }
    })
}

async fn opened<R: StreamRoute>(
    call: &Call,
    peer: &PeerHandle,
    route: R,
    request: &R::Request,
) -> Result<R::Halves, CallError> {
    let open = |no_wait: bool| started!(peer.open(route, request), call, no_wait);
    let first = open(call.way == Way::Try).await;
    match first {
        Err(error) if would_wait(&error) => open(false).await,
        first => first,
    }
}

async fn send<T: Content>(witness: &Witness, call: &Call, sender: Sender<T>) {
    let mut giving = Giving::new(call.way, sender);
    let mut failed = false;
    for index in 0..call.input.items {
        witness.rest(call.input.pace).await;
        let size = routes::item_size(call, call.input.size);
        match giving.give(witness.content(Kind::Input(index), Some(size))).await {
            Ok(()) => witness.sees(Sight::Sent(index)),
            Err(error) => {
                witness.sees(Sight::SendFailed(error));
                failed = true;
                break;
            }
        }
    }
    match call.input.close {
        Close::Eof => match giving.finish().await {
            Ok(()) => witness.sees(Sight::Closed),
            // A writer of bytes fails for good.
            Err(_) if failed => {}
            Err(error) => witness.sees(Sight::SendFailed(error)),
        },
        Close::Drop => {
            drop(giving);
        }
        Close::Never => {
            // Held until the call is dropped.
            let held = giving;
            std::future::pending::<()>().await;
            drop(held);
        }
    }
}

/// Sends all, ends the input and waits for the result, on the one handle that there is for it.
async fn finish<T: Content>(witness: &Witness, call: &Call, mut whole: ClientCall<T, T>) {
    for index in 0..call.input.items {
        witness.rest(call.input.pace).await;
        let item = witness.content(Kind::Input(index), Some(call.input.size));
        let mut sent = whole.try_send(&item);
        if sent.as_ref().is_err_and(would_wait) {
            sent = whole.send(item).await;
        }
        match sent {
            Ok(()) => witness.sees(Sight::Sent(index)),
            Err(error) => {
                witness.sees(Sight::SendFailed(error));
                break;
            }
        }
    }
    witness.sees(Sight::Closed);
    let result = whole.finish().await;
    witness.sees(Sight::Ended(result.map(|result| result == expected(witness, call, 0))));
}

async fn read<T: Content>(witness: &Witness, call: &Call, receiver: Receiver<T>) {
    witness.rest(call.reading.after).await;
    // A result comes whole.
    let way = match call.way {
        Way::Bytes if !call.route.gives_items() => Way::Items,
        way => way,
    };
    let mut taking = Taking::new(way, receiver);
    let size = routes::item_size(call, call.plan.item_size);
    let (mut taken, mut result) = (0, None);
    let error = loop {
        if call.reading.stop.is_some_and(|stop| taken >= stop) {
            std::future::pending::<()>().await;
        }
        if taken > 0 {
            witness.rest(call.reading.pace).await;
        }
        match taking.take(size).await {
            Some(Ok(item)) if !call.route.gives_items() => {
                result.get_or_insert(item == expected(witness, call, taken));
                taken += 1;
            }
            Some(Ok(item)) => {
                witness.sees(Sight::Taken(taken, item == expected(witness, call, taken)));
                taken += 1;
            }
            Some(Err(error)) => {
                witness.sees(Sight::Ended(Err(error.clone())));
                break Some(error);
            }
            None => {
                // Of a stream with a result, the end without one is wrong.
                let good = result.unwrap_or(call.route.gives_items());
                witness.sees(Sight::Ended(Ok(good && (call.route.gives_items() || taken == 1))));
                break None;
            }
        }
    };
    if !taking.is_over(error.as_ref()).await {
        witness.sees(Sight::AfterEnd);
    }
}

/// The how-manieth item that the handler gives.
fn expected<T: Content>(witness: &Witness, call: &Call, index: u32) -> T {
    let kind = match call.route.gives_items() {
        true => Kind::Output(index),
        false => Kind::Result,
    };
    witness.content(kind, Some(routes::item_size(call, call.plan.item_size)))
}
