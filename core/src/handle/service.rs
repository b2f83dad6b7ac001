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
use crate::error::PeerLimit;
use crate::mux::{IncomingKey, Told};
use crate::outbox::Data;
use crate::payload::{Body, DecodeBodyError, Payload};
use crate::route::RouteInfo;
use crate::time::Now;

/// An inline handler that takes longer than this is warned of.
const SLOW: Duration = Duration::from_millis(1);

/// The payload of an inline route that is decoded on the link's own task is no longer than this, in
/// bytes.
const INLINE_DECODE: usize = 16 << 10;

/// A request that is decoded to no more bytes than this beyond its payload is counted as its payload
/// alone: that takes no lock.
const UNCOUNTED: usize = 4 << 10;

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
    Inline(Box<dyn Inline<R>>),
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
pub(crate) trait Inline<R>: Send + Sync {
    /// Runs the function and queues its answer; on a task of its own if the request is large.
    fn run(&self, runtime: &R, served: Served);
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
    let (post, handler) = (Post::default(), Arc::new(handler));
    Service::Task(Box::new(StartFn(move |runtime: &R, served: Served| {
        let (handler, guard) = (handler.clone(), Guard::new(&served));
        runtime.spawn_short(&post, async move {
            let Served { payload, context, route } = served;
            let future = match guard.begin(payload, &route, |request| handler(request, context)) {
                Ok(future) => future,
                Err(text) => return guard.respond(Err(&text)),
            };
            match run(future, &guard, route.run_to_end).await {
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
    let (post, handler) = (Post::default(), Arc::new(handler));
    Service::Task(Box::new(StartFn(move |runtime: &R, served: Served| {
        let (handler, guard) = (handler.clone(), Guard::new(&served));
        runtime.spawn_short(&post, async move {
            let Served { payload, context, route } = served;
            let future = match guard.begin(payload, &route, |request| handler(request, context)) {
                Ok(future) => future,
                Err(text) => return guard.finish(Err(text)),
            };
            match run(future, &guard, route.run_to_end).await {
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
    R: Runtime,
    Req: Body + 'static,
    Res: Body + 'static,
    E: Display + 'static,
    F: Fn(Req, &Context) -> Result<Res, E> + Send + Sync + 'static,
{
    Service::Inline(Box::new(Arc::new(InlineFn { handler, types: PhantomData })))
}

impl<R, F, Req, Res, E> Inline<R> for Arc<InlineFn<F, Req, Res>>
where
    R: Runtime,
    Req: Body + 'static,
    Res: Body + 'static,
    E: Display,
    F: Fn(Req, &Context) -> Result<Res, E> + Send + Sync + 'static,
{
    fn run(&self, runtime: &R, served: Served) {
        let guard = Guard::new(&served);
        if !Req::IS_RAW && served.payload.len() > INLINE_DECODE {
            // To decode it takes long, and all other calls of the link would wait.
            let inline = self.clone();
            return runtime.spawn(async move { inline.answer(&guard, served) });
        }
        let clock = served.context.shared.clock.clone();
        let begun = clock.instant();
        self.answer(&guard, served);
        let ended = clock.instant();
        let took = ended.since(begun);
        if took > SLOW {
            guard.shared.log_slow(guard.route, took, ended);
        }
    }
}

impl<F, Req, Res, E> InlineFn<F, Req, Res>
where
    Req: Body,
    Res: Body,
    E: Display,
    F: Fn(Req, &Context) -> Result<Res, E>,
{
    fn answer(&self, guard: &Guard, served: Served) {
        let Served { payload, context, route } = served;
        let answer = |request| guard.answer((self.handler)(request, &context));
        if let Err(text) = guard.begin(payload, &route, answer) {
            guard.respond(Err(&text));
        }
    }
}

/// What the caller gets for a request that is not decoded: no handler runs.
fn undecodable(route: &RouteInfo, error: &DecodeBodyError) -> String {
    let text = format!("the request of {:?}: {error}", route.name);
    match error {
        DecodeBodyError::TooLarge { .. } => {
            Told::Limit { limit: PeerLimit::DecodedBytes, has_run: false, text: &text }.to_string()
        }
        _ => Told::Undecodable(&text).to_string(),
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

    /// Decodes the request and runs the beginning of its handler, both of which are user code. The error
    /// is the text for the caller.
    fn begin<Req: Body, T>(
        &self,
        payload: Payload,
        route: &RouteInfo,
        handler: impl FnOnce(Req) -> T,
    ) -> Result<T, String> {
        let (len, limit) = (payload.len(), self.shared.node.limits.decoded_bytes);
        let decoded = self.catch(|| Req::decode_within(payload, limit))?;
        let (request, size) = decoded.map_err(|error| undecodable(route, &error))?;
        let more = size.saturating_sub(len);
        if more > UNCOUNTED && !self.shared.with(|state| state.peer.charge(self.key, more)) {
            let limit = PeerLimit::HandlerBytes;
            let text = format!("the request of {:?} is decoded to {size} bytes", route.name);
            return Err(Told::Limit { limit, has_run: false, text: &text }.to_string());
        }
        self.catch(|| handler(request))
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
        state.respond(now, self.key, result);
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
