//! What the handlers of scripted applications do: the plan of the call that they serve.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use gridmux_core::builder::Builder;
use gridmux_core::handle::{Context, Input, InputError, Output};
use gridmux_core::payload::Payload;

use super::beside::beside;
use super::caller::answer_due;
use super::content::{Kind, call_of};
use super::routes;
use super::stage::{Stage, Witness};
use crate::history::Sight;
use crate::oracle::failure_text;
use crate::script::{Call, Finish, Route};
use crate::world::SimRuntime;

/// Serves all routes of a node.
pub(crate) fn serve(
    mut builder: Builder<SimRuntime>,
    stage: &Arc<Stage>,
    runtime: &SimRuntime,
    node: usize,
) -> Builder<SimRuntime> {
    let here = Here { stage: stage.clone(), runtime: runtime.clone() };
    for route in
        [routes::ECHO, routes::sub("here"), routes::Single::new(12, "run-to-end").run_to_end()]
    {
        let here = here.clone();
        builder = builder.serve(route, move |request: Payload, context| {
            let begun = here.begin(&request, &context);
            async move { begun?.answer(request).await }
        });
    }
    let inline = here.clone();
    builder = builder
        .serve_inline(routes::Single::new(11, "inline"), move |request: Payload, context| {
            inline.begin(&request, context)?.answer_inline(request)
        });
    for (id, call) in stage.calls().into_iter().enumerate() {
        if routes::is_tiny(&call) && call.to == node {
            let here = here.clone();
            builder = builder.serve(routes::tiny(&call), move |request: Payload, context| {
                let served = here.begin_known(id, call.clone(), &request, &context);
                async move { served.answer(request).await }
            });
        }
    }
    streams(builder, &here)
}

fn streams(mut builder: Builder<SimRuntime>, here: &Here) -> Builder<SimRuntime> {
    for route in [Route::Drip, Route::Source, Route::NoInput] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_stream(
            routes::items(route, capacities),
            move |request: Payload, output, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream(None, Some(output)).await.map(drop) }
            },
        );
    }
    for route in [Route::Gulp, Route::Sink] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_input(
            routes::fold(route, capacities),
            move |request: Payload, input, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream(Some(input), None).await }
            },
        );
    }
    for route in [Route::Narrow, Route::Talk, Route::Wide, Route::Mismatch] {
        let here = here.clone();
        let capacities = route.served_capacities().unwrap_or_default();
        builder = builder.serve_two_way(
            routes::both(route, capacities),
            move |request: Payload, input, output, context| {
                let begun = here.begin(&request, &context);
                async move { begun?.stream(Some(input), Some(output)).await.map(drop) }
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
    fn begin(&self, request: &Payload, context: &Context) -> Result<Served, String> {
        let known = call_of(request).and_then(|id| Some((id, self.stage.call(id)?)));
        match known {
            Some((id, call)) => Ok(self.begin_known(id, call, request, context)),
            None => Err("this request belongs to no call".into()),
        }
    }

    fn begin_known(
        &self,
        id: usize,
        call: Arc<Call>,
        request: &Payload,
        context: &Context,
    ) -> Served {
        let witness = Witness::of_handler(&self.stage, &self.runtime, id);
        let size = match call.route.capacities() {
            None => call.size,
            Some(_) => Some(call.size.unwrap_or(0).max(routes::NAMED)),
        };
        witness.sees(Sight::Started(*request == witness.payload(Kind::Request, size)));
        Served {
            witness,
            call,
            context: context.clone(),
            told: AtomicBool::new(false),
            returned: false,
        }
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
    async fn answer(mut self, request: Payload) -> Result<Payload, String> {
        self.rest(self.call.plan.after).await;
        self.finish().await?;
        Ok(answer_due(&self.witness, &self.call, &request))
    }

    fn answer_inline(mut self, request: Payload) -> Result<Payload, String> {
        self.end()?;
        Ok(answer_due(&self.witness, &self.call, &request))
    }

    async fn stream(
        mut self,
        input: Option<Input<Payload>>,
        output: Option<Output<Payload>>,
    ) -> Result<Payload, String> {
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
        Ok(self.witness.payload(Kind::Result, Some(self.call.plan.item_size)))
    }

    async fn take(&self, mut input: Input<Payload>) -> Result<(), String> {
        let plan = &self.call.plan;
        let mut index = 0;
        while plan.take.is_none_or(|take| index < take) {
            if index > 0 {
                self.witness.rest(plan.take_pace).await;
            }
            match input.try_next().await {
                Ok(Some(item)) => {
                    let size = Some(self.call.input.size);
                    let good = item == self.witness.payload(Kind::Input(index), size);
                    self.witness.sees(Sight::InputTaken(index, good));
                    index += 1;
                }
                Ok(None) => {
                    self.witness.sees(Sight::InputEnded(Ok(())));
                    return Ok(());
                }
                Err(InputError::Cancelled(reason)) => {
                    self.witness.sees(Sight::InputEnded(Err(reason)));
                    return Err(reason.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    async fn give(&self, mut output: Output<Payload>) -> Result<(), String> {
        let plan = &self.call.plan;
        for index in 0..plan.items {
            if index > 0 {
                self.witness.rest(plan.pace).await;
            }
            let item = self.witness.payload(Kind::Output(index), Some(plan.item_size));
            if let Err(error) = output.send(item).await {
                self.witness.sees(Sight::OutputFailed);
                return Err(error.to_string());
            }
            self.witness.sees(Sight::OutputSent(index));
        }
        Ok(())
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
