//! Connections that have not proved who they are: how many there may be, and which of them makes room
//! for the next (PROTOCOL.md section 7.5).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::limits::Limits;

/// Where a connection comes from, as far as its bounds are concerned: an IPv4 address, or the 64 bits of
/// an IPv6 one that a single host cannot choose. All of which the transport knows no address are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Option<IpAddr>);

impl Origin {
    /// Of a connection from this address, as a transport gives it.
    pub fn of(remote: Option<SocketAddr>) -> Self {
        Self::new(remote.map(|address| address.ip()))
    }

    /// Of a connection from this address.
    pub fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unknown"),
            Some(IpAddr::V4(address)) => write!(f, "{address}"),
            Some(IpAddr::V6(address)) => write!(f, "{address}/64"),
        }
    }
}

/// Bounds the connections that have not proved who they are: all together by
/// [`Limits::unauthenticated`], and those of one [`Origin`] by
/// [`Limits::unauthenticated_per_address`].
///
/// A new connection is always let in: at a bound another one has to leave for it. So strangers that come
/// and stay, or come all the time, keep no peer out that needs less time than it takes them to fill the
/// lobby once more. The one to leave is, in this order, one that has shown no good token; of the origin
/// that has the most; the oldest. Whether it has sent something does not count: a byte costs a stranger
/// nothing, and a peer that has just connected has sent none either.
///
/// `K` names a connection to the loop that drives it. Nothing here is done to a connection: the loop
/// closes the one that has to leave. [Sockets](crate::socket::Socket) are in a lobby of their grid's by
/// themselves; this is for loops that have [acceptors](super::Acceptor).
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
///
/// use gridmux_core::limits::Limits;
/// use gridmux_core::link::{Lobby, Origin};
///
/// let mut lobby = Lobby::new(&Limits { unauthenticated: 2, ..Limits::default() });
/// let from = |last| Origin::new(Some(Ipv4Addr::new(10, 0, 0, last).into()));
/// assert_eq!(lobby.enter(1, from(9)), None);
/// assert_eq!(lobby.enter(2, from(9)), None);
/// // Both are in, and the next one takes the place of the older one.
/// assert_eq!(lobby.enter(3, from(1)), Some((1, from(9))));
/// // It has shown a good token: it is not the next to leave, though the origins are on a par.
/// lobby.trust(3);
/// assert_eq!(lobby.enter(4, from(1)), Some((2, from(9))));
/// // It is the link of a peer now, or closed.
/// lobby.leave(3);
/// assert_eq!(lobby.len(), 1);
/// ```
#[derive(Debug)]
pub struct Lobby<K> {
    limit: usize,
    per_origin: usize,
    guests: BTreeMap<K, Guest>,
    strangers: Queue<K>,
    trusted: Queue<K>,
    entered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Guest {
    /// Its place in the order of arrival.
    number: u64,
    origin: Origin,
    trusted: bool,
}

impl<K: Ord + Copy> Lobby<K> {
    /// An empty one with these bounds.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.unauthenticated,
            per_origin: limits.unauthenticated_per_address,
            guests: BTreeMap::new(),
            strangers: Queue::new(),
            trusted: Queue::new(),
            entered: 0,
        }
    }

    /// A connection has come in. Gives the one that has to be closed for it, if there is no room for both,
    /// and where that came from; it has left the lobby.
    ///
    /// A key that is in already stands for the new connection from now on.
    #[must_use]
    pub fn enter(&mut self, key: K, origin: Origin) -> Option<(K, Origin)> {
        self.leave(key);
        let former = self.has_to_leave(origin);
        if let Some((former, _)) = former {
            self.leave(former);
        }
        self.entered += 1;
        let guest = Guest { number: self.entered, origin, trusted: false };
        self.guests.insert(key, guest);
        self.strangers.insert(guest, key);
        former
    }

    fn has_to_leave(&self, origin: Origin) -> Option<(K, Origin)> {
        let queues = [&self.strangers, &self.trusted];
        let same = queues.iter().map(|queue| queue.len_of(origin)).sum::<usize>();
        if same >= self.per_origin {
            return queues
                .iter()
                .find_map(|queue| queue.oldest_of(origin))
                .map(|key| (key, origin));
        }
        if self.guests.len() < self.limit {
            return None;
        }
        queues.iter().find_map(|queue| queue.first_to_leave())
    }

    /// The connection's upgrade request has come whole, and its token is good
    /// ([`Acceptor::has_shown_token`](super::Acceptor::has_shown_token)): it leaves after those that have
    /// shown none.
    pub fn trust(&mut self, key: K) {
        if let Some(guest) = self.guests.get_mut(&key)
            && !guest.trusted
        {
            self.strangers.remove(*guest);
            guest.trusted = true;
            self.trusted.insert(*guest, key);
        }
    }

    /// The connection has proved who it is, was refused, or is closed. Nothing happens if it had to leave
    /// already.
    pub fn leave(&mut self, key: K) {
        let Some(guest) = self.guests.remove(&key) else { return };
        let queue = if guest.trusted { &mut self.trusted } else { &mut self.strangers };
        queue.remove(guest);
    }

    /// Whether the connection is in, that is, has not had to leave.
    pub fn contains(&self, key: K) -> bool {
        self.guests.contains_key(&key)
    }

    /// Connections that are in.
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    /// A place that nothing frees any more: there is one less.
    #[cfg(feature = "planted")]
    pub(crate) fn leak(&mut self) {
        self.limit = self.limit.saturating_sub(1);
    }

    /// Whether all places have leaked.
    #[cfg(feature = "planted")]
    pub(crate) fn has_no_place(&self) -> bool {
        self.limit == 0
    }
}

/// Guests of one rank, by origin and age.
#[derive(Debug)]
struct Queue<K> {
    by_origin: BTreeMap<Origin, BTreeMap<u64, K>>,
    /// How many each origin has, the number of its oldest, and the origin: the last one leaves first.
    sizes: BTreeSet<(usize, Reverse<u64>, Origin)>,
}

impl<K: Copy> Queue<K> {
    const fn new() -> Self {
        Self { by_origin: BTreeMap::new(), sizes: BTreeSet::new() }
    }

    fn insert(&mut self, guest: Guest, key: K) {
        self.change(guest.origin, |group| group.insert(guest.number, key));
    }

    fn remove(&mut self, guest: Guest) {
        self.change(guest.origin, |group| group.remove(&guest.number));
    }

    fn change<T>(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeMap<u64, K>) -> T) {
        let group = self.by_origin.entry(origin).or_default();
        let size = |group: &BTreeMap<u64, K>| {
            group.first_key_value().map(|(oldest, _)| (group.len(), Reverse(*oldest), origin))
        };
        if let Some(before) = size(group) {
            self.sizes.remove(&before);
        }
        change(group);
        match size(group) {
            Some(after) => {
                self.sizes.insert(after);
            }
            None => {
                self.by_origin.remove(&origin);
            }
        }
    }

    fn len_of(&self, origin: Origin) -> usize {
        self.by_origin.get(&origin).map_or(0, BTreeMap::len)
    }

    fn oldest_of(&self, origin: Origin) -> Option<K> {
        self.by_origin.get(&origin)?.first_key_value().map(|(_, key)| *key)
    }

    fn first_to_leave(&self) -> Option<(K, Origin)> {
        let (_, _, origin) = self.sizes.last()?;
        Some((self.oldest_of(*origin)?, *origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lobby(unauthenticated: usize, unauthenticated_per_address: usize) -> Lobby<u32> {
        let limits = Limits { unauthenticated, unauthenticated_per_address, ..Limits::default() };
        Lobby::new(&limits)
    }

    fn from(last: u8) -> Origin {
        Origin::new(Some([10, 0, 0, last].into()))
    }

    /// Who has to leave for each of those that enter, by key and origin.
    fn leave(lobby: &mut Lobby<u32>, enter: &[(u32, u8)]) -> Vec<u32> {
        let former = enter.iter().map(|(key, last)| lobby.enter(*key, from(*last)));
        former.map(|former| former.map_or(0, |(key, _)| key)).collect()
    }

    #[test]
    fn as_many_as_the_limit_says_are_in_and_no_more() {
        for limit in 1..5 {
            let mut lobby = lobby(limit, 100);
            for n in 1..=20_usize {
                let former = lobby.enter(n.try_into().expect("small"), from(1));
                assert_eq!(former.is_some(), n > limit, "{n} of {limit}");
                assert_eq!(lobby.len(), n.min(limit));
            }
        }
    }

    #[test]
    fn the_oldest_leaves_and_not_the_newest() {
        let mut lobby = lobby(3, 3);
        let enter = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)];
        assert_eq!(leave(&mut lobby, &enter), [0, 0, 0, 1, 2]);
        assert!(!lobby.contains(2) && lobby.contains(5));
        lobby.leave(4);
        assert_eq!(leave(&mut lobby, &[(6, 1), (7, 1)]), [0, 3]);
    }

    #[test]
    fn the_origin_with_the_most_makes_room_for_the_others() {
        let mut lobby = lobby(4, 4);
        let enter = [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 4), (7, 4)];
        // Of three with one each and one with two, that; then the oldest of all.
        assert_eq!(leave(&mut lobby, &enter), [0, 0, 0, 0, 2, 3, 1]);
        assert_eq!(lobby.len(), 4);
    }

    #[test]
    fn one_origin_has_no_more_than_its_share_and_its_own_oldest_leaves() {
        let mut lobby = lobby(100, 2);
        let enter = [(1, 9), (2, 1), (3, 1), (4, 1), (5, 1), (6, 9), (7, 9)];
        assert_eq!(leave(&mut lobby, &enter), [0, 0, 0, 2, 3, 0, 1]);
        assert_eq!(lobby.len(), 4);
    }

    #[test]
    fn a_good_token_is_worth_more_than_age_and_origin() {
        let mut lobby = lobby(3, 3);
        assert_eq!(leave(&mut lobby, &[(1, 1), (2, 1), (3, 2)]), [0, 0, 0]);
        lobby.trust(1);
        lobby.trust(2);
        lobby.trust(2);
        assert_eq!(leave(&mut lobby, &[(4, 3), (5, 4)]), [3, 4]);
        lobby.trust(5);
        // Only those with tokens are left.
        assert_eq!(leave(&mut lobby, &[(6, 5), (7, 6)]), [1, 6]);
        lobby.trust(4);
        assert!(!lobby.contains(4), "it has left");
    }

    #[test]
    fn a_flood_from_one_origin_leaves_the_others_where_they_are() {
        let mut lobby = lobby(256, 192);
        assert_eq!(leave(&mut lobby, &[(1, 1)]), [0]);
        for key in 10..10_000 {
            let _ = lobby.enter(key, from(2));
        }
        assert!(lobby.contains(1));
        assert_eq!(lobby.len(), 1 + 192);
    }

    #[test]
    fn a_guest_that_has_come_lately_stays_though_the_flood_is_of_its_own_origin() {
        let mut lobby = lobby(256, 192);
        for key in 10..1000 {
            let _ = lobby.enter(key, from(2));
        }
        let _ = lobby.enter(1, from(2));
        for key in 1000..1191 {
            let _ = lobby.enter(key, from(2));
            assert!(lobby.contains(1), "after {key}");
        }
        let _ = lobby.enter(2000, from(2));
        assert!(!lobby.contains(1));
    }

    #[test]
    fn what_has_left_or_never_came_changes_nothing() {
        let mut lobby = lobby(2, 2);
        let _ = lobby.enter(1, from(1));
        lobby.leave(1);
        lobby.leave(1);
        lobby.trust(1);
        assert!(lobby.is_empty());
        assert!(lobby.strangers.by_origin.is_empty() && lobby.strangers.sizes.is_empty());
        assert!(lobby.trusted.by_origin.is_empty() && lobby.trusted.sizes.is_empty());
        // A key that comes again is another connection.
        let enter = [(1, 1), (2, 2), (1, 1), (3, 3)];
        assert_eq!(leave(&mut lobby, &enter), [0, 0, 0, 2]);
    }

    #[test]
    fn an_origin_is_what_one_host_cannot_change() {
        let origin = |address: &str| Origin::new(Some(address.parse().expect("an address")));
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
        assert_eq!(origin("10.0.0.1"), origin("::ffff:10.0.0.1"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:ffff:ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(origin("10.0.0.1").to_string(), "10.0.0.1");
        assert_eq!(Origin::new(None).to_string(), "unknown");
    }
}
