//! Nodes of ours that a loop of their own drives, as `core/examples/mio_loop.rs` does: a
//! [`GridState`] and a [`Socket`](gridmux_core::socket::Socket) for each transport, and no handles.
//!
//! Their applications make and serve the same calls, on the machines themselves.

mod callee;
mod caller;
mod carrier;
mod turn;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use gridmux_core::driver::runtime::{Clock as _, Runtime as _};
use gridmux_core::error::{CancelReason, ConfigError};
use gridmux_core::grid::GridState;
use gridmux_core::link::LinkState;
use gridmux_core::mux::IncomingKey;
use gridmux_core::node::{Node, authority};
use gridmux_core::peer::Peer;
use gridmux_core::stats::Stats;
use gridmux_core::time::Now;

use self::carrier::Carriers;
use self::turn::Turn;
use crate::app::{Stage, Witness};
use crate::history::CallId;
use crate::keyed::name_key;
use crate::oracle::LinkView;
use crate::run::Held;
use crate::script::Call;
use crate::world::SimRuntime;

/// Where a node runs, and whom it knows.
pub(crate) struct Site {
    pub(crate) runtime: SimRuntime,
    pub(crate) node: usize,
    pub(crate) names: Arc<[String]>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) first_generation: u32,
    /// What is seen of links.
    pub(crate) views: Arc<Mutex<Vec<LinkView>>>,
}

/// A node that runs.
pub(crate) struct Looped {
    site: Site,
    state: Mutex<State>,
}

/// What the loop drives.
struct State {
    grid: GridState,
    carriers: Carriers,
    /// Calls that handlers are at, and why they are cancelled, if they are.
    served: BTreeMap<(usize, IncomingKey), Option<CancelReason>>,
    /// Links that were last seen to be up, by node.
    up: Vec<bool>,
    /// The loop, and the applications that wait for its next turn.
    turning: Option<Waker>,
    waiting: Vec<Waker>,
    /// It is being shut down.
    leaves: bool,
    /// It has been: no link, no call, and nobody will dial or listen any more.
    over: bool,
}

impl Looped {
    /// Starts one; it accepts connections if it `listens`.
    ///
    /// # Errors
    /// What is wrong with the configuration, or why it cannot listen.
    pub(crate) fn start(site: Site, node: Node, listens: bool) -> Result<Arc<Self>, String> {
        let (names, runtime) = (site.names.to_vec(), site.runtime.clone());
        let seed = runtime.random().map_err(|error| error.to_string())?;
        let seed =
            seed.into_iter().fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(byte));
        let now = runtime.now();
        let grid = GridState::new(Arc::new(node), &names, seed, site.first_generation, now.instant);
        let mut grid = grid.map_err(|error| error.to_string())?;
        let address = authority(&names[site.node]).unwrap_or_default();
        let listener = listens.then(|| runtime.bind(address)).transpose();
        let listener = listener.map_err(|error| error.to_string())?;
        grid.start(now);
        let state = State {
            carriers: Carriers::new(runtime.connector()),
            grid,
            served: BTreeMap::new(),
            up: vec![false; names.len()],
            turning: None,
            waiting: Vec::new(),
            leaves: false,
            over: false,
        };
        let looped = Arc::new(Self { site, state: Mutex::new(state) });
        let turn = Turn::new(looped.clone(), listener);
        runtime.spawn_grid(u64::from(u32::MAX), turn);
        Ok(looped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn now(&self) -> Now {
        self.site.runtime.now()
    }

    /// Makes a call of the script.
    pub(crate) fn call(self: &Arc<Self>, id: CallId, call: Arc<Call>) {
        let Site { stage, runtime, .. } = &self.site;
        let witness = Witness::of_caller(stage, runtime, id);
        let performance = caller::perform(self.clone(), witness, call.clone());
        runtime.spawn_keyed(name_key(&call.name), performance);
    }

    // ---- what others want of it ----

    /// Does something with the machines, which the loop is to see.
    fn act<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let done = act(&mut state, now);
        let wakers = state.rouse();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        done
    }

    /// Drains it, as long as this at most, and waits for the end.
    pub(crate) async fn shutdown(&self, grace: Duration) {
        self.act(|state, now| {
            state.leaves = true;
            state.grid.shutdown(now, grace);
        });
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.over {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Takes a peer out.
    ///
    /// # Errors
    /// There is no such peer.
    pub(crate) fn remove_peer(&self, peer: usize) -> Result<(), ConfigError> {
        let name = &self.site.names[peer];
        self.act(|state, now| {
            let served = state.served.iter_mut().filter(|((of, _), _)| *of == peer);
            for (_, why) in served {
                // Its machine, which is dropped, says nothing any more.
                why.get_or_insert(CancelReason::Disconnected);
            }
            state.grid.remove_peer(name, now).map(drop)
        })
    }

    /// Puts it in again.
    ///
    /// # Errors
    /// It is there.
    pub(crate) fn add_peer(&self, peer: usize) -> Result<(), ConfigError> {
        let name = &self.site.names[peer];
        self.act(|state, now| state.grid.add_peer(name, now).map(drop))
    }

    // ---- what others see of it ----

    /// Whether it has a link with a node.
    pub(crate) fn is_up(&self, peer: usize) -> bool {
        let state = self.lock();
        let peer = state.grid.peer(&self.site.names[peer]);
        peer.is_some_and(|peer| peer.state() == LinkState::Connected)
    }

    /// Whether no call is open, in either direction.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lock().grid.peers().all(Peer::is_quiescent)
    }

    /// What it holds of each peer.
    pub(crate) fn stats(&self) -> Vec<(usize, Stats, Held)> {
        let (now, state) = (self.now().instant, self.lock());
        let place = |peer: &Peer| self.site.names.iter().position(|name| name == peer.name());
        state
            .grid
            .peers()
            .filter_map(|peer| Some((place(peer)?, peer.stats(now), Held::of(peer))))
            .collect()
    }

    /// Has the machines check themselves; they panic if they are broken.
    pub(crate) fn check_invariants(&self) {
        self.lock().grid.peers().for_each(Peer::check_invariants);
    }

    // ---- for its applications ----

    /// Looks at the machine of a peer, `None` if it was taken out, at each turn of the loop, until
    /// there is something to see.
    async fn when<T>(
        &self,
        peer: usize,
        mut look: impl FnMut(Option<&mut Peer>, Now) -> Option<T>,
    ) -> T {
        poll_fn(|cx| {
            let now = self.now();
            let mut state = self.lock();
            let Some(seen) = look(state.grid.peer_mut(&self.site.names[peer]), now) else {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            };
            let wakers = state.rouse();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            Poll::Ready(seen)
        })
        .await
    }

    /// Does something with the machine of a peer, if it is there.
    fn with_peer(&self, peer: usize, act: impl FnOnce(&mut Peer, Now)) {
        self.act(|state, now| {
            if let Some(peer) = state.grid.peer_mut(&self.site.names[peer]) {
                act(peer, now);
            }
        });
    }
}

impl State {
    /// Has the loop take a turn.
    fn rouse(&mut self) -> Option<Waker> {
        self.turning.take()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
