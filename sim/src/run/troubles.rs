//! Has faults happen, and lifts those that last.

use super::chaos::{Chaos, Victims};
use crate::census::FaultId;
use crate::script::Fault;
use crate::world::{Death, DialFate, NOMINAL};

/// What lifts a fault that lasts.
#[derive(Clone, Debug)]
pub(crate) enum Relief {
    Unblock(Vec<(usize, usize)>),
    Dial {
        from: usize,
        to: usize,
    },
    Unsqueeze {
        from: usize,
        to: usize,
    },
    Widen {
        from: usize,
        to: usize,
    },
    Start(usize),
    Resume(usize),
    NominalRate(usize),
    TwinEnds(usize),
    AddPeer {
        node: usize,
        peer: usize,
    },
    /// A graceful shutdown has ended.
    ShutDown {
        node: usize,
        back: Option<u64>,
    },
}

impl Relief {
    /// Whether it concerns only nodes for which `inside` is true.
    pub(crate) fn is_inside(&self, inside: impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Unblock(_) => true,
            Self::Dial { from, to } | Self::Unsqueeze { from, to } | Self::Widen { from, to } => {
                inside(*from) && inside(*to)
            }
            Self::AddPeer { node, peer } => inside(*node) && inside(*peer),
            Self::Start(node)
            | Self::Resume(node)
            | Self::NominalRate(node)
            | Self::TwinEnds(node)
            | Self::ShutDown { node, .. } => inside(*node),
        }
    }
}

impl Chaos<'_> {
    /// A fault comes.
    pub(super) fn strike(&mut self, fault: &Fault, id: FaultId, victims: &mut impl Victims) {
        self.shared.world().census.fired(id);
        let some = Some(id);
        match *fault {
            Fault::Reset { one, other, late } => self.shared.world().reset(one, other, late, some),
            Fault::Damage { from, to, damage } => {
                self.shared.world().damage_next(from, to, damage, some);
            }
            Fault::Stall { from, to, lasts } => self.shared.world().stall(from, to, lasts, some),
            Fault::Partition { ref group, lasts, one_way } => {
                self.partition(group, lasts, one_way, id);
            }
            Fault::Dial { from, to, fate, lasts } => {
                self.shared.world().set_dial(from, to, fate, some);
                self.later(lasts, Relief::Dial { from, to });
            }
            Fault::Squeeze { from, to, rate, lasts } => {
                self.shared.world().squeeze(from, to, rate, some);
                self.later(lasts, Relief::Unsqueeze { from, to });
            }
            Fault::Narrow { from, to, rate, buffer, lasts } => {
                self.shared.world().narrow(from, to, (rate, buffer), some);
                self.later(lasts, Relief::Widen { from, to });
            }
            Fault::Outage { one, other, lasts } => {
                self.shared.world().lose(one, other, lasts, some);
            }
            Fault::Crash { node, how, back } => {
                if victims.is_running(node) {
                    self.shared.world().census.felt(id);
                    self.kill(node, how, victims);
                }
                if let Some(back) = back {
                    self.later(back, Relief::Start(node));
                }
            }
            Fault::Pause { node, lasts } => {
                self.shared.pause(node, some);
                self.later(lasts, Relief::Resume(node));
            }
            Fault::Jump { node, ahead } => {
                self.shared.world().tamper(node, some, |hands| hands.jump(ahead));
            }
            Fault::Skew { node, by } => {
                self.shared.world().tamper(node, some, |hands| hands.skew(by));
            }
            Fault::Rate { node, rate, lasts } => {
                self.shared.world().tamper(node, some, |hands| hands.rate(rate));
                self.later(lasts, Relief::NominalRate(node));
            }
            Fault::Shutdown { node, grace, back } => {
                self.shut_down(node, grace, back, id, victims);
            }
            Fault::Twin { node, lasts } => {
                self.shared.world().census.felt(id);
                victims.start_twin(node);
                self.later(lasts, Relief::TwinEnds(node));
            }
            Fault::Panic { node, peer, using } => {
                if victims.panic(node, peer, using) {
                    self.shared.world().census.felt(id);
                }
            }
            Fault::Remove { node, peer, lasts } => {
                self.shared.world().census.felt(id);
                victims.remove_peer(node, peer);
                self.later(lasts, Relief::AddPeer { node, peer });
            }
        }
    }

    fn partition(&mut self, group: &[usize], lasts: u64, one_way: bool, id: FaultId) {
        let count = self.script.nodes.len();
        let mut ways = Vec::new();
        for inside in group {
            for outside in (0..count).filter(|node| !group.contains(node)) {
                ways.push((outside, *inside));
                if !one_way {
                    ways.push((*inside, outside));
                }
            }
        }
        for (from, to) in &ways {
            self.shared.world().block(*from, *to, true, Some(id));
        }
        self.later(lasts, Relief::Unblock(ways));
    }

    /// A fault that lasts is over.
    pub(super) fn relieve(&mut self, relief: &Relief, victims: &mut impl Victims) {
        match *relief {
            Relief::Unblock(ref ways) => {
                for (from, to) in ways {
                    if !self.is_cut_for_good(*from, *to) {
                        self.shared.world().block(*from, *to, false, None);
                    }
                }
            }
            Relief::Dial { from, to } => {
                self.shared.world().set_dial(from, to, DialFate::Works, None);
            }
            Relief::Unsqueeze { from, to } => {
                let rate = self.script.knobs.rate;
                self.shared.world().squeeze(from, to, rate, None);
            }
            Relief::Widen { from, to } => {
                let knobs = &self.script.knobs;
                self.shared.world().narrow(from, to, (knobs.rate, knobs.buffer), None);
            }
            Relief::Start(node) => {
                if !self.is_lost(node) {
                    self.start(node, victims);
                }
            }
            Relief::Resume(node) => self.shared.resume(node),
            Relief::NominalRate(node) => {
                self.shared.world().tamper(node, None, |hands| hands.rate(NOMINAL));
            }
            Relief::TwinEnds(node) => victims.kill_twin(node),
            Relief::AddPeer { node, peer } => victims.add_peer(node, peer),
            Relief::ShutDown { node, back } => {
                self.kill(node, Death::Closed, victims);
                match back {
                    // The core is to be whole.
                    _ if self.has_healed() && self.is_core(node) => self.start(node, victims),
                    Some(back) => self.later(back, Relief::Start(node)),
                    None => {}
                }
            }
        }
    }
}
