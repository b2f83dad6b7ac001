//! Histories made by hand, for the tests of the oracles. Times are milliseconds.

use gridmux_core::error::CallError;
use gridmux_core::limits::Limits;
use gridmux_core::timings::Timings;

use super::o12_one_link::dials;
use super::{
    ConnectionLife, Evidence, Farewell, Fired, Inside, LinkView, NodeLife, PairState, Phases,
    Verdicts, Wire, judge_without, oracles,
};
use crate::history::{CallId, Entry, Sight};
use crate::script::{Call, Deed, Fault, Line, Moment, Route, Script};
use crate::verdict::OracleId;

pub(crate) const MS: u64 = 1_000_000;

/// The link was lost while a call was open.
pub(crate) const LOST: CallError = CallError::Disconnected { may_have_run: true };

/// The deadline has passed.
pub(crate) const EXPIRED: CallError = CallError::DeadlineExceeded { may_have_run: true };

/// Evidence in the making: all nodes are connected from the first millisecond on.
pub(crate) struct Tale {
    pub(crate) evidence: Evidence,
}

impl Tale {
    pub(crate) fn new(nodes: usize) -> Self {
        let evidence = Evidence {
            script: Script::new(1, nodes),
            timings: Timings::default(),
            limits: Limits::default(),
            entries: Vec::new(),
            fired: Vec::new(),
            lives: vec![vec![NodeLife { born: 0, started: Some(0), died: None }]; nodes],
            connections: Vec::new(),
            views: Vec::new(),
            dials: Vec::new(),
            phases: Phases {
                heal: 10_000 * MS,
                probe: 60_000 * MS,
                drain: 200_000 * MS,
                quiet: 300_000 * MS,
            },
            pairs: Vec::new(),
            gauges: Vec::new(),
            walls: vec![0; nodes],
            stillborn: Vec::new(),
            silences: Vec::new(),
            stalls: Vec::new(),
            standstills: Vec::new(),
            pings: Vec::new(),
            intakes: Vec::new(),
            needless: Vec::new(),
            credits: Vec::new(),
            streams: Vec::new(),
            starved_at: None,
            inside: Inside::default(),
            farewell: Farewell { quiet: Some(201_000 * MS), ..Farewell::default() },
            wire: Wire::default(),
        };
        let mut tale = Self { evidence };
        for (one, other) in (0..nodes).flat_map(|one| (one + 1..nodes).map(move |b| (one, b))) {
            tale.connect(0, one, other);
            let open = vec![tale.evidence.connections.len() - 1];
            let pair = PairState { nodes: [one, other], connected: [true; 2], open };
            tale.evidence.pairs.push(pair);
        }
        tale
    }

    /// Two nodes, one call, and what was seen of it.
    pub(crate) fn of(call: Call, sights: &[(u64, Sight)]) -> Self {
        let mut tale = Self::new(2);
        let id = tale.call(call);
        for (at, sight) in sights {
            tale.see(*at, id, sight.clone());
        }
        tale
    }

    pub(crate) fn call(&mut self, call: Call) -> CallId {
        let line = Line { moment: Moment::At(0), deed: Deed::Call(call) };
        self.evidence.script.lines.push(line);
        self.evidence.script.calls().count() - 1
    }

    pub(crate) fn fault(&mut self, at: u64, until: u64, fault: Fault) -> &mut Self {
        let line = self.evidence.script.lines.len();
        let deed = Deed::Fault(fault);
        self.evidence.script.lines.push(Line { moment: Moment::At(at * MS), deed });
        self.evidence.fired.push(Fired { line, at: at * MS, until: until.saturating_mul(MS) });
        self
    }

    /// Something is seen of a call by its caller, or by its first handler.
    pub(crate) fn see(&mut self, at: u64, call: CallId, sight: Sight) -> &mut Self {
        self.see_serving(at, call, 0, sight)
    }

    pub(crate) fn see_serving(
        &mut self,
        at: u64,
        call: CallId,
        serving: u32,
        sight: Sight,
    ) -> &mut Self {
        let Some(Call { from, to, .. }) = self.evidence.script.calls().nth(call) else {
            panic!("no call {call}");
        };
        let (node, serving) = if sight.is_of_caller() { (*from, 0) } else { (*to, serving) };
        let life = self.life(node);
        let (at, clock) = (at * MS, at * MS);
        self.evidence.entries.push(Entry { at, node, life, clock, call, serving, sight });
        self
    }

    fn life(&self, node: usize) -> u64 {
        self.evidence.lives[node].len() as u64 - 1
    }

    fn view(&mut self, at: u64, node: usize, peer: usize, up: bool) {
        let life = self.life(node);
        let (at, clock) = (at * MS, at * MS);
        self.evidence.views.push(LinkView { node, life, peer, at, clock, up });
    }

    /// Two nodes connect; a millisecond later both see it.
    pub(crate) fn connect(&mut self, at: u64, one: usize, other: usize) -> &mut Self {
        let name = |node| self.evidence.script.node_name(node);
        let nodes = if dials(&name(one), &name(other)) { [one, other] } else { [other, one] };
        let life = ConnectionLife {
            nodes,
            lives: nodes.map(|node| self.life(node)),
            opened_at: at * MS,
            accepted_at: Some(at * MS),
            agreed_at: Some(at * MS),
            refused_at: None,
            broken_at: [None; 2],
        };
        self.evidence.connections.push(life);
        self.view(at + 1, one, other, true);
        self.view(at + 1, other, one, true);
        self
    }

    /// All connections of two nodes break, and both see it.
    pub(crate) fn lose(&mut self, at: u64, one: usize, other: usize) -> &mut Self {
        for life in &mut self.evidence.connections {
            if life.nodes == [one, other] || life.nodes == [other, one] {
                life.broken_at = life.broken_at.map(|end| end.or(Some(at * MS)));
            }
        }
        self.view(at, one, other, false);
        self.view(at, other, one, false);
        self
    }

    /// A node dies; its links with it.
    pub(crate) fn kill(&mut self, at: u64, node: usize) -> &mut Self {
        for peer in (0..self.evidence.lives.len()).filter(|peer| *peer != node) {
            self.lose(at, node, peer);
        }
        if let Some(life) = self.evidence.lives[node].last_mut() {
            life.died = Some(at * MS);
        }
        self
    }

    /// What one oracle says.
    pub(crate) fn verdicts(&self, oracle: u8) -> Verdicts {
        let others: Vec<_> = oracles().filter(|id| *id != OracleId(oracle)).collect();
        judge_without(&self.evidence, &others)
    }

    /// The rules that one oracle finds broken.
    pub(crate) fn broken(&self, oracle: u8) -> Vec<&'static str> {
        self.verdicts(oracle).failures.iter().map(|failure| failure.rule).collect()
    }

    /// The oracle has judged something, and finds nothing broken.
    #[track_caller]
    pub(crate) fn is_good(&self, oracle: u8) {
        let verdicts = self.verdicts(oracle);
        assert_eq!(verdicts.failures, [], "O{oracle}");
        assert!(verdicts.judged.contains_key(&OracleId(oracle)), "O{oracle} has judged nothing");
    }
}

/// A call of node 0 to node 1.
pub(crate) fn call(route: Route) -> Call {
    Call::new("c", 0, 1, route)
}
