//! Handlers: from a call that has come in to the user's function and back.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use super::call::with_data;
use super::incoming::{Context, Input, Output};
use super::node_log::RouteName;
use super::shared::{Shared, State};
use crate::driver::runtime::Runtime;
use crate::driver::workers::Post;
use crate::mux::IncomingKey;
use crate::outbox::Data;
use crate::payload::{Body, Payload};
use crate::route::RouteInfo;
use crate::time::Now;

/// An inline handler that takes longer than this is warned of.
const SLOW: Duration = Duration::from_millis(1);

/// A call and all that its handler needs to know.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) payload: Payload,
    pub(crate) context: Context,
    pub(crate) route: RouteInfo,
}

/// What serves a route: something that starts a task, or runs at once.
pub(crate) enum Service<R> {
    Task(Box<dyn Start<R>>),
    Inline(Box<dyn Inline>),
}

impl<R> std::fmt::Debug for Service<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Task(_) => "Task",
            Self::Inline(_) => "Inline",
        })
    }
}

/// All services of a node, by route index.
pub(crate) type Services<R> = Arc<Vec<Service<R>>>;

pub(crate) trait Start<R>: Send + Sync {
    fn start(&self, runtime: &R, served: Served);
}

/// A plain function that runs on the link's own task, without the lock.
pub(crate) trait Inline: Send + Sync {
    /// Runs the function and queues its answer.
    fn run(&self, served: Served);
}

struct StartFn<F>(F);

impl<R, F: Fn(&R, Served) + Send + Sync> Start<R> for StartFn<F> {
    fn start(&self, runtime: &R, served: Served) {
        (self.0)(runtime, served);
    }
}

pub(crate) fn unary<R, Req, Res, E, F, Fut>(handler: F) -> Service<R>
where
    R: Runtime,
    Req: Body + 'static,
    Res: Body + 'static,
    E: Display,
    F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Res, E>> + Send + 'static,
{
    let post = Post::default();
    Service::Task(Box::new(StartFn(move |runtime: &R, served: Served| {
        let guard = Guard::new(&served);
        let request = match guard.decode(served.payload) {
            Ok(request) => request,
            Err(text) => return guard.respond(Err(&text)),
        };
        let future = match guard.catch(|| handler(request, served.context)) {
            Ok(future) => future,
            Err(text) => return guard.respond(Err(&text)),
        };
        runtime.spawn_short(&post, async move {
            match run(future, &guard, served.route.run_to_end).await {
                // Encoding the response, or the error's text, is user code too.
                Ended::Returned(result) => {
                    if let Err(text) = guard.catch(|| guard.answer(result)) {
                        guard.respond(Err(&text));
                    }
                }
                Ended::Panicked(text) => guard.respond(Err(&text)),
                Ended::Dropped => guard.gone(),
            }
        });
    })))
}

pub(crate) fn server_stream<R, Req, Item, E, F, Fut>(handler: F) -> Service<R>
where
    R: Runtime,
    Req: Body + 'static,
    Item: Body + 'static,
    E: Display + 'static,
    F: Fn(Req, Output<Item>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    stream(move |request, context: Context| {
        let output = Output::new(context.shared.clone(), context.key);
        handler(request, output, context)
    })
}

pub(crate) fn two_way<R, Req, In, Out, E, F, Fut>(handler: F) -> Service<R>
where
    R: Runtime,
    Req: Body + 'static,
    In: Body + 'static,
    Out: Body + 'static,
    E: Display + 'static,
    F: Fn(Req, Input<In>, Output<Out>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    stream(move |request, context: Context| {
        let input = Input::new(context.shared.clone(), context.key);
        let output = Output::new(context.shared.clone(), context.key);
        handler(request, input, output, context)
    })
}

pub(crate) fn client_stream<R, Req, In, Res, E, F, Fut>(handler: F) -> Service<R>
where
    R: Runtime,
    Req: Body + 'static,
    In: Body + 'static,
    Res: Body + Send + 'static,
    E: Display + 'static,
    F: Fn(Req, Input<In>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Res, E>> + Send + 'static,
{
    stream(move |request, context: Context| {
        let input = Input::new(context.shared.clone(), context.key);
        let mut output = Output::new(context.shared.clone(), context.key);
        let future = handler(request, input, context);
        async move {
            let result = future.await.map_err(|error| error.to_string())?;
            output.send(result).await.map_err(|error| error.to_string())
        }
    })
}

fn stream<R, Req, E, F, Fut>(handler: F) -> Service<R>
where
    R: Runtime,
    Req: Body + 'static,
    E: Display + 'static,
    F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let post = Post::default();
    Service::Task(Box::new(StartFn(move |runtime: &R, served: Served| {
        let guard = Guard::new(&served);
        let request = match guard.decode(served.payload) {
            Ok(request) => request,
            Err(text) => return guard.finish(Err(text)),
        };
        let future = match guard.catch(|| handler(request, served.context)) {
            Ok(future) => future,
            Err(text) => return guard.finish(Err(text)),
        };
        runtime.spawn_short(&post, async move {
            match run(future, &guard, served.route.run_to_end).await {
                Ended::Returned(end) => {
                    let text =
                        |error: E| guard.catch(|| error.to_string()).unwrap_or_else(|text| text);
                    guard.finish(end.map_err(text));
                }
                Ended::Panicked(text) => guard.finish(Err(text)),
                Ended::Dropped => guard.gone(),
            }
        });
    })))
}

struct InlineFn<F, Req, Res> {
    handler: F,
    types: PhantomData<fn(Req) -> Res>,
}

pub(crate) fn inline<R, Req, Res, E, F>(handler: F) -> Service<R>
where
    Req: Body + 'static,
    Res: Body + 'static,
    E: Display,
    F: Fn(Req, &Context) -> Result<Res, E> + Send + Sync + 'static,
{
    Service::Inline(Box::new(InlineFn { handler, types: PhantomData }))
}

impl<F, Req, Res, E> Inline for InlineFn<F, Req, Res>
where
    Req: Body,
    Res: Body,
    E: Display,
    F: Fn(Req, &Context) -> Result<Res, E> + Send + Sync,
{
    fn run(&self, served: Served) {
        let guard = Guard::new(&served);
        let clock = served.context.shared.clock.clone();
        let begun = clock.instant();
        let request = match guard.decode(served.payload) {
            Ok(request) => request,
            Err(text) => return guard.respond(Err(&text)),
        };
        let answer = || guard.answer((self.handler)(request, &served.context));
        if let Err(text) = guard.catch(answer) {
            guard.respond(Err(&text));
        }
        let ended = clock.instant();
        let took = ended.since(begun);
        if took > SLOW {
            guard.shared.log_slow(guard.route, took, ended);
        }
    }
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// The duty to say how a handler ended; dropped without that, the handler was dropped.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    key: IncomingKey,
    route: RouteName,
    single: bool,
    done: AtomicBool,
}

impl Guard {
    fn new(served: &Served) -> Self {
        Self {
            shared: served.context.shared.clone(),
            key: served.context.key,
            route: RouteName { handler: served.route.handler, name: served.route.name },
            single: served.route.shape == crate::route::Shape::Single,
            done: AtomicBool::new(false),
        }
    }

    /// The request of the call, decoded by user code.
    fn decode<Req: Body>(&self, payload: Payload) -> Result<Req, String> {
        let decoded = self.catch(|| Req::decode(payload))?;
        decoded.map_err(|error| format!("cannot decode the request: {error}"))
    }

    /// Runs user code; a panic becomes a text.
    fn catch<T>(&self, run: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let text = panic_text(&*panic);
            self.shared.log_panic(self.route, text);
            format!("the handler panicked: {text}")
        })
    }

    fn respond(&self, result: Result<Data<'_>, &str>) {
        self.done.store(true, Ordering::Relaxed);
        let now = self.shared.clock.now();
        self.shared.with_write(now, |state| self.respond_in(state, now, result));
    }

    fn respond_in(&self, state: &mut State, now: Now, result: Result<Data<'_>, &str>) {
        state.peer.respond(now, self.key, result);
        state.handler_ended(self.key);
    }

    /// Answers with what a handler of single requests has returned.
    fn answer<Res: Body, E: Display>(&self, result: Result<Res, E>) {
        let sent = match result {
            Ok(response) => with_data(&response, |data| self.respond(Ok(data))),
            Err(error) => return self.respond(Err(&error.to_string())),
        };
        if let Err(error) = sent {
            self.respond(Err(&error.to_string()));
        }
    }

    fn is_cancelled(&self) -> bool {
        self.shared.look(|state| state.cancelled(self.key).is_some())
    }

    /// The handler's task is woken when the call is cancelled; at once if it has been.
    fn wait_cancelled(&self, cx: &TaskContext<'_>) {
        let cancelled = self.shared.look(|state| {
            let cancelled = state.cancelled(self.key).is_some();
            if !cancelled {
                state.wait_task(self.key, cx.waker());
            }
            cancelled
        });
        if cancelled {
            cx.waker().wake_by_ref();
        }
    }

    fn finish(&self, end: Result<(), String>) {
        self.done.store(true, Ordering::Relaxed);
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.peer.finish(now, self.key, end);
            state.handler_ended(self.key);
        });
    }

    /// The handler was cancelled and is gone.
    fn gone(&self) {
        self.done.store(true, Ordering::Relaxed);
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.peer.handler_gone(now, self.key);
            state.handler_ended(self.key);
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.done.load(Ordering::Relaxed) {
            return;
        }
        let text = "the handler was dropped";
        if self.single {
            // Left to the task of the link: if it is the runtime that ends, there is none, and the
            // caller learns that the link was lost.
            let now = self.shared.clock.now();
            self.shared.with(|state| self.respond_in(state, now, Err(text)));
        } else {
            self.finish(Err(text.into()));
        }
    }
}

/// How a handler's future ended.
enum Ended<T> {
    Returned(T),
    Panicked(String),
    /// Cancelled, polled once more, and then dropped.
    Dropped,
}

/// Runs a handler's future until it returns, panics, or has been cancelled and told so.
async fn run<F: Future>(future: F, guard: &Guard, run_to_end: bool) -> Ended<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut first = true;
    // Who is woken when the call is cancelled; until then it need not be said again.
    let mut waits: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        // Whoever runs to its end is not asked: that takes the lock at every poll.
        let told = !std::mem::take(&mut first) && !run_to_end && guard.is_cancelled();
        match guard.catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Ready(result)) => Poll::Ready(Ended::Returned(result)),
            Err(text) => Poll::Ready(Ended::Panicked(text)),
            Ok(Poll::Pending) if run_to_end => Poll::Pending,
            Ok(Poll::Pending) if told => Poll::Ready(Ended::Dropped),
            Ok(Poll::Pending) => {
                if waits.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                    guard.wait_cancelled(cx);
                    waits = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    })
    .await
}
