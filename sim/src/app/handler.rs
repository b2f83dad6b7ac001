//! What the handlers of scripted applications do: the plan of the call that they serve.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use gridmux_core::builder::Builder;
use gridmux_core::handle::{Context, Input, InputError, Output};
use gridmux_core::payload::Payload;
use gridmux_core::timings::Timings;

use super::beside::beside;
use super::caller::answer_due;
use super::content::Kind;
use super::flow::{Giving, Taking};
use super::forms::{Content, Record, with_form};
use super::routes;
use super::stage::{Stage, Witness};
use crate::history::{CallId, Sight};
use crate::oracle::failure_text;
use crate::script::{Call, Finish, Form, Route};
use crate::world::SimRuntime;

/// Serves all routes of a node, in the forms that calls of the run have.
pub(crate) fn serve(
    mut builder: Builder<SimRuntime>,
    stage: &Arc<Stage>,
    runtime: &SimRuntime,
    node: usize,
) -> Builder<SimRuntime> {
    let here = Here { stage: stage.clone(), runtime: runtime.clone() };
    let calls = stage.calls();
    builder = serve_mistyped(builder, &here);
    for form in Form::ALL {
        if form == Form::Raw || calls.iter().any(|call| call.form == form) {
            builder = with_form!(form, T => serve_form::<T>(builder, &here));
        }
    }
    for (id, call) in calls.into_iter().enumerate() {
        if routes::is_tiny(&call) && call.to == node {
            builder = with_form!(call.form, T => serve_tiny::<T>(builder, &here, id, call));
        }
    }
    builder
}

/// Serves what its callers believe to be of other types.
fn serve_mistyped(builder: Builder<SimRuntime>, here: &Here) -> Builder<SimRuntime> {
    let (single, items) = (here.clone(), here.clone());
    let builder = builder.serve(routes::MISTYPED, move |request: Record, context| {
        let begun = single.begin(&request, &context);
        async move { begun?.answer(request).await }
    });
    let route = routes::mistyped_items();
    builder.serve_stream(route, move |request: Payload, output: Output<Record>, context| {
        let begun = items.begin(&request, &context);
        async move { begun?.stream::<Record>(None, Some(output)).await.map(drop) }
    })
}

/// Serves one call whose request cannot name it.
fn serve_tiny<T: Content>(
    builder: Builder<SimRuntime>,
    here: &Here,
    id: CallId,
    call: Arc<Call>,
) -> Builder<SimRuntime> {
    let here = here.clone();
    builder.serve(routes::tiny(&call), move |request: T, context| {
        let served = here.begin_known(id, call.clone(), &request, &context);
        async move { served.answer(request).await }
    })
}

fn serve_form<T: Content>(mut builder: Builder<SimRuntime>, here: &Here) -> Builder<SimRuntime> {
    for route in [routes::echo(), routes::sub("here"), routes::run_to_end()] {
        let here = here.clone();
        builder = builder.serve(route, move |request: T, context| {
            let begun = here.begin(&request, &context);
            async move { begun?.answer(request).await }
        });
    }
    let inline = here.clone();
    builder = builder.serve_inline(routes::inline(), move |request: T, context| {
        inline.begin(&request, context)?.answer_inline(request)
    });
    serve_streams::<T>(builder, here)
}

fn serve_streams<T: Content>(mut builder: Builder<SimRuntime>, here: &Here) -> Builder<SimRuntime> {
    for route in [Route::Drip, Route::Source, Route::NoInput] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_stream(
            routes::items(route, capacities),
            move |request: T, output: Output<T>, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream::<T>(None, Some(output)).await.map(drop) }
            },
        );
    }
    for route in [Route::Gulp, Route::Sink] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_input(
            routes::fold(route, capacities),
            move |request: T, input: Input<T>, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream::<T>(Some(input), None).await }
            },
        );
    }
    for route in [Route::Narrow, Route::Talk, Route::Wide, Route::Mismatch] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_two_way(
            routes::both(route, capacities),
            move |request: T, input: Input<T>, output: Output<T>, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream::<T>(Some(input), Some(output)).await.map(drop) }
            },
        );
    }
    builder
}

#[derive(Clone)]
struct Here {
    stage: Arc<Stage>,
    runtime: SimRuntime,
}

impl Here {
    fn begin<T: Content>(&self, request: &T, context: &Context) -> Result<Served, String> {
        let id = request.call().and_then(|mark| self.stage.find(mark));
        let known = id.and_then(|id| Some((id, self.stage.call(id)?)));
        match known {
            Some((id, call)) => Ok(self.begin_known(id, call, request, context)),
            None => Err("this request belongs to no call".into()),
        }
    }

    fn begin_known<T: Content>(
        &self,
        id: CallId,
        call: Arc<Call>,
        request: &T,
        context: &Context,
    ) -> Served {
        let witness = Witness::of_handler(&self.stage, &self.runtime, id);
        let good = *request == witness.content(Kind::Request, routes::request_size(&call));
        witness.sees(Sight::Started(good && self.is_told_right(&call, context)));
        Served {
            witness,
            call,
            context: context.clone(),
            told: AtomicBool::new(false),
            returned: false,
        }
    }
}

impl Here {
    /// Whether a handler is told who calls, what was called, and by when.
    fn is_told_right(&self, call: &Call, context: &Context) -> bool {
        let caller = self.runtime.name_of(call.from);
        let limit = match (call.timeout, call.route.capacities()) {
            (None, None) => Some(Timings::default().default_deadline),
            (timeout, _) => timeout.map(Duration::from_nanos),
        };
        let in_time = match (context.time_left(), limit) {
            // Deadlines travel in milliseconds, rounded up.
            (Some(left), Some(limit)) => left <= limit + Duration::from_millis(1),
            (left, limit) => left.is_none() && limit.is_none(),
        };
        context.caller() == caller && context.subroute() == routes::address(call).1 && in_time
    }
}

/// A call that is being served; dropped before it has returned, it says so.
struct Served {
    witness: Witness,
    call: Arc<Call>,
    context: Context,
    /// It has looked, and was told that it is cancelled.
    told: AtomicBool,
    returned: bool,
}

impl Drop for Served {
    fn drop(&mut self) {
        if !self.returned && !std::thread::panicking() {
            // What it was told, if it did not look itself.
            if let Some(reason) =
                self.context.is_cancelled().filter(|_| !self.told.load(Ordering::Relaxed))
            {
                self.witness.sees(Sight::Cancelled(reason));
            }
            self.witness.sees(Sight::HandlerDropped);
        }
    }
}

impl Served {
    async fn answer<T: Content>(mut self, request: T) -> Result<T, String> {
        self.rest(self.call.plan.after).await;
        self.finish().await?;
        Ok(answer_due(&self.witness, &self.call, &request))
    }

    fn answer_inline<T: Content>(mut self, request: T) -> Result<T, String> {
        self.end()?;
        Ok(answer_due(&self.witness, &self.call, &request))
    }

    async fn stream<T: Content>(
        mut self,
        input: Option<Input<T>>,
        output: Option<Output<T>>,
    ) -> Result<T, String> {
        self.rest(self.call.plan.after).await;
        let (mut taken, mut given) = (Ok(()), Ok(()));
        let taking = async {
            if let Some(input) = input {
                taken = self.take(input).await;
            }
        };
        let giving = async {
            if let Some(output) = output {
                given = self.give(output).await;
            }
        };
        beside(taking, giving).await;
        if let Err(error) = taken.and(given) {
            self.returned = true;
            self.witness.sees(Sight::Returned(false));
            return Err(error);
        }
        self.finish().await?;
        let size = routes::item_size(&self.call, self.call.plan.item_size);
        Ok(self.witness.content(Kind::Result, Some(size)))
    }

    async fn take<T: Content>(&self, input: Input<T>) -> Result<(), String> {
        let plan = &self.call.plan;
        let size = routes::item_size(&self.call, self.call.input.size);
        let mut taking = Taking::new(self.call.way, input);
        let mut index = 0;
        while plan.take.is_none_or(|take| index < take) {
            if index > 0 {
                self.witness.rest(plan.take_pace).await;
            }
            match taking.take(size).await {
                Some(Ok(item)) => {
                    let good = item == self.witness.content(Kind::Input(index), Some(size));
                    self.witness.sees(Sight::InputTaken(index, good));
                    index += 1;
                }
                None => {
                    self.witness.sees(Sight::InputEnded(Ok(())));
                    self.is_over(taking, None).await;
                    return Ok(());
                }
                Some(Err(error)) => {
                    if let InputError::Cancelled(reason) = error {
                        self.witness.sees(Sight::InputEnded(Err(reason)));
                    }
                    self.is_over(taking, Some(&error)).await;
                    return Err(error.to_string());
                }
            }
        }
        Ok(())
    }

    /// Nothing comes after the end of the input; what does is a wrong item.
    async fn is_over<T: Content>(&self, mut taking: Taking<Input<T>>, error: Option<&InputError>) {
        if !taking.is_over(error).await {
            self.witness.sees(Sight::InputTaken(u32::MAX, false));
        }
    }

    async fn give<T: Content>(&self, output: Output<T>) -> Result<(), String> {
        let plan = &self.call.plan;
        let size = routes::item_size(&self.call, plan.item_size);
        let mut giving = Giving::new(self.call.way, output);
        for index in 0..plan.items {
            if index > 0 {
                self.witness.rest(plan.pace).await;
            }
            let item = self.witness.content(Kind::Output(index), Some(size));
            if let Err(error) = giving.give(item).await {
                self.witness.sees(Sight::OutputFailed);
                return Err(error.to_string());
            }
            self.witness.sees(Sight::OutputSent(index));
        }
        giving.finish().await.map_err(|error| error.to_string())
    }

    /// Rests, and says so if it is cancelled meanwhile.
    async fn rest(&mut self, nanos: u64) {
        if nanos == 0 {
            return;
        }
        let mut resting = pin!(self.witness.rest(nanos));
        let mut cancelled = pin!(self.context.cancelled());
        let told = &self.told;
        poll_fn(|cx| {
            if !told.load(Ordering::Relaxed)
                && let Poll::Ready(reason) = cancelled.as_mut().poll(cx)
            {
                told.store(true, Ordering::Relaxed);
                self.witness.sees(Sight::Cancelled(reason));
            }
            resting.as_mut().poll(cx)
        })
        .await;
    }

    async fn finish(&mut self) -> Result<(), String> {
        if self.call.plan.finish == Finish::Never {
            let reason = self.context.cancelled().await;
            self.told.store(true, Ordering::Relaxed);
            self.witness.sees(Sight::Cancelled(reason));
            if self.call.route == Route::RunToEnd {
                return self.end();
            }
            std::future::pending::<()>().await;
        }
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.returned = true;
        match self.call.plan.finish {
            Finish::Ok | Finish::Never => {
                self.witness.sees(Sight::Returned(true));
                Ok(())
            }
            Finish::Error => {
                self.witness.sees(Sight::Returned(false));
                Err(failure_text(&self.call.name))
            }
            Finish::Panic => {
                self.witness.sees(Sight::Panicked);
                panic!("{}", failure_text(&self.call.name));
            }
        }
    }
}
