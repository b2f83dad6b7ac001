//! What a user can rely on where the nodes of one grid run on different runtimes: tokio, smol and
//! async-std, in every order, so that each of them dials and serves each of the others.

use std::convert::Infallible;
use std::io;
use std::task::Context;

use gridmux_smol::Smol;
use gridmux_tokio::Tokio;
use gridmux_tokio::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use gridmux_tokio::driver::workers::Post;
use gridmux_tokio::payload::NoPayload;
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::TestGrid;
use gridmux_tokio::time::{Instant, Now};

/// One of the runtimes, and which of them the nodes of a grid take in turn.
#[derive(Clone, Debug)]
struct Mixed {
    own: Own,
    nodes: [Own; 3],
}

#[derive(Clone, Debug)]
enum Own {
    Tokio(Tokio),
    Smol(Smol),
}

impl Mixed {
    fn of(nodes: [Own; 3]) -> Self {
        Self { own: nodes[0].clone(), nodes }
    }
}

fn on_tokio() -> Own {
    Own::Tokio(Tokio::default())
}

fn on_smol() -> Own {
    Own::Smol(Smol::default())
}

fn on_async_std() -> Own {
    Own::Smol(Smol::spawning_with(|task| drop(async_std::task::spawn(task))))
}

macro_rules! own {
    ($self:ident, $runtime:ident => $do:expr) => {
        match &$self.own {
            Own::Tokio($runtime) => $do,
            Own::Smol($runtime) => $do,
        }
    };
}

impl Clock for Mixed {
    fn instant(&self) -> Instant {
        own!(self, runtime => runtime.instant())
    }

    fn now(&self) -> Now {
        own!(self, runtime => runtime.now())
    }

    fn timer(&self) -> Box<dyn Timer> {
        own!(self, runtime => runtime.timer())
    }
}

impl Runtime for Mixed {
    fn check(&self) -> io::Result<()> {
        own!(self, runtime => runtime.check())
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        own!(self, runtime => runtime.spawn(future));
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        own!(self, runtime => runtime.spawn_short(post, future));
    }

    fn rest(&self) {
        own!(self, runtime => runtime.rest());
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        own!(self, runtime => runtime.yield_now(cx))
    }

    fn is_slow_to_wake(&self) -> bool {
        own!(self, runtime => runtime.is_slow_to_wake())
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        own!(self, runtime => runtime.bind(address))
    }

    fn connector(&self) -> Box<dyn Connector> {
        own!(self, runtime => runtime.connector())
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        own!(self, runtime => runtime.random())
    }

    fn for_node(&self, index: usize) -> Self {
        Self { own: self.nodes[index % 3].clone(), nodes: self.nodes.clone() }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tokio")
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future);
}

/// The whole suite, for each order.
macro_rules! orders {
    ($($order:ident: $($node:ident)*;)*) => {$(
        mod $order {
            use super::*;

            gridmux_core::behaviour_suite!(block_on, Mixed::of([$($node()),*]));
        }
    )*};
}

// Most behaviours are of two nodes: each pair begins one order.
orders! {
    tokio_dials_smol: on_tokio on_smol on_async_std;
    tokio_dials_async_std: on_tokio on_async_std on_smol;
    smol_dials_tokio: on_smol on_tokio on_async_std;
    smol_dials_async_std: on_smol on_async_std on_tokio;
    async_std_dials_tokio: on_async_std on_tokio on_smol;
    async_std_dials_smol: on_async_std on_smol on_tokio;
}

#[test]
fn every_node_runs_on_its_own_runtime() {
    const WHERE: Unary<NoPayload, String> = Unary::new(1, "where");
    block_on(async {
        let runtime = Mixed::of([on_tokio(), on_smol(), on_async_std()]);
        let grid = TestGrid::new(&runtime, 3, |_, builder| {
            builder.serve(WHERE, |_, _| async {
                Ok::<_, Infallible>(std::thread::current().name().unwrap_or_default().to_owned())
            })
        });
        grid.connected().await;
        for (caller, callee) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            let thread = grid.peer(caller, callee).call(WHERE, &NoPayload).await;
            let thread = thread.expect("an answer");
            let runtime = ["tokio", "smol-", "async-std"][callee];
            assert!(thread.starts_with(runtime), "node {callee} runs on {thread}");
        }
    });
}
