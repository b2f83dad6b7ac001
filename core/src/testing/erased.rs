//! Any runtime as one type.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;

use crate::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use crate::driver::workers::Post;
use crate::time::{Instant, Now};

/// A runtime whose type is not known: what is written for every runtime is compiled once for all.
#[derive(Clone)]
pub struct Erased(Arc<dyn Erase>);

impl Erased {
    /// `runtime`, without its type.
    pub fn new<R: Runtime + Send + Sync + 'static>(runtime: R) -> Self {
        Self(Arc::new(runtime))
    }
}

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erased").finish_non_exhaustive()
    }
}

/// What a [`Runtime`] does, as an object.
trait Erase: Clock + Send + Sync {
    fn check(&self) -> io::Result<()>;
    fn spawn(&self, future: BoxFuture<'static, ()>);
    fn spawn_short(&self, future: BoxFuture<'static, ()>);
    fn rest(&self);
    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()>;
    fn yield_now(&self, cx: &mut Context<'_>) -> bool;
    fn is_slow_to_wake(&self) -> bool;
    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>>;
    fn connector(&self) -> Box<dyn Connector>;
    fn random(&self) -> io::Result<[u8; 16]>;
    fn for_node(&self, index: usize) -> Erased;
}

impl<R: Runtime + Send + Sync + 'static> Erase for R {
    fn check(&self) -> io::Result<()> {
        Runtime::check(self)
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        Runtime::spawn(self, future);
    }

    fn spawn_short(&self, future: BoxFuture<'static, ()>) {
        Runtime::spawn_short(self, &Post::default(), future);
    }

    fn rest(&self) {
        Runtime::rest(self);
    }

    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        Runtime::poll_rested(self, cx)
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        Runtime::yield_now(self, cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        Runtime::is_slow_to_wake(self)
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Runtime::bind(self, address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        Runtime::connector(self)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        Runtime::random(self)
    }

    fn for_node(&self, index: usize) -> Erased {
        Erased::new(Runtime::for_node(self, index))
    }
}

impl Clock for Erased {
    fn instant(&self) -> Instant {
        self.0.instant()
    }

    fn now(&self) -> Now {
        self.0.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.0.timer()
    }
}

impl Runtime for Erased {
    fn check(&self) -> io::Result<()> {
        self.0.check()
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.0.spawn(Box::pin(future));
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, _: &Post<F>, future: F) {
        self.0.spawn_short(Box::pin(future));
    }

    fn rest(&self) {
        self.0.rest();
    }

    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_rested(cx)
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        self.0.yield_now(cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        self.0.is_slow_to_wake()
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.0.bind(address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        self.0.connector()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.0.random()
    }

    fn for_node(&self, index: usize) -> Self {
        self.0.for_node(index)
    }
}
