//! The loop: one task, which takes a turn whenever there is something to do.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gridmux_core::driver::runtime::{Clock as _, Listener, Timer};
use gridmux_core::event::{Event, IncomingCall};
use gridmux_core::link::LinkState;
use gridmux_core::peer::Peer;
use gridmux_core::time::Now;

use super::{Looped, State, callee};
use crate::keyed::mix;
use crate::oracle::LinkView;

/// Rounds in one turn; what is left then has the next one, so that others have theirs.
const ROUNDS: usize = 16;

pub(super) struct Turn {
    looped: Arc<Looped>,
    listener: Option<Box<dyn Listener>>,
    timer: Box<dyn Timer>,
    /// How many each peer has made.
    calls: BTreeMap<usize, u64>,
}

impl Turn {
    pub(super) fn new(looped: Arc<Looped>, listener: Option<Box<dyn Listener>>) -> Self {
        let timer = looped.site.runtime.timer();
        Self { looped, listener, timer, calls: BTreeMap::new() }
    }

    /// Has every call of a peer served.
    fn serve(&mut self, calls: Vec<(usize, IncomingCall)>) {
        for (peer, call) in calls {
            let count = self.calls.entry(peer).or_insert(0_u64);
            *count += 1;
            let key = mix(*count ^ (peer as u64) << 48);
            let serving = callee::serve(self.looped.clone(), peer, call);
            self.looped.site.runtime.spawn_keyed(key, serving);
        }
    }
}

impl Future for Turn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let looped = this.looped.clone();
        let mut state = looped.lock();
        state.turning = Some(cx.waker().clone());
        while let Some(listener) = &mut this.listener
            && let Poll::Ready(Ok(transport)) = listener.poll_accept(cx)
        {
            let State { grid, carriers, .. } = &mut *state;
            carriers.accept(looped.now(), grid, transport);
        }
        let (mut calls, mut rounds) = (Vec::new(), 0);
        let next = loop {
            rounds += 1;
            let now = looped.now();
            state.round(&looped, now, rounds == 1, cx, &mut calls);
            let grid = state.grid.poll_timeout(now.instant).map(|(at, _)| at);
            let next = state.carriers.poll_timeout().into_iter().chain(grid).min();
            if next.is_none_or(|at| at > now.instant) || rounds == ROUNDS {
                break next;
            }
        };
        looped.see_links(&mut state);
        let drained = state.carriers.is_empty() && state.grid.peers().all(Peer::is_drained);
        state.over = state.leaves && drained;
        let over = state.over;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        this.serve(calls);
        if over {
            this.listener = None;
            return Poll::Ready(());
        }
        if let Some(at) = next
            && this.timer.poll_until(at, cx).is_ready()
        {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl State {
    /// What has come goes in, time passes, and what is to go out goes out.
    fn round(
        &mut self,
        looped: &Looped,
        now: Now,
        woken: bool,
        cx: &mut Context<'_>,
        calls: &mut Vec<(usize, IncomingCall)>,
    ) {
        self.carriers.dial(now, &mut self.grid, cx);
        self.carriers.transfer(now, &mut self.grid, woken, cx);
        self.grid.handle_timeout(now);
        let names = &looped.site.names;
        for peer in self.grid.peers_mut() {
            let Some(number) = names.iter().position(|name| name == peer.name()) else { continue };
            while let Some(call) = peer.poll_call() {
                self.served.insert((number, call.key), None);
                calls.push((number, call));
            }
            while let Some(event) = peer.poll_event() {
                // Whoever waits for something else looks at each turn.
                if let Event::Cancelled(key, reason) = event
                    && let Some(cancelled) = self.served.get_mut(&(number, key))
                {
                    *cancelled = Some(reason);
                }
            }
        }
        while let Some((peer, command)) = self.grid.poll_command() {
            self.carriers.obey(now, peer, command);
        }
        self.carriers.dial(now, &mut self.grid, cx);
        self.carriers.transfer(now, &mut self.grid, false, cx);
    }
}

impl Looped {
    /// Notes every change of a link.
    fn see_links(&self, state: &mut State) {
        let (at, node, life) = self.site.runtime.whereabouts();
        let clock = self.now().instant.as_nanos();
        for (peer, name) in self.site.names.iter().enumerate() {
            let machine = state.grid.peer(name);
            let up = machine.is_some_and(|peer| peer.state() == LinkState::Connected);
            if std::mem::replace(&mut state.up[peer], up) != up {
                let view = LinkView { node, life, peer, at, clock, up };
                super::locked(&self.site.views).push(view);
            }
        }
    }
}
