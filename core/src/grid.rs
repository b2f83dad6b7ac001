//! A node as one machine: its peers by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ConfigError, LinkError};
use crate::event::{LinkCommand, LinkId};
use crate::link::{
    Acceptor, Denial, Door, DoorLog, Lobby, Origin, Processes, log_crowd, same_process,
    unknown_name,
};
use crate::node::{Node, check_name, check_names};
use crate::peer::{Peer, WakeReason};
use crate::rng::{KeyedRng, Seed};
use crate::stats::Stats;
use crate::time::{Instant, Now};
use crate::wire::Connect;

/// Where the generations of mux ids and the numbers of links begin, for each peer: where they ended,
/// if it was here before (PROTOCOL.md section 7.1: a stale message never finds a newer call; nor does
/// the handler of a former call, or a former connection the newer machine).
#[derive(Debug)]
pub(crate) struct Generations {
    first: u32,
    /// Of peers that were removed.
    left: BTreeMap<Arc<str>, Left>,
}

/// Where a peer that was removed has stopped.
#[derive(Debug)]
struct Left {
    /// The next generation of our calls, and of theirs.
    ours: u32,
    theirs: u32,
    /// The last link that it has used.
    link: u64,
}

impl Generations {
    /// Of a peer that is added.
    pub(crate) fn first(&self, name: &str) -> u32 {
        self.left.get(name).map_or(self.first, |left| left.ours)
    }

    /// A peer was added: none of its calls has the key of one of its former time, and none of its
    /// links the number of one.
    fn resume(&self, peer: &mut Peer) {
        if let Some(left) = self.left.get(peer.name()) {
            peer.start_incoming_generations(left.theirs);
            peer.start_links(left.link);
        }
    }

    /// A peer was removed: it opens no more calls.
    pub(crate) fn leave(&mut self, peer: &Peer) {
        let (ours, theirs) = (peer.next_generation(), peer.next_incoming_generation());
        let left = Left { ours, theirs, link: peer.last_link() };
        self.left.insert(peer.name().into(), left);
    }
}

impl From<u32> for Generations {
    fn from(first: u32) -> Self {
        Self { first, left: BTreeMap::new() }
    }
}

/// A node: a map of peer machines over one read-only [`Node`].
///
/// The peers share nothing mutable. A runtime takes the map apart ([`GridState::into_parts`])
/// and drives each peer under its own lock; the simulator, or a loop of one's own, drives it
/// whole.
#[derive(Debug)]
pub struct GridState {
    node: Arc<Node>,
    peers: BTreeMap<Arc<str>, Peer>,
    processes: Processes,
    seeds: KeyedRng,
    generations: Generations,
    started: bool,
    draining: Option<Duration>,
    pub(crate) door_log: DoorLog,
    /// Sockets that have not proved who they are.
    lobby: Lobby<u64>,
    last_stranger: u64,
}

impl GridState {
    /// A node among `names`, its own included. `seed` makes everything random in it;
    /// `first_generation` is where the generations of mux ids begin (PROTOCOL.md section 7.1).
    ///
    /// # Errors
    /// [`ConfigError`]: a bad name, one twice, the own one missing, a setting out of bounds.
    pub fn new(
        node: Arc<Node>,
        names: &[String],
        seed: impl Into<Seed>,
        first_generation: u32,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        node.validate()?;
        check_names(&node.name, names)?;
        let lobby = Lobby::new(&node.limits);
        let processes = Processes::new(node.instance, &node.name);
        let mut grid = Self {
            node,
            processes,
            peers: BTreeMap::new(),
            seeds: KeyedRng::new(seed),
            generations: Generations::from(first_generation),
            started: false,
            draining: None,
            door_log: DoorLog::new(),
            lobby,
            last_stranger: 0,
        };
        for name in names {
            if *name != grid.node.name {
                grid.insert(name, now);
            }
        }
        Ok(grid)
    }

    /// What the node is.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The peer of this name.
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.get(name)
    }

    /// The peer of this name, to drive it.
    pub fn peer_mut(&mut self, name: &str) -> Option<&mut Peer> {
        self.peers.get_mut(name)
    }

    /// All peers, by name.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = &Peer> {
        self.peers.values()
    }

    /// All peers, by name, to drive them.
    pub fn peers_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Peer> {
        self.peers.values_mut()
    }

    /// Opens the start gate: the node dials, and takes connections (PROTOCOL.md section 7.12).
    pub fn start(&mut self, now: Now) {
        self.started = true;
        for peer in self.peers.values_mut() {
            peer.start(now);
        }
    }

    /// Begins the graceful end of every link (PROTOCOL.md section 7.9); see [`Peer::shutdown`].
    pub fn shutdown(&mut self, now: Now, grace: Duration) {
        self.draining.get_or_insert(grace);
        for peer in self.peers.values_mut() {
            peer.shutdown(now, grace);
        }
    }

    /// Adds a peer; it dials or is dialled as any other.
    ///
    /// # Errors
    /// A bad name, the own one, or one that is taken.
    pub fn add_peer(&mut self, name: &str, now: Now) -> Result<&mut Peer, ConfigError> {
        check_name(name)?;
        if name == self.node.name {
            return Err(ConfigError::OwnName(name.into()));
        }
        if self.peers.contains_key(name) && !planted!(AddPeerReplaces) {
            return Err(ConfigError::NameTaken(name.into()));
        }
        self.insert(name, now.instant);
        let (started, draining) = (self.started, self.draining);
        match self.peers.get_mut(name) {
            None => Err(self.node.no_peer(name)),
            Some(peer) => {
                match draining {
                    Some(grace) => peer.shutdown(now, grace),
                    None if started => peer.start(now),
                    None => {}
                }
                Ok(peer)
            }
        }
    }

    /// Takes a peer out of the grid: its calls fail with `PeerRemoved`, and its link ends as in a
    /// drain. The machine is the caller's to drive until it is drained.
    ///
    /// # Errors
    /// No peer has this name, or it is the own one.
    pub fn remove_peer(&mut self, name: &str, now: Now) -> Result<Peer, ConfigError> {
        let removed = self.peers.remove(name);
        let mut peer = removed.ok_or_else(|| self.node.no_peer(name))?;
        peer.remove(now);
        self.processes.forget(name);
        self.generations.leave(&peer);
        Ok(peer)
    }

    fn insert(&mut self, name: &str, now: Instant) {
        let seed = self.seeds.next_seed();
        let first_generation = self.generations.first(name);
        let mut peer = Peer::new(self.node.clone(), name, seed, first_generation, now);
        self.generations.resume(&mut peer);
        self.peers.insert(name.into(), peer);
    }

    /// A connection has come in, of which nothing has been read yet.
    pub fn accept(&mut self, now: Instant) -> Acceptor {
        Acceptor::new(self.node.clone(), now, self.seeds.next_seed())
    }

    /// A connection has been upgraded by an HTTP server, with these bytes left over.
    pub fn accept_upgraded(&mut self, now: Instant, leftover: &[u8]) -> Acceptor {
        Acceptor::upgraded(self.node.clone(), now, self.seeds.next_seed(), leftover)
    }

    /// The attempt that a peer's [`LinkCommand::Dial`] asked for has come to nothing: there is no
    /// connection at all.
    pub fn handle_dial_failed(&mut self, now: Now, name: &str, link: LinkId, error: LinkError) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.handle_dial_failed(now, link, error);
        }
    }

    /// A socket has come in: its number in the lobby.
    pub(crate) fn enter(&mut self, now: Instant, origin: Origin) -> u64 {
        self.last_stranger += 1;
        if let Some((_, origin)) = self.lobby.enter(self.last_stranger, origin)
            && let Some(told) = self.door_log.tell_crowd(now)
        {
            log_crowd(&self.node.name, origin, told);
        }
        self.last_stranger
    }

    pub(crate) const fn lobby(&mut self) -> &mut Lobby<u64> {
        &mut self.lobby
    }

    /// There is to be a link with the process of this instance id, as the peer `name`: what
    /// [`Connection::answered_by`](crate::connection::Connection::answered_by) gives has to be claimed,
    /// or the connection to be [refused](crate::connection::Connection::refuse). A
    /// [`Socket`](crate::socket::Socket) does so by itself.
    ///
    /// # Errors
    /// The other name of the process: that of this node, or of a peer that it is the process of now, or
    /// was until 30 s before it was first claimed otherwise.
    pub fn claim_process(
        &mut self,
        now: Instant,
        process: [u8; 16],
        name: &str,
    ) -> Result<(), Arc<str>> {
        let peers = &self.peers;
        let is_linked =
            |id: &[u8; 16], name: &str| peers.get(name).and_then(Peer::process) == Some(*id);
        self.processes.claim(now, process, name, is_linked)
    }

    pub(crate) fn next_seed(&mut self) -> Seed {
        self.seeds.next_seed()
    }

    /// A good Connect has come in, on a connection that was accepted at the time
    /// [`came`](Acceptor::came): the peer that it names takes the connection or refuses it.
    ///
    /// # Errors
    /// The reason, for [`Acceptor::refuse`].
    pub fn handle_hello(
        &mut self,
        now: Now,
        hello: &Connect,
        came: Instant,
    ) -> Result<LinkId, Denial> {
        if self.peers.contains_key(&*hello.host) {
            let claimed = self.claim_process(now.instant, hello.id, &hello.host);
            claimed.map_err(|other| same_process(&hello.host, &other))?;
        }
        match self.peers.get_mut(&*hello.host) {
            Some(peer) => peer.handle_hello(now, hello, came),
            None => Err(unknown_name(&hello.host)),
        }
    }

    /// When to call [`Self::handle_timeout`] at the latest, and why.
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, WakeReason)> {
        self.peers.values().filter_map(|peer| peer.poll_timeout(now)).min_by_key(|(at, _)| *at)
    }

    /// Time has passed, for every peer.
    pub fn handle_timeout(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            peer.handle_timeout(now);
        }
    }

    /// The next command of any peer, and that peer's name: for a loop that drives the node whole,
    /// in place of [`Peer::poll_command`] for each.
    pub fn poll_command(&mut self) -> Option<(Arc<str>, LinkCommand)> {
        let mut peers = self.peers.iter_mut();
        peers.find_map(|(name, peer)| Some((name.clone(), peer.poll_command()?)))
    }

    /// Whether all links together hold more than
    /// [`Limits::node_bytes`](crate::limits::Limits::node_bytes): no call of a link that holds much is
    /// to be begun, and its response is to be an error. See [`Peer::held_bytes`].
    pub fn is_full(&self) -> bool {
        let held = self.peers.values().map(Peer::held_bytes).fold(0, usize::saturating_add);
        held > self.node.limits.node_bytes
    }

    /// The figures of all peers together.
    pub fn stats(&self, now: Instant) -> Stats {
        self.peers.values().fold(Stats::default(), |mut sum, peer| {
            sum.merge(&peer.stats(now));
            sum
        })
    }

    /// The node's data and each peer's machine, to be driven apart.
    pub fn into_parts(self) -> (Arc<Node>, Vec<Peer>) {
        (self.node, self.peers.into_values().collect())
    }
}

impl Door for GridState {
    fn is_started(&self) -> bool {
        self.started
    }

    fn knows(&self, name: &str) -> bool {
        self.peers.contains_key(name)
    }
}
