//! The processes of a run.

use std::sync::Arc;
use std::time::Duration;

use gridmux_core::driver::time::sleep;

use super::board::{Board, Exit};
use super::context::{Common, NodeContext};
use super::orders::Orders;
use super::simulation::Main;
use super::view::Lives;
use crate::keyed::name_key;
use crate::run::chaos::Victims;
use crate::script::Operation;
use crate::world::{Cue, Death, LifeId, Shared, SimRuntime};

/// A process that runs.
struct Process {
    runtime: SimRuntime,
    orders: Arc<Orders>,
    /// Who is to be told once it has ended in order.
    done: Option<Cue>,
}

/// Where the processes of the nodes run.
pub(super) struct Places<N> {
    shared: Arc<Shared>,
    main: Main<N>,
    board: Arc<Board<N>>,
    common: Arc<Common>,
    running: Vec<Option<Process>>,
    pub(super) lives: Lives,
}

impl<N: Send + 'static> Places<N> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        main: &Main<N>,
        board: &Arc<Board<N>>,
        common: Common,
    ) -> Self {
        let count = common.names.len();
        Self {
            shared: shared.clone(),
            main: main.clone(),
            board: board.clone(),
            common: Arc::new(common),
            running: (0..count).map(|_| None).collect(),
            lives: Lives::new(count),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.world().now)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// Asks all processes to end.
    pub(super) fn stop_all(&self, grace: Duration) {
        self.running.iter().flatten().for_each(|process| process.orders.stop(grace));
    }

    pub(super) fn kill_all(&mut self) {
        (0..self.running.len()).for_each(|node| self.kill(node, Death::Closed));
    }

    /// Tells a node what to do; whether a process of it runs.
    pub(super) fn tell(&self, operation: &Operation) -> bool {
        let process = self.running[operation.node].as_ref();
        process.inspect(|process| process.orders.tell(operation.clone())).is_some()
    }

    /// A main function has returned, and with it ends its process, unless that is dead anyway.
    pub(super) fn bury(&mut self, exit: &Exit) -> bool {
        let is_it = |process: &Process| process.runtime.life == exit.life;
        if !self.running[exit.node].as_ref().is_some_and(is_it) {
            return false;
        }
        let done = self.running[exit.node].as_ref().and_then(|process| process.done);
        self.kill(exit.node, Death::Closed);
        if let Some(done) = done {
            cue_now(&self.shared, done);
        }
        true
    }
}

fn cue_now(shared: &Shared, cue: Cue) {
    let mut world = shared.world();
    let now = world.now;
    world.cue(now, cue);
}

impl<N: Send + 'static> Victims for Places<N> {
    fn is_running(&self, node: usize) -> bool {
        self.running[node].is_some()
    }

    fn start(&mut self, node: usize) {
        if self.running[node].is_some() {
            return;
        }
        let runtime = self.shared.start(node);
        let orders = Arc::new(Orders::default());
        let context = NodeContext::new(runtime.clone(), &self.board, &self.common, &orders);
        let (main, board, life): (_, _, LifeId) =
            (self.main.clone(), self.board.clone(), runtime.life);
        runtime.spawn_keyed(name_key("main"), async move {
            let result = main(context).await;
            board.exit(Exit { node, life, result });
        });
        self.lives.born(node, self.now());
        self.running[node] = Some(Process { runtime, orders, done: None });
    }

    fn kill(&mut self, node: usize, how: Death) {
        if self.running[node].take().is_some() {
            self.lives.died(node, self.now());
            self.shared.kill(node, how);
        }
    }

    fn shut_down(&mut self, node: usize, grace: u64, done: Cue) {
        let Some(process) = &mut self.running[node] else { return };
        process.done = Some(done);
        let (runtime, grace) = (process.runtime.clone(), Duration::from_nanos(grace));
        process.orders.stop(grace);
        process.runtime.spawn_keyed(name_key("supervisor"), async move {
            sleep(&runtime, grace).await;
            cue_now(&runtime.shared, done);
        });
    }

    // What only scripted applications can do or suffer: see `Simulation::replay`.

    fn start_twin(&mut self, _: usize) {}

    fn kill_twin(&mut self, _: usize) {}

    fn panic(&mut self, _: usize, _: usize, _: bool) -> bool {
        false
    }

    fn remove_peer(&mut self, _: usize, _: usize) {}

    fn add_peer(&mut self, _: usize, _: usize) {}
}
