//! A call or a stream, as a script's line describes it, from its caller's side.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gridmux_core::error::CallError;
use gridmux_core::handle::{PeerHandle, Receiver, Sender};
use gridmux_core::payload::Payload;

use super::beside::beside;
use super::content::Kind;
use super::routes;
use super::stage::Witness;
use crate::history::Sight;
use crate::script::{Call, Close, Route};

/// Makes the call, unless it is dropped before it is over.
pub(crate) async fn perform(witness: Witness, call: Arc<Call>, peer: PeerHandle) {
    if let Some(former) = &call.again_after
        && !has_failed(&witness, former).await
    {
        return;
    }
    let performance = async {
        match call.route.capacities() {
            None => single(&witness, &call, &peer).await,
            Some(capacities) => stream(&witness, &call, &peer, capacities).await,
        }
    };
    unless_dropped(&witness, performance).await;
}

/// Waits for the end of another call of this application; whether it has failed. A call that is
/// dropped meanwhile is never made.
async fn has_failed(witness: &Witness, former: &str) -> bool {
    let (stage, id) = (&witness.stage, witness.id);
    stage.set_running(id, true);
    let failed = poll_fn(|cx| match stage.poll_cancelled(id, cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => stage.poll_failed(former, cx),
    });
    let failed = failed.await;
    stage.set_running(id, false);
    failed
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

async fn single(witness: &Witness, call: &Call, peer: &PeerHandle) {
    let request = witness.payload(Kind::Request, call.size);
    let mut asking = peer.call(routes::single(call.route, call), &request);
    if let Some(nanos) = call.timeout {
        asking = asking.timeout(Duration::from_nanos(nanos));
    }
    if let Some(nanos) = call.wait_link {
        asking = asking.wait_for_link(Duration::from_nanos(nanos));
    }
    witness.sees(Sight::Issued);
    let answer = asking.await;
    let due = answer_due(witness, call, &request);
    witness.sees(Sight::Ended(answer.map(|answer| answer == due)));
}

/// What the handler of a single request answers: the question, unless its plan says otherwise.
pub(crate) fn answer_due(witness: &Witness, call: &Call, request: &Payload) -> Payload {
    match call.plan.item_size {
        0 => request.clone(),
        size => witness.payload(Kind::Result, Some(size)),
    }
}

type Halves = (Option<Sender<Payload>>, Receiver<Payload>);

async fn stream(witness: &Witness, call: &Call, peer: &PeerHandle, capacities: (u32, u32)) {
    witness.sees(Sight::Issued);
    let (sender, receiver) = match open(witness, call, peer, capacities).await {
        Ok(halves) => halves,
        Err(error) => return witness.sees(Sight::Ended(Err(error))),
    };
    witness.sees(Sight::Opened);
    let sending = async {
        if let Some(sender) = sender {
            send(witness, call, sender).await;
        }
    };
    beside(sending, read(witness, call, receiver)).await;
}

async fn open(
    witness: &Witness,
    call: &Call,
    peer: &PeerHandle,
    capacities: (u32, u32),
) -> Result<Halves, CallError> {
    let size = call.size.map(|size| size.max(routes::NAMED)).or(Some(routes::NAMED));
    let request = witness.payload(Kind::Request, size);
    macro_rules! open {
        ($route:expr) => {{
            let mut opening = peer.open($route, &request);
            if let Some(nanos) = call.timeout {
                opening = opening.timeout(Duration::from_nanos(nanos));
            }
            if let Some(nanos) = call.wait_link {
                opening = opening.wait_for_link(Duration::from_nanos(nanos));
            }
            opening.await?
        }};
    }
    Ok(match call.route {
        Route::Drip | Route::Source => (None, open!(routes::items(call.route, capacities))),
        Route::Gulp | Route::Sink => {
            let (sender, receiver) = open!(routes::fold(call.route, capacities)).split();
            (Some(sender), receiver)
        }
        _ => {
            let (sender, receiver) = open!(routes::both(call.route, capacities));
            (Some(sender), receiver)
        }
    })
}

async fn send(witness: &Witness, call: &Call, mut sender: Sender<Payload>) {
    for index in 0..call.input.items {
        witness.rest(call.input.pace).await;
        let item = witness.payload(Kind::Input(index), Some(call.input.size));
        match sender.send(item).await {
            Ok(()) => witness.sees(Sight::Sent(index)),
            Err(error) => {
                witness.sees(Sight::SendFailed(error));
                break;
            }
        }
    }
    match call.input.close {
        Close::Eof => {
            sender.close();
            witness.sees(Sight::Closed);
        }
        Close::Drop => {
            drop(sender);
        }
        Close::Never => {
            // Held until the call is dropped.
            let held = sender;
            std::future::pending::<()>().await;
            drop(held);
        }
    }
}

async fn read(witness: &Witness, call: &Call, mut receiver: Receiver<Payload>) {
    witness.rest(call.reading.after).await;
    let (mut taken, mut result) = (0, None);
    loop {
        if call.reading.stop.is_some_and(|stop| taken >= stop) {
            std::future::pending::<()>().await;
        }
        if taken > 0 {
            witness.rest(call.reading.pace).await;
        }
        match receiver.next().await {
            Some(Ok(item)) if !call.route.gives_items() => {
                result.get_or_insert(item == expected(witness, call, taken));
                taken += 1;
            }
            Some(Ok(item)) => {
                witness.sees(Sight::Taken(taken, item == expected(witness, call, taken)));
                taken += 1;
            }
            Some(Err(error)) => {
                witness.sees(Sight::Ended(Err(error)));
                break;
            }
            None => {
                // Of a stream with a result, the end without one is wrong.
                let good = result.unwrap_or(call.route.gives_items());
                witness.sees(Sight::Ended(Ok(good && (call.route.gives_items() || taken == 1))));
                break;
            }
        }
    }
    if receiver.next().await.is_some() {
        witness.sees(Sight::AfterEnd);
    }
}

/// The how-manieth item that the handler gives.
fn expected(witness: &Witness, call: &Call, index: u32) -> Payload {
    match call.route.gives_items() {
        true => witness.payload(Kind::Output(index), Some(call.plan.item_size)),
        false => witness.payload(Kind::Result, Some(call.plan.item_size)),
    }
}
