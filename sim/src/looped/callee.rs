//! Calls, served on the machine of a peer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::future::join;
use gridmux_core::error::CancelReason;
use gridmux_core::event::IncomingCall;
use gridmux_core::mux::{IncomingKey, Received, Refusal};
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;

use super::Looped;
use crate::app::{self, Kind, Witness};
use crate::history::{CallId, Sight};
use crate::oracle::failure_text;
use crate::script::{Call, Finish, Route};

/// Serves a call of a peer.
pub(super) async fn serve(looped: Arc<Looped>, peer: usize, incoming: IncomingCall) {
    let served = (peer, incoming.key);
    handle(&looped, peer, incoming).await;
    looped.lock().served.remove(&served);
}

/// Does as the plan of the call says, and tells the machine how that ended.
async fn handle(looped: &Looped, peer: usize, incoming: IncomingCall) {
    let IncomingCall { key, payload, .. } = &incoming;
    let Some((id, call)) = find(looped, &incoming) else {
        let text = "this request belongs to no call";
        return looped.with_peer(peer, |peer, now| {
            peer.respond(now, *key, Err(text));
            peer.finish(now, *key, Err(text.into()));
        });
    };
    let witness = Witness::of_handler(&looped.site.stage, &looped.site.runtime, id);
    let good = *payload == witness.payload(Kind::Request, app::request_size(&call));
    witness.sees(Sight::Started(good));
    let serving = Serving { looped, peer, key: *key, witness: &witness, call: &call };
    let end = serving.unless_cancelled(serving.handle()).await;
    let (Some(end), true) = (end, serving.is_live()) else {
        return looped.with_peer(peer, |peer, now| peer.handler_gone(now, *key));
    };
    looped.with_peer(peer, |peer, now| match (call.route.capacities(), &end) {
        (None, Ok(())) => {
            let answer = app::payload_due(&witness, &call, payload);
            peer.respond(now, *key, Ok(Data::from(answer)));
        }
        (None, Err(text)) => peer.respond(now, *key, Err(text)),
        (Some(_), _) => peer.finish(now, *key, end),
    });
}

/// The call that a request belongs to.
fn find(looped: &Looped, incoming: &IncomingCall) -> Option<(CallId, Arc<Call>)> {
    let node = looped.lock().grid.node().clone();
    let route = node.routes.get(incoming.route);
    let calls = looped.site.stage.calls();
    let same = |call: &Call| {
        let here = call.to == looped.site.node && call.route.is_served();
        here && app::address(call) == (route.handler, route.subroute)
    };
    let first = calls.iter().position(|call| same(call))?;
    let id = match app::is_tiny(&calls[first]) {
        true => first,
        false => {
            let mark = app::call_of(calls[first].form, &incoming.payload)?;
            looped.site.stage.find(mark)?
        }
    };
    calls.get(id).filter(|call| same(call)).map(|call| (id, call.clone()))
}

struct Serving<'a> {
    looped: &'a Looped,
    peer: usize,
    key: IncomingKey,
    witness: &'a Witness,
    call: &'a Call,
}

impl Serving<'_> {
    fn is_live(&self) -> bool {
        let state = self.looped.lock();
        let peer = state.grid.peer(&self.looped.site.names[self.peer]);
        peer.is_some_and(|peer| peer.is_live(self.key))
    }

    /// Why it was cancelled, once it was.
    async fn cancelled(&self) -> CancelReason {
        poll_fn(|cx| {
            let mut state = self.looped.lock();
            if let Some(Some(reason)) = state.served.get(&(self.peer, self.key)) {
                return Poll::Ready(*reason);
            }
            if state.grid.peer(&self.looped.site.names[self.peer]).is_none() {
                return Poll::Ready(CancelReason::Disconnected);
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Runs the handler until it ends; `None` if it was dropped before.
    async fn unless_cancelled(
        &self,
        handler: impl Future<Output = Result<(), String>>,
    ) -> Option<Result<(), String>> {
        let (mut handler, mut cancelled) = (pin!(handler), pin!(self.cancelled()));
        let mut told = false;
        poll_fn(|cx| {
            if !told && let Poll::Ready(reason) = cancelled.as_mut().poll(cx) {
                told = true;
                self.witness.sees(Sight::Cancelled(reason));
                if self.call.route != Route::RunToEnd {
                    self.witness.sees(Sight::HandlerDropped);
                    return Poll::Ready(None);
                }
            }
            if told && self.call.plan.finish == Finish::Never {
                self.witness.sees(Sight::Returned(true));
                return Poll::Ready(None);
            }
            handler.as_mut().poll(cx).map(Some)
        })
        .await
    }

    async fn handle(&self) -> Result<(), String> {
        let (call, witness) = (self.call, self.witness);
        if call.route != Route::Inline {
            witness.rest(call.plan.after).await;
        }
        let (takes, gives) = match call.route.served_capacities() {
            Some((input, _)) => (input > 0, call.route.gives_items()),
            None => (false, false),
        };
        let taking = async { if takes { self.take().await } else { Ok(()) } };
        let giving = async { if gives { self.give().await } else { Ok(()) } };
        let (taken, given) = join(taking, giving).await;
        if let Err(error) = taken.and(given) {
            witness.sees(Sight::Returned(false));
            return Err(error);
        }
        if call.plan.finish == Finish::Never && call.route != Route::Inline {
            std::future::pending::<()>().await;
        }
        match call.plan.finish {
            Finish::Ok | Finish::Never => witness.sees(Sight::Returned(true)),
            Finish::Error => {
                witness.sees(Sight::Returned(false));
                return Err(failure_text(&call.name));
            }
            Finish::Panic => {
                // The loop has one thread: what panics is caught, and told.
                witness.sees(Sight::Panicked);
                return Err(format!("the handler panicked: {}", failure_text(&call.name)));
            }
        }
        if call.route.capacities().is_some() && !gives {
            let result = witness.payload(Kind::Result, Some(call.plan.item_size));
            self.send(result).await?;
        }
        Ok(())
    }

    async fn take(&self) -> Result<(), String> {
        let plan = &self.call.plan;
        let mut index = 0;
        while plan.take.is_none_or(|take| index < take) {
            if index > 0 {
                self.witness.rest(plan.take_pace).await;
            }
            let received = self.looped.when(self.peer, |peer, _| {
                let Some(peer) = peer else {
                    return Some(Received::Failed(CancelReason::Disconnected));
                };
                Some(peer.take_input(self.key)).filter(|input| *input != Received::Pending)
            });
            match received.await {
                Received::Item(item) => {
                    let expected =
                        self.witness.payload(Kind::Input(index), Some(self.call.input.size));
                    self.witness.sees(Sight::InputTaken(index, *item == *expected));
                    index += 1;
                }
                Received::End | Received::Pending => {
                    self.witness.sees(Sight::InputEnded(Ok(())));
                    return Ok(());
                }
                Received::Failed(reason) => {
                    self.witness.sees(Sight::InputEnded(Err(reason)));
                    return Err(reason.to_string());
                }
            }
        }
        self.looped.with_peer(self.peer, |peer, _| peer.drop_input(self.key));
        Ok(())
    }

    async fn give(&self) -> Result<(), String> {
        let plan = &self.call.plan;
        for index in 0..plan.items {
            if index > 0 {
                self.witness.rest(plan.pace).await;
            }
            let item = self.witness.payload(Kind::Output(index), Some(plan.item_size));
            if let Err(error) = self.send(item).await {
                self.witness.sees(Sight::OutputFailed);
                return Err(error);
            }
            self.witness.sees(Sight::OutputSent(index));
        }
        Ok(())
    }

    async fn send(&self, item: Payload) -> Result<(), String> {
        let sent = self.looped.when(self.peer, |peer, _| {
            let Some(peer) = peer else { return Some(Err("the peer was removed".into())) };
            let ready = peer.check_serve_item(self.key);
            match ready.and_then(|()| peer.serve_item(self.key, Data::from(item.clone()))) {
                Ok(()) => Some(Ok(())),
                Err(Refusal::Failed(error)) => Some(Err(error.to_string())),
                Err(Refusal::QueueFull | Refusal::NoCredit) => None,
            }
        });
        sent.await
    }
}
