//! A peer that means harm: what it does is drawn by the seed, deed by deed.
//!
//! Each deed has a row of the fault table and counts as felt once its victim has read it, or has
//! reacted to what was not said.

mod answers;
mod deed;
mod knocks;
mod merges;
mod rules;
#[cfg(test)]
mod tests;
mod voice;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::answers::Answer;
use self::deed::{Deed, Plan, Task};
use self::knocks::Knock;
use self::merges::Merge;
use self::rules::Rule;
use self::voice::Asked;
use super::here::{HANDSHAKE, Here};
use super::line::Line;
use crate::app::{self, Kind, Witness};
use crate::keyed::{Purpose, name_key};
use crate::script::{Call, Conduct};

/// Deeds for each victim.
const DEEDS: u64 = 12;
/// Nanoseconds between two of them.
const APART: (u64, u64) = (20_000_000, 1_500_000_000);
/// How long it waits before it dials again.
const RETRY: Duration = Duration::from_millis(1_100);

/// A hostile peer that runs.
pub(crate) struct Hostile {
    pub(super) here: Here,
    asked: Calls,
}

/// Calls that a script has it make, by victim: it makes them in order, and then breaks the rules
/// of the very same mux.
type Calls = Arc<Mutex<BTreeMap<usize, VecDeque<Asked>>>>;

/// What a hostile peer does to one victim.
type Plans = Arc<BTreeMap<usize, Plan>>;

impl Hostile {
    /// Starts one, with deeds that the seed draws.
    pub(super) fn start(here: Here, conduct: Conduct, listens: bool) -> Self {
        let plan = |victim: usize| (victim, draw(&here, conduct, victim));
        let plans = here.others().map(plan).collect();
        Self::start_with(here, plans, listens)
    }

    fn start_with(here: Here, plans: BTreeMap<usize, Plan>, listens: bool) -> Self {
        let (plans, asked): (Plans, Calls) = (Arc::new(plans), Calls::default());
        for (victim, plan) in plans.iter() {
            if plan.knocks() {
                let knocking = knocks::knock(here.clone(), *victim, plan.clone());
                here.runtime.spawn_keyed(*victim as u64, knocking);
            } else if here.dials(*victim) {
                let keeping = keep(here.clone(), *victim, plan.clone(), asked.clone());
                here.runtime.spawn_keyed(*victim as u64, keeping);
            }
        }
        if listens && here.listen() {
            let accepting = accept(here.clone(), plans, asked.clone());
            here.runtime.spawn_keyed(u64::from(u32::MAX), accepting);
        }
        Self { here, asked }
    }

    /// A call of the script, which it will make and break.
    pub(super) fn call(&self, witness: &Witness, call: &Call) {
        let (handler, subroute) = app::address(call);
        let request = witness.payload(Kind::Request, app::request_size(call)).to_vec();
        let is_stream = call.route.capacities().is_some();
        let asked = Asked { handler, subroute, request, is_stream };
        let mut calls = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        calls.entry(call.to).or_default().push_back(asked);
    }
}

/// What the seed has it do to a victim.
fn draw(here: &Here, conduct: Conduct, victim: usize) -> Plan {
    let (_, node, life) = here.runtime.whereabouts();
    let place = name_key("deeds") ^ (node as u64) << 32 ^ life << 16 ^ victim as u64;
    let keyed = here.stage.keyed;
    let pick = |n: u64, many: usize| {
        let at = keyed.below(Purpose::Conduct, [place, n, 1], many as u64);
        usize::try_from(at).unwrap_or(0)
    };
    let deed = |n: u64| match conduct {
        Conduct::Rules => Deed::Rule(Rule::ALL[pick(n, Rule::ALL.len())]),
        Conduct::Merges => Deed::Merge(Merge::ALL[pick(n, Merge::ALL.len())]),
        // Whoever is to dial us gets answers, too.
        Conduct::Handshakes if n.is_multiple_of(2) || here.dials(victim) => {
            Deed::Knock(Knock::ALL[pick(n, Knock::ALL.len())])
        }
        Conduct::Handshakes => Deed::Answer(Answer::ALL[pick(n, Answer::ALL.len())]),
    };
    let task = |n: u64| {
        let wait = keyed.range(Purpose::Conduct, [place, n, 2], APART.0, APART.1);
        let seed = keyed.draw(Purpose::Conduct, [place, n, 3]);
        Task::new(here, deed(n), Duration::from_nanos(wait), seed)
    };
    Plan::new((0..DEEDS).map(task).collect())
}

/// Keeps a link, as the side that dials.
async fn keep(here: Here, victim: usize, plan: Plan, asked: Calls) {
    loop {
        let connected = async {
            let mut line = here.open(victim).await?;
            here.introduce(&mut line, victim).await?;
            Some(line)
        };
        if let Some(line) = here.within(HANDSHAKE, connected).await.flatten() {
            voice::talk(&here, victim, line, &plan, &asked).await;
        }
        here.sleep(RETRY).await;
    }
}

async fn accept(here: Here, plans: Plans, asked: Calls) {
    for number in 0.. {
        let line = here.accept().await;
        let admitting = admit(here.clone(), line, plans.clone(), asked.clone());
        here.runtime.spawn_keyed(number, admitting);
    }
}

/// Takes a connection from a victim, in order or not.
async fn admit(here: Here, mut line: Line, plans: Plans, asked: Calls) {
    let victim = line.other();
    let Some(plan) = plans.get(&victim) else { return };
    if let Some(task) = plan.next_answer() {
        return answers::answer(&here, line, &task).await;
    }
    if here.within(HANDSHAKE, here.admit(&mut line)).await.flatten() == Some(victim) {
        voice::talk(&here, victim, line, plan, &asked).await;
    }
}
