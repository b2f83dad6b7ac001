//! Calls, made on the machine of a peer.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use gridmux_core::driver::time::timeout;
use gridmux_core::error::CallError;
use gridmux_core::mux::{OutgoingKey, Received, Refusal, Target};
use gridmux_core::outbox::Data;
use gridmux_core::peer::Peer;
use gridmux_core::time::Instant;
use gridmux_core::timings::Timings;

use super::Looped;
use crate::app::{self, Kind, Witness};
use crate::history::Sight;
use crate::script::{Call, Close};

const REMOVED: CallError = CallError::PeerRemoved { may_have_run: true };
const LATE: CallError = CallError::DeadlineExceeded { may_have_run: false };
/// No deadline is shorter.
const SHORTEST: Duration = Duration::from_millis(1);

/// Makes a call of the script.
pub(super) async fn perform(looped: Arc<Looped>, witness: Witness, call: Arc<Call>) {
    let performance = async {
        witness.sees(Sight::Issued);
        let (handler, subroute) = app::address(&call);
        let target = Target { handler, subroute };
        let made = match call.route.capacities() {
            None => single(&looped, &witness, &call, target).await,
            Some(capacities) => stream(&looped, &witness, &call, target, capacities).await,
        };
        if let Err(error) = made {
            witness.sees(Sight::Ended(Err(error)));
        }
    };
    app::unless_dropped(&witness, performance).await;
}

/// A call that the machine holds until it is released.
struct Open<'a> {
    looped: &'a Looped,
    peer: usize,
    key: OutgoingKey,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.looped.with_peer(self.peer, |peer, now| peer.release(now, self.key));
    }
}

/// Has the machine start a call, as soon as there are a link, if the call waits for it, and room
/// in the queue.
async fn start<'a>(
    looped: &'a Looped,
    call: &Call,
    mut act: impl FnMut(&mut Peer, Instant, Option<Duration>) -> Result<OutgoingKey, Refusal>,
) -> Result<Open<'a>, CallError> {
    let begun = looped.now().instant;
    let limit = match (call.timeout, call.route.capacities()) {
        (None, None) => Some(Timings::default().default_deadline),
        (timeout, _) => timeout.map(Duration::from_nanos),
    };
    let patience = limit.unwrap_or(Duration::MAX);
    if let Some(wait) = call.wait_link.map(Duration::from_nanos) {
        let linked = looped.when(call.to, |peer, _| {
            let lacks_link =
                |peer: &Peer| matches!(peer.check_open(), Err(CallError::Disconnected { .. }));
            (!peer.is_some_and(|peer| lacks_link(peer))).then_some(())
        });
        // The machine itself says what is wrong if there is none.
        let _ = timeout(&looped.site.runtime, wait.min(patience), linked).await;
    }
    let started = looped.when(call.to, |peer, now| {
        let Some(peer) = peer else { return Some(Err(REMOVED)) };
        let passed = now.instant.since(begun);
        let left = limit.map(|limit| limit.saturating_sub(passed));
        if !passed.is_zero() && left.is_some_and(|left| left < SHORTEST) {
            return Some(Err(LATE));
        }
        match act(peer, now.instant, left) {
            Ok(key) => Some(Ok(key)),
            Err(Refusal::Failed(error)) => Some(Err(error)),
            Err(Refusal::QueueFull | Refusal::NoCredit) => None,
        }
    });
    let left = patience.saturating_sub(looped.now().instant.since(begun));
    let started = match patience {
        Duration::MAX => started.await,
        _ => timeout(&looped.site.runtime, left, started).await.unwrap_or(Err(LATE)),
    };
    Ok(Open { looped, peer: call.to, key: started? })
}

async fn single(
    looped: &Looped,
    witness: &Witness,
    call: &Call,
    target: Target,
) -> Result<(), CallError> {
    let request = witness.payload(Kind::Request, app::request_size(call));
    let open = start(looped, call, |peer, now, left| {
        peer.request(now, target, Data::from(request.clone()), left)
    });
    let open = open.await?;
    let answered = looped.when(call.to, |peer, _| match peer {
        Some(peer) if peer.holds(open.key) => peer.take_response(open.key),
        _ => Some(Err(REMOVED)),
    });
    let answer = answered.await?;
    let due = app::payload_due(witness, call, &request);
    witness.sees(Sight::Ended(Ok(answer == due)));
    Ok(())
}

async fn stream(
    looped: &Looped,
    witness: &Witness,
    call: &Call,
    target: Target,
    capacities: (u32, u32),
) -> Result<(), CallError> {
    let request = witness.payload(Kind::Request, app::request_size(call));
    let open = start(looped, call, |peer, now, left| {
        peer.open(now, target, capacities, Data::from(request.clone()), left)
    });
    let open = open.await?;
    witness.sees(Sight::Opened);
    let sending = async {
        if call.route.takes_input() {
            send(&open, witness, call).await;
        }
    };
    join(sending, read(&open, witness, call)).await;
    Ok(())
}

async fn send(open: &Open<'_>, witness: &Witness, call: &Call) {
    let Open { looped, peer, key } = *open;
    for index in 0..call.input.items {
        witness.rest(call.input.pace).await;
        let item = witness.payload(Kind::Input(index), Some(call.input.size));
        let sent = looped.when(peer, |peer, _| {
            let Some(peer) = peer else { return Some(Err(REMOVED)) };
            // The look ahead is of no use but to those who have the item made then.
            match peer.check_send(key).and_then(|()| peer.send(key, Data::from(item.clone()))) {
                Ok(()) => Some(Ok(())),
                Err(Refusal::Failed(error)) => Some(Err(error)),
                Err(Refusal::QueueFull | Refusal::NoCredit) => None,
            }
        });
        match sent.await {
            Ok(()) => witness.sees(Sight::Sent(index)),
            Err(error) => {
                witness.sees(Sight::SendFailed(error));
                break;
            }
        }
    }
    match call.input.close {
        Close::Eof => {
            looped.with_peer(peer, |peer, _| peer.close_input(key));
            witness.sees(Sight::Closed);
        }
        Close::Drop => looped.with_peer(peer, |peer, now| peer.cancel(now, key)),
        Close::Never => std::future::pending().await,
    }
}

async fn read(open: &Open<'_>, witness: &Witness, call: &Call) {
    let Open { looped, peer, key } = *open;
    witness.rest(call.reading.after).await;
    let (mut taken, mut result) = (0, None);
    loop {
        if call.reading.stop.is_some_and(|stop| taken >= stop) {
            std::future::pending::<()>().await;
        }
        if taken > 0 {
            witness.rest(call.reading.pace).await;
        }
        let received = looped.when(peer, |peer, _| {
            let Some(peer) = peer else { return Some(Received::Failed(REMOVED)) };
            Some(peer.receive(key)).filter(|received| *received != Received::Pending)
        });
        match received.await {
            Received::Item(item) if call.route.gives_items() => {
                let expected = witness.payload(Kind::Output(taken), Some(call.plan.item_size));
                witness.sees(Sight::Taken(taken, *item == *expected));
                taken += 1;
            }
            Received::Item(item) => {
                let expected = witness.payload(Kind::Result, Some(call.plan.item_size));
                result.get_or_insert(*item == *expected);
                taken += 1;
            }
            Received::Failed(error) => return witness.sees(Sight::Ended(Err(error))),
            Received::End | Received::Pending => {
                // Of a stream with a result, the end without one is wrong.
                let good = result.unwrap_or(call.route.gives_items());
                let whole = call.route.gives_items() || taken == 1;
                return witness.sees(Sight::Ended(Ok(good && whole)));
            }
        }
    }
}
