//! One of ours and one that is not, for tests: what ours says to it, and what it thinks of it.

use std::sync::{Arc, Mutex};

use gridmux_core::auth::SharedSecret;
use gridmux_core::handle::{Grid, PeerHandle};
use gridmux_core::link::LinkState;
use gridmux_core::node::authority;

use super::{Complaints, Here};
use crate::app::{self, Stage, Witness};
use crate::census::Tally;
use crate::history::{CallId, Sight};
use crate::keyed::Keyed;
use crate::run::Recorder;
use crate::script::{Call, NodeKind, Script};
use crate::trace::{Brief, Happening};
use crate::world::{End, Shared, SimRuntime, Step};

const SECRET: &str = "the secret of this stand";
pub(super) const SECOND: u64 = 1_000_000_000;

/// Ours is node 0; the other one is node 1.
pub(super) struct Stand {
    shared: Arc<Shared>,
    recorder: Recorder,
    stage: Arc<Stage>,
    names: Arc<[String]>,
    ours: SimRuntime,
    grid: Grid<SimRuntime>,
    theirs: SimRuntime,
    complaints: Complaints,
    now: u64,
}

impl Stand {
    /// Both have machines; ours runs, and serves and will make these calls. It dials, or is
    /// dialled.
    pub(super) fn new(calls: Vec<Call>, dials: bool) -> Self {
        let script = Script::new(5, 2);
        let own = script.node_name(0);
        let mut others = (1..).map(|node| script.node_name(node));
        let other = others.find(|other| gridmux_core::link::dials(&own, other) == dials);
        let names: Arc<[String]> = [own, other.expect("half of all names")].into();
        let shared = Shared::new(5, names.to_vec(), script.knobs.clone());
        let recorder = Recorder::new(&script, true, false);
        shared.world().observer = Some(Box::new(recorder.clone()));
        let stage = Stage::new(Keyed::new(5));
        for (number, call) in calls.into_iter().enumerate() {
            stage.add(Call { name: format!("{}{number}", call.name), ..call });
        }
        let (ours, theirs) = (shared.start(0), shared.start(1));
        let builder = Grid::builder_on(ours.clone(), &names[0])
            .peers(names.iter().cloned())
            .auth(SharedSecret::new(SECRET).expect("long enough"));
        let grid = app::serve(builder, &stage, &ours, 0).build().expect("a good configuration");
        grid.listen(authority(&names[0]).expect("a name")).expect("nobody listens");
        Self {
            shared,
            recorder,
            stage,
            names,
            ours,
            grid,
            theirs,
            complaints: Complaints::default(),
            now: 0,
        }
    }

    /// What the other one stands on.
    pub(super) fn here(&self) -> Here {
        Here {
            runtime: self.theirs.clone(),
            node: 1,
            names: self.names.clone(),
            secret: Arc::new(SharedSecret::new(SECRET).expect("long enough")),
            stage: self.stage.clone(),
            crc: true,
            views: Arc::new(Mutex::default()),
            kinds: [NodeKind::Ours; 2].into(),
            complaints: self.complaints.clone(),
        }
    }

    pub(super) fn peer(&self) -> PeerHandle {
        self.grid.peer(&self.names[1]).expect("it is configured")
    }

    pub(super) fn is_up(&self) -> bool {
        self.peer().state() == LinkState::Connected
    }

    /// Lets so many nanoseconds pass.
    pub(super) fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        loop {
            match self.shared.step(self.now) {
                Step::Quiet => break,
                Step::Done | Step::Cue(_) => {}
                Step::Busy => panic!("tasks run while time stands still"),
            }
        }
        let panics = self.shared.world().panics.clone();
        assert!(panics.is_empty(), "{panics:?}");
        let complaints = self.complaints.take();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Ours makes a call.
    pub(super) fn call(&self, id: CallId) {
        let call = self.stage.call(id).expect("it was given");
        let witness = Witness::of_caller(&self.stage, &self.ours, id);
        let performance = app::perform(witness, call, self.peer());
        self.ours.spawn_keyed(id as u64, performance);
    }

    /// The application of a call drops it.
    pub(super) fn cancel(&self, id: CallId) {
        self.stage.cancel(id);
    }

    /// A call, and who would see what becomes of it at the other one.
    pub(super) fn theirs(&self, id: CallId) -> (Witness, Arc<Call>) {
        let witness = Witness::of_caller(&self.stage, &self.theirs, id);
        (witness, self.stage.call(id).expect("it was given"))
    }

    /// What was seen of a call.
    pub(super) fn seen(&self, id: CallId) -> Vec<Sight> {
        let entries = self.stage.history.entries();
        entries.into_iter().filter(|entry| entry.call == id).map(|entry| entry.sight).collect()
    }

    /// What a node has said.
    fn all_said(&self, node: usize) -> Vec<Brief> {
        let record = self.recorder.record();
        let trace = record.trace.as_deref().unwrap_or_default();
        let frames = trace.iter().filter_map(|event| match &event.what {
            Happening::FrameSent { conn, end, messages, .. } => {
                let dialler = record.lives[conn.0 as usize].nodes[0];
                let from = if *end == End::Dialler { dialler } else { 1 - dialler };
                (from == node).then_some(messages)
            }
            _ => None,
        });
        frames.flatten().cloned().collect()
    }

    /// What a node has said, but for pings of the link.
    fn said(&self, node: usize) -> Vec<Brief> {
        let mut said = self.all_said(node);
        said.retain(|brief| brief.mux != 0 || !matches!(brief.op, "Ping" | "Pong"));
        said
    }

    /// What ours has said.
    pub(super) fn ours_said(&self) -> Vec<Brief> {
        self.said(0)
    }

    /// What the other one has said.
    pub(super) fn theirs_said(&self) -> Vec<Brief> {
        self.said(1)
    }

    /// How often the other one has pinged the link.
    pub(super) fn theirs_pinged(&self) -> usize {
        let is_ping = |brief: &&Brief| brief.mux == 0 && brief.op == "Ping";
        self.all_said(1).iter().filter(is_ping).count()
    }

    /// The most messages that the other one has sent together.
    pub(super) fn most_merged(&self) -> usize {
        let record = self.recorder.record();
        let trace = record.trace.as_deref().unwrap_or_default();
        let frames = trace.iter().filter_map(|event| match &event.what {
            Happening::FrameSent { conn, end, messages, .. } => {
                let dialler = record.lives[conn.0 as usize].nodes[0];
                ((*end == End::Dialler) == (dialler == 1)).then_some(messages.len())
            }
            _ => None,
        });
        frames.max().unwrap_or(0)
    }

    /// The system stops the other one for a second, in which its clock goes on by so much and ours
    /// runs.
    pub(super) fn jump_theirs(&mut self, nanos: u64) {
        self.shared.pause(1, None);
        self.shared.resume(0);
        self.pass(1_000_000_000);
        self.shared.world().tamper(1, None, |hands| hands.jump(nanos));
        self.shared.resume(1);
    }

    /// The system stops ours.
    pub(super) fn pause_ours(&self) {
        self.shared.pause(0, None);
    }

    /// How often ours has let go of a connection.
    pub(super) fn dropped(&self) -> usize {
        let record = self.recorder.record();
        let broken = |life: &&crate::oracle::ConnectionLife| {
            let ours = usize::from(life.nodes[0] != 0);
            life.broken_at[ours].is_some()
        };
        record.lives.iter().filter(broken).count()
    }

    pub(super) fn tally(&self, row: &str) -> Tally {
        self.shared.world().census.tallies().get(row).copied().unwrap_or_default()
    }
}
