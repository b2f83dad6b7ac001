//! The nodes of a run: grids on simulated machines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use gridmux_core::auth::{Auth, SharedSecret, StaticToken};
use gridmux_core::builder::{BuildError, Builder};
use gridmux_core::driver::runtime::{Clock as _, Runtime as _};
use gridmux_core::handle::{Fault, Grid, PeerHandle};
use gridmux_core::limits::Limits;
use gridmux_core::link::LinkState;
use gridmux_core::node::{Node, authority, is_secure};
use gridmux_core::peer::Peer;
use gridmux_core::stats::Stats;
use gridmux_core::timings::Timings;

use super::chaos::Victims;
use super::trials::{self, Tried};
use crate::app::{self, Stage};
use crate::fingerprint::fingerprint;
use crate::keyed::name_key;
use crate::looped::{Looped, Site};
use crate::oracle::{Gauge, LinkView, NodeLife, Peak};
use crate::peers::{self, Complaints, Foreign, Here};
use crate::script::{NodeKind, Script, Trial};
use crate::world::{ConnId, Cue, Death, Dialling, Shared, SimRuntime};

/// How long the tokens made of it are good.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// What all nodes of a run share as their secret.
const SECRET: &str = "the secret of all simulated nodes";

/// A machine that holds more bytes than this is not compared with itself.
const COMPARED: usize = 16 << 10;

/// How nodes know each other: by a secret, or by a token that is always the same.
fn auth(script: &Script) -> Arc<dyn Auth> {
    if script.token {
        return Arc::new(StaticToken::new("the-token-of-all-nodes").expect("it fits a header"));
    }
    let secret = SharedSecret::new(SECRET).expect("it is long enough");
    Arc::new(secret.lifetime(LIFETIME).expect("it is longer than clocks may differ"))
}

/// A node that runs.
pub(crate) struct Running {
    pub(crate) runtime: SimRuntime,
    /// `None` unless it is one of ours.
    pub(crate) grid: Option<Grid<SimRuntime>>,
    /// By node; `None` for itself, and unless it is one of ours.
    pub(crate) peers: Vec<Option<PeerHandle>>,
    /// By node: the connection that was there when it was added again. The machine of its former
    /// time ends it.
    pub(crate) left: Vec<Option<ConnId>>,
    /// What it is if it is not one of ours.
    pub(crate) foreign: Option<Foreign>,
    /// What it is if a loop of its own drives it.
    pub(crate) looped: Option<Arc<Looped>>,
}

impl Running {
    /// On its runtime nothing runs yet.
    fn new(runtime: SimRuntime, nodes: usize) -> Self {
        let (peers, left) = (vec![None; nodes], vec![None; nodes]);
        Self { runtime, grid: None, peers, left, foreign: None, looped: None }
    }

    /// Its graceful end; `None` for nodes that have none.
    pub(crate) fn shut_down(
        &self,
        grace: Duration,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (grid, looped) = (self.grid.clone(), self.looped.clone());
        (grid.is_some() || looped.is_some()).then_some(async move {
            match (grid, looped) {
                (Some(grid), _) => grid.shutdown(grace).await,
                (None, Some(looped)) => looped.shutdown(grace).await,
                (None, None) => {}
            }
        })
    }

    /// Whether no call is open.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut peers = self.peers.iter().flatten();
        peers.all(|peer| peer.inspect(|peer| peer.is_quiescent()))
            && self.looped.as_ref().is_none_or(|looped| looped.is_quiet())
    }

    /// Whether it says that it has a link with another node.
    pub(crate) fn is_up(&self, peer: usize) -> bool {
        let handle = self.peers[peer].as_ref();
        handle.is_some_and(|handle| handle.state() == LinkState::Connected)
            || self.foreign.as_ref().is_some_and(|foreign| foreign.is_up(peer))
            || self.looped.as_ref().is_some_and(|looped| looped.is_up(peer))
    }
}

/// What a machine holds beside what its figures tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    timers: usize,
    instances: usize,
}

impl Held {
    pub(crate) fn of(peer: &Peer) -> Self {
        Self { timers: peer.armed_timers(), instances: peer.remembered_instances() }
    }
}

/// All nodes of a run.
pub(crate) struct Nodes {
    shared: Arc<Shared>,
    stage: Arc<Stage>,
    names: Vec<String>,
    kinds: Vec<NodeKind>,
    secure: bool,
    auth: Arc<dyn Auth>,
    first_generation: u32,
    pub(crate) timings: Timings,
    pub(crate) limits: Limits,
    /// The nodes whose first process starts later.
    gated: Vec<usize>,
    trials: Vec<(usize, Trial)>,
    pub(crate) tried: Vec<Tried>,
    /// Who has taken whom out of its list: a process that starts meanwhile does not list it.
    removed: BTreeSet<(usize, usize)>,
    running: Vec<Option<Running>>,
    twins: Vec<Option<Running>>,
    /// By node.
    pub(crate) lives: Vec<Vec<NodeLife>>,
    /// Those whose machines were told to panic.
    injected: Vec<PeerHandle>,
    /// How many of these faults were taken back, or took the place of one that had not come yet.
    withdrawn: usize,
    views: Arc<Mutex<Views>>,
    foreign_views: Arc<Mutex<Vec<LinkView>>>,
    pub(crate) complaints: Complaints,
}

impl Nodes {
    pub(crate) fn new(shared: &Arc<Shared>, stage: &Arc<Stage>, script: &Script) -> Self {
        let count = script.nodes.len();
        Self {
            shared: shared.clone(),
            stage: stage.clone(),
            names: (0..count).map(|node| script.node_name(node)).collect(),
            kinds: script.nodes.clone(),
            secure: script.secure,
            auth: auth(script),
            first_generation: script.first_generation,
            timings: Timings::default(),
            limits: script.limits.clone(),
            gated: script.gates.iter().map(|(node, _)| *node).collect(),
            trials: script.trials.clone(),
            tried: Vec::new(),
            removed: BTreeSet::new(),
            running: (0..count).map(|_| None).collect(),
            twins: (0..count).map(|_| None).collect(),
            lives: vec![Vec::new(); count],
            injected: Vec::new(),
            withdrawn: 0,
            views: Arc::default(),
            foreign_views: Arc::default(),
            complaints: Complaints::default(),
        }
    }

    fn now(&self) -> u64 {
        self.shared.world().now
    }

    pub(crate) fn get(&self, node: usize) -> Option<&Running> {
        self.running[node].as_ref()
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = (usize, &Running)> {
        let running = self.running.iter().enumerate();
        running.filter_map(|(node, running)| Some((node, running.as_ref()?)))
    }

    fn open(&mut self, node: usize, runtime: SimRuntime, listens: bool) -> Option<Running> {
        let (born, ..) = runtime.whereabouts();
        let waits = self.lives[node].is_empty() && self.gated.contains(&node);
        let waits = waits && self.kinds[node] == NodeKind::Ours;
        let started = (!waits).then_some(born);
        self.lives[node].push(NodeLife { born, started, died: None });
        if !self.kinds[node].is_ours() {
            let foreign = peers::start(self.kinds[node], self.here(node, &runtime)?, listens);
            return Some(Running { foreign, ..Running::new(runtime, self.names.len()) });
        }
        self.make_mistakes(node, &runtime);
        if self.kinds[node] == NodeKind::Loop {
            return self.open_looped(node, runtime, listens);
        }
        let name = &self.names[node];
        let awake = Duration::from_nanos(self.shared.world().knobs.busy_poll);
        let builder = Grid::builder_on(runtime.clone(), name)
            .peers(self.listed(node))
            .auth(self.auth.clone())
            .timings(self.timings.clone())
            .limits(self.limits.clone())
            .busy_poll(awake)
            .first_generation(self.first_generation);
        let builder = app::serve(builder, &self.stage, &runtime, node);
        let address = authority(name).filter(|_| listens);
        let opened = open_as(node, builder, &runtime, address, (waits, is_secure(name)));
        let opened = opened.map_err(|error| error.to_string());
        match opened {
            Ok(grid) => {
                let peers = self.names.iter().map(|name| grid.peer(name).ok()).collect();
                let grid = Some(grid);
                Some(Running { grid, peers, ..Running::new(runtime, self.names.len()) })
            }
            Err(problem) => {
                self.shared.world().panics.push(format!("n{node} cannot start: {problem}"));
                None
            }
        }
    }

    /// The names that a node has in its list when it starts.
    fn listed(&self, node: usize) -> Vec<String> {
        let listed = |peer: &usize| !self.removed.contains(&(node, *peer));
        (0..self.names.len()).filter(listed).map(|peer| self.names[peer].clone()).collect()
    }

    /// Starts a node that a loop of its own drives.
    fn open_looped(&mut self, node: usize, runtime: SimRuntime, listens: bool) -> Option<Running> {
        let auth = self.auth.clone();
        let mut machine = Node::new(&self.names[node], runtime.random().ok()?, auth);
        machine.limits = self.limits.clone();
        machine.timings = self.timings.clone();
        for info in app::infos(&self.stage.calls(), node) {
            machine.routes.insert(info).ok()?;
        }
        let site = Site {
            runtime: runtime.clone(),
            node,
            names: self.names.clone().into(),
            stage: self.stage.clone(),
            first_generation: self.first_generation,
            views: self.foreign_views.clone(),
        };
        match Looped::start(site, machine, listens) {
            Ok(looped) => {
                let looped = Some(looped);
                Some(Running { looped, ..Running::new(runtime, self.names.len()) })
            }
            Err(problem) => {
                self.shared.world().panics.push(format!("n{node} cannot start: {problem}"));
                None
            }
        }
    }

    /// Tries the configurations that cannot work.
    fn make_mistakes(&mut self, node: usize, runtime: &SimRuntime) {
        let Ok(secret) = SharedSecret::new(SECRET) else { return };
        for (_, trial) in self.trials.iter().filter(|(whose, _)| *whose == node) {
            let answer = trials::attempt(*trial, runtime, &self.names, node, &secret);
            self.tried.push(Tried { node, trial: *trial, answer });
        }
    }

    /// What a node that is not ours stands on.
    fn here(&self, node: usize, runtime: &SimRuntime) -> Option<Here> {
        Some(Here {
            runtime: runtime.clone(),
            node,
            names: self.names.clone().into(),
            secret: self.auth.clone(),
            stage: self.stage.clone(),
            crc: !self.secure,
            views: self.foreign_views.clone(),
            kinds: self.kinds.clone().into(),
            complaints: self.complaints.clone(),
        })
    }

    /// Notes every change of a node's links.
    fn watch(&self, node: usize, running: &Running) {
        for (peer, handle) in running.peers.iter().enumerate() {
            let Some(handle) = handle else { continue };
            self.watch_one(node, peer, handle, &running.runtime);
        }
    }

    fn watch_one(&self, node: usize, peer: usize, handle: &PeerHandle, runtime: &SimRuntime) {
        let (views, mut states, runtime) = (self.views.clone(), handle.watch(), runtime.clone());
        let key = name_key("watch") ^ peer as u64;
        let watch = locked(&views).begin(node, peer);
        let on = runtime.clone();
        on.spawn_keyed(key, async move {
            while let Some(state) = states.changed().await {
                let up = state == LinkState::Connected;
                locked(&views).see(&runtime, watch, peer, up);
            }
        });
    }

    fn bury(&mut self, running: Running) {
        let now = self.now();
        let (_, node, number) = running.runtime.whereabouts();
        if let Some(life) = self.lives[node].get_mut(usize::try_from(number).unwrap_or(usize::MAX))
        {
            life.died.get_or_insert(now);
        }
        drop(running);
    }

    pub(crate) fn links(&self) -> Vec<LinkView> {
        let mut all = locked(&self.views).views.clone();
        all.extend_from_slice(&locked(&self.foreign_views));
        all.sort_by_key(|view| view.at);
        all
    }

    /// What the nodes that run hold of their peers now.
    pub(crate) fn figures(&self) -> Vec<Peak> {
        let of = |(node, running): (usize, &Running)| {
            let figures = |(peer, stats, held): (usize, Stats, Held)| Peak {
                node,
                peer,
                outgoing: stats.outgoing_requests + stats.outgoing_streams,
                incoming: stats.incoming_requests + stats.incoming_streams,
                queued: stats.queued_bytes,
                received: stats.received_bytes,
                handlers: stats.handler_bytes,
                timers: held.timers,
                instances: held.instances,
            };
            let handles = running.peers.iter().enumerate();
            let handles = handles.filter_map(|(peer, handle)| {
                let handle = handle.as_ref()?;
                Some((peer, handle.stats(), handle.inspect(|peer| Held::of(peer))))
            });
            let looped = running.looped.iter().flat_map(|looped| looped.stats());
            handles.chain(looped).map(figures).collect::<Vec<_>>()
        };
        self.alive().flat_map(of).collect()
    }

    /// What a node that runs holds at rest.
    pub(crate) fn gauge(&self, node: usize) -> Option<Gauge> {
        let running = self.get(node)?;
        let stats = running.grid.as_ref()?.stats();
        let peers = running.peers.iter().flatten();
        let timers: usize = peers.map(|peer| peer.inspect(|peer| peer.armed_timers())).sum();
        let (system_timers, tasks) = self.shared.world().held_by(running.runtime.life);
        let open = [
            stats.outgoing_requests,
            stats.outgoing_streams,
            stats.incoming_requests,
            stats.incoming_streams,
        ];
        Some(Gauge {
            node,
            open_calls: open.iter().sum::<usize>() as u64,
            queued_bytes: stats.queued_bytes as u64,
            received_bytes: stats.received_bytes as u64,
            handler_bytes: stats.handler_bytes as u64,
            call_timers: timers as u64,
            system_timers: system_timers as u64,
            tasks: tasks as u64,
            // One a peer, and the one that accepts.
            tasks_at_rest: self.names.len() as u64,
        })
    }

    /// Bytes that all nodes of ours have queued to send.
    pub(crate) fn queued_bytes(&self) -> u64 {
        let queued = |running: &Running| {
            let grid = running.grid.as_ref().map_or(0, |grid| grid.stats().queued_bytes);
            let looped = running.looped.as_ref().map(|looped| looped.stats());
            let looped = looped.into_iter().flatten().map(|(_, stats, _)| stats.queued_bytes);
            grid as u64 + looped.sum::<usize>() as u64
        };
        self.alive().map(|(_, running)| queued(running)).sum()
    }

    /// The machines' own invariants; what they say if they are broken.
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        for (node, running) in self.alive() {
            if let Some(looped) = &running.looped {
                let check = || looped.check_invariants();
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
                checked.map_err(|panic| format!("n{node}: {}", crate::world::text_of(&*panic)))?;
            }
            for handle in running.peers.iter().flatten() {
                let check = || handle.inspect(|peer| peer.check_invariants());
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
                checked.map_err(|panic| {
                    format!("n{node} with {}: {}", handle.name(), crate::world::text_of(&*panic))
                })?;
            }
        }
        Ok(())
    }

    /// Ticks one of the machines, by number, twice, unless something is due there or to be put out,
    /// or it holds too much to be compared; which it is if that has changed it.
    pub(crate) fn tick_idle(&self, number: u64) -> Option<Result<(), String>> {
        let of = |(node, running): (usize, &Running)| {
            let peers = running.peers.iter().flatten();
            let now = running.runtime.shown();
            peers.map(move |peer| (node, now, peer.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.alive().flat_map(of).collect();
        let chosen = usize::try_from(number.checked_rem(all.len() as u64)?).unwrap_or(0);
        let (node, now, handle) = all.get(chosen)?;
        let same = handle.inspect(|peer| {
            let stats = peer.stats(now.instant);
            if stats.queued_bytes + stats.received_bytes > COMPARED {
                return None;
            }
            peer.at_rest(now.instant, |peer| {
                let before = fingerprint(peer);
                peer.handle_timeout(*now);
                peer.handle_timeout(*now);
                fingerprint(peer) == before
            })
        })?;
        Some(if same { Ok(()) } else { Err(format!("n{node} with {}", handle.name())) })
    }

    /// Machines that have not panicked yet will not.
    pub(crate) fn withdraw_panics(&mut self) {
        let pending = self.injected.iter().filter_map(|handle| handle.inject(None));
        self.withdrawn += pending.count();
    }

    /// Panics that machines were told to have, and have had.
    pub(crate) fn struck(&self) -> usize {
        self.injected.len() - self.withdrawn
    }

    /// Ends the nodes that are not ours, and the twins that nobody has shut down, unless they end
    /// with their handles.
    pub(crate) fn kill_foreign(&mut self) {
        for node in 0..self.kinds.len() {
            if !self.kinds[node].is_ours() {
                self.kill(node, Death::Closed);
            }
            if self.kinds[node] != NodeKind::Ours {
                self.kill_twin(node);
            }
        }
    }

    /// Drops everything, once nothing is to happen any more.
    pub(crate) fn take_all(&mut self) -> Vec<Running> {
        self.running.iter_mut().chain(&mut self.twins).filter_map(Option::take).collect()
    }
}

impl Victims for Nodes {
    fn is_running(&self, node: usize) -> bool {
        self.get(node).is_some()
    }

    fn start(&mut self, node: usize) {
        if self.running[node].is_some() {
            return;
        }
        let runtime = self.shared.start(node);
        if let Some(running) = self.open(node, runtime, true) {
            self.watch(node, &running);
            self.running[node] = Some(running);
        }
    }

    fn open_gate(&mut self, node: usize) {
        let now = self.now();
        // A later process has started by itself.
        if let Some(Some(Running { grid: Some(grid), runtime, .. })) = self.running.get(node)
            && let (_, _, 0) = runtime.whereabouts()
            && let Some(life) = self.lives[node].first_mut()
        {
            life.started.get_or_insert(now);
            grid.start();
        }
    }

    fn start_twin(&mut self, node: usize) {
        if self.twins[node].is_some() {
            return;
        }
        let runtime = self.shared.start_beside(node);
        self.twins[node] = self.open(node, runtime, false);
    }

    fn kill(&mut self, node: usize, how: Death) {
        let Some(running) = self.running[node].take() else { return };
        self.shared.kill(node, how);
        for id in self.stage.running() {
            if self.stage.call(id).is_some_and(|call| call.from == node) {
                self.stage.set_running(id, false);
            }
        }
        self.bury(running);
    }

    fn kill_twin(&mut self, node: usize) {
        let Some(twin) = self.twins[node].take() else { return };
        self.shared.kill_life(twin.runtime.life, Death::Closed);
        self.bury(twin);
    }

    fn panic(&mut self, node: usize, peer: usize, using: bool) -> bool {
        let handle = self.get(node).and_then(|running| running.peers[peer].clone());
        if let Some(handle) = &handle {
            let former = handle.inject(if using { Fault::Using } else { Fault::Driving });
            self.withdrawn += usize::from(former.is_some());
            self.injected.push(handle.clone());
        }
        handle.is_some()
    }

    fn remove_peer(&mut self, node: usize, peer: usize) {
        self.removed.insert((node, peer));
        if let Some(looped) = self.get(node).and_then(|running| running.looped.clone()) {
            let _ = looped.remove_peer(peer);
        }
        if let Some(running) = &self.running[node]
            && let Some(grid) = &running.grid
        {
            let _ = grid.remove_peer(&self.names[peer]);
            // Whoever still watches the former peer sees nothing of a later one.
            let mut views = locked(&self.views);
            let watch = views.begin(node, peer);
            views.see(&running.runtime, watch, peer, false);
        }
    }

    fn add_peer(&mut self, node: usize, peer: usize) {
        self.removed.remove(&(node, peer));
        let Some(mut running) = self.running[node].take() else { return };
        if let Some(looped) = &running.looped {
            let _ = looped.add_peer(peer);
        }
        if let Some(Ok(handle)) = running.grid.as_ref().map(|grid| grid.add_peer(&self.names[peer]))
        {
            self.watch_one(node, peer, &handle, &running.runtime);
            running.peers[peer] = Some(handle);
            running.left[peer] = self.shared.world().connection(node, peer).map(|(conn, _)| conn);
        }
        self.running[node] = Some(running);
    }

    fn shut_down(&mut self, node: usize, grace: u64, done: Cue) {
        let Some(running) = self.get(node) else { return };
        let (ending, shared) =
            (running.shut_down(Duration::from_nanos(grace)), self.shared.clone());
        running.runtime.spawn_keyed(name_key("shutdown"), async move {
            // Others have no graceful end.
            if let Some(ending) = ending {
                ending.await;
            }
            let mut world = shared.world();
            let now = world.now;
            world.cue(now, done);
        });
    }
}

/// Starts a node, in one of the ways that there are; they take turns. One that `waits` only listens.
fn open_as(
    node: usize,
    builder: Builder<SimRuntime>,
    runtime: &SimRuntime,
    address: Option<&str>,
    (waits, secure): (bool, bool),
) -> Result<Grid<SimRuntime>, BuildError> {
    let random = runtime.random().map_err(BuildError::Runtime)?;
    let dialling = || Dialling { shared: runtime.shared.clone(), life: runtime.life };
    // The runtime's own connector is taken for one that knows no TLS.
    let builder = if secure { builder.connector(dialling()) } else { builder };
    let builder = match node % 3 {
        0 => builder.seed(u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|at: usize| random[at]))),
        1 => builder.instance(random),
        _ => builder.connector(dialling()),
    };
    match address {
        // It does not wait.
        Some(address) if node.is_multiple_of(2) && !waits => {
            let bound = builder.bind(address).now_or_never();
            bound.unwrap_or_else(|| Err(BuildError::Runtime(ErrorKind::WouldBlock.into())))
        }
        address => {
            let grid = builder.start_gate().build()?;
            if let Some(address) = address {
                let failed = |source| BuildError::Listen { address: address.into(), source };
                grid.listen(address).map_err(failed)?;
            }
            if !waits {
                grid.start();
            }
            Ok(grid)
        }
    }
}

/// What nodes see of their links; of each link, only the watch that has begun last sees.
#[derive(Default)]
struct Views {
    views: Vec<LinkView>,
    watches: BTreeMap<(usize, usize), (u64, Option<bool>)>,
}

impl Views {
    fn begin(&mut self, node: usize, peer: usize) -> u64 {
        let (watch, seen) = self.watches.entry((node, peer)).or_default();
        *watch += 1;
        *seen = None;
        *watch
    }

    fn see(&mut self, runtime: &SimRuntime, watch: u64, peer: usize, up: bool) {
        let (at, node, life) = runtime.whereabouts();
        let Some((current, seen)) = self.watches.get_mut(&(node, peer)) else { return };
        if *current == watch && seen.replace(up) != Some(up) {
            let clock = runtime.instant().as_nanos();
            self.views.push(LinkView { node, life, peer, at, clock, up });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
