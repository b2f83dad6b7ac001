//! What a Go node does otherwise than we do, each with a switch of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::census::FaultId;
use crate::keyed::{Keyed, Purpose};
use crate::world::SimRuntime;

/// The row of the fault table.
pub(super) const ROW: &str = "N8";

/// Something that a Go node does (PROTOCOL.md sections 5 and 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quirk {
    /// A caller answers AckMux, MuxServerMsg and Pong of a mux that is over with
    /// DisconnectClientMux (7.1).
    WrongDirection,
    /// Mux ids are 1, 2, 3 and so on (5).
    SmallIds,
    /// A Request never says that its payload is empty rather than nil (5.1).
    NeverZero,
    /// A caller that drops a single request says nothing (5.1).
    SilentCancel,
    /// Deadlines are rounded down to milliseconds (5.1).
    RoundsDown,
    /// A handler of a single request runs on when its deadline has passed (7.4).
    RunsOn,
    /// A caller cancels a stream twice, the second time with seq 0 (5).
    DoubleCancel,
    /// A credit goes back when an item leaves the queue, before the handler takes it (5.2).
    EarlyCredits,
    /// A caller forgets the items that it has not taken when an error follows (7.8).
    LosesItems,
    /// A callee that is past the deadline says so with nothing but a DisconnectClientMux (5.2).
    BareDeadline,
    /// Pongs wait behind data (7.6).
    LatePongs,
    /// A link without Pongs for 20 s is dropped, whatever else comes (4).
    OnlyPongs,
    /// A handler gives items without a payload, each of which costs a credit and is none (5.2).
    NilItems,
    /// Messages that wait travel together, the last of any size (3).
    LargeMerges,
    /// Messages travel in fragments, with WebSocket pings between them (RFC 6455, section 5.4).
    Fragments,
    /// Connect follows right behind the request for the upgrade, before that is answered (4).
    EagerConnect,
}

impl Quirk {
    pub(crate) const ALL: [Self; 16] = [
        Self::WrongDirection,
        Self::SmallIds,
        Self::NeverZero,
        Self::SilentCancel,
        Self::RoundsDown,
        Self::RunsOn,
        Self::DoubleCancel,
        Self::EarlyCredits,
        Self::LosesItems,
        Self::BareDeadline,
        Self::LatePongs,
        Self::OnlyPongs,
        Self::NilItems,
        Self::LargeMerges,
        Self::Fragments,
        Self::EagerConnect,
    ];

    /// Whether the other node gets something that it would not get otherwise.
    const fn is_sent(self) -> bool {
        !matches!(self, Self::SilentCancel | Self::RunsOn | Self::LosesItems | Self::LatePongs)
    }
}

/// The quirks of one node; those that the other nodes can feel are in the census.
#[derive(Clone, Debug)]
pub(crate) struct Quirks(Arc<BTreeMap<Quirk, Option<FaultId>>>);

impl Quirks {
    pub(crate) fn of(runtime: &SimRuntime, quirks: impl IntoIterator<Item = Quirk>) -> Self {
        let mut world = runtime.shared.world();
        let mut place = |quirk: Quirk| quirk.is_sent().then(|| world.census.place(ROW));
        Self(Arc::new(quirks.into_iter().map(|quirk| (quirk, place(quirk))).collect()))
    }

    /// Most of those that Go nodes have, and some that others may have, as the seed decides for this node.
    pub(super) fn draw(runtime: &SimRuntime, keyed: Keyed, node: usize) -> Self {
        let has = |quirk: &Quirk| {
            let key = [node as u64, *quirk as u64, 1];
            let rare = matches!(quirk, Quirk::Fragments | Quirk::EagerConnect);
            keyed.chance(Purpose::Conduct, key, if rare { 300_000 } else { 800_000 })
        };
        Self::of(runtime, Quirk::ALL.into_iter().filter(has))
    }

    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.0.contains_key(&quirk)
    }

    /// What the census calls it.
    pub(super) fn fault(&self, quirk: Quirk) -> Option<FaultId> {
        self.0.get(&quirk).copied().flatten()
    }
}
