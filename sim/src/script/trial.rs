//! Configurations that cannot work.

/// A mistake in the configuration of a node, which is to be refused by type when the node starts;
/// it then starts with the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trial {
    /// Its own name stands twice in the list of nodes.
    OwnTwice,
    /// A peer's name ends with a slash.
    Slash,
    /// The scheme of a peer's name is in capitals.
    Capitals,
    /// A handle of a peer is asked for that is in no list.
    UnknownPeer,
    /// A handle of the node itself is asked for, to call itself.
    OwnHandle,
    /// The node adds itself as a peer.
    OwnPeer,
    /// The node adds a peer that it has.
    SamePeer,
    /// There is nothing that nodes know each other by.
    NoAuth,
    /// Their secret is so short that it can be guessed.
    ShortSecret,
    /// Their tokens could end before they are checked.
    ShortLife,
    /// Their token has a space.
    SplitToken,
    /// Two handlers have one route.
    SameRoute,
    /// The path of the upgrade does not begin with a slash.
    HttpRoute,
    /// Hardly a message is within the limit.
    Limit,
    /// The node is to listen on an address that is not its machine's.
    Elsewhere,
}

impl Trial {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::OwnTwice,
        Self::Slash,
        Self::Capitals,
        Self::UnknownPeer,
        Self::OwnHandle,
        Self::OwnPeer,
        Self::SamePeer,
        Self::NoAuth,
        Self::ShortSecret,
        Self::ShortLife,
        Self::SplitToken,
        Self::SameRoute,
        Self::HttpRoute,
        Self::Limit,
        Self::Elsewhere,
    ];
}
