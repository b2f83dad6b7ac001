//! Questions that no other is like, and answers that must match them.

use std::sync::Arc;
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::handle::PeerHandle;

use super::{Scene, deadline, text};
use crate::routes::{ASK, Question};

/// Questions between two rests.
const IN_A_ROW: u32 = 16;

pub(super) async fn work<R: Runtime>(
    scene: Arc<Scene<R>>,
    peer: PeerHandle,
    mut rng: fastrand::Rng,
) {
    if !scene.meet(&peer).await {
        return;
    }
    while !scene.is_stopping() {
        for _ in 0..IN_A_ROW {
            if !ask(&scene, &peer, &mut rng).await || scene.is_stopping() {
                break;
            }
        }
        scene.rest(&mut rng, 5..25).await;
    }
}

/// Asks once; whether there was an answer.
async fn ask<R: Runtime>(scene: &Scene<R>, peer: &PeerHandle, rng: &mut fastrand::Rng) -> bool {
    let question = Question { id: rng.u64(..), text: text(rng).into() };
    let deadline = deadline(rng);
    let mut call = peer.call(ASK, &question).timeout(deadline);
    if rng.u32(0..4) == 0 {
        call = call.wait_for_link(Duration::from_millis(500));
    }
    let Some(answer) = scene.outcomes.settle(&scene.runtime, deadline, call).await else {
        return false;
    };
    let matches = answer.id == question.id
        && answer.text == question.text
        && answer.by == peer.name()
        && answer.to == scene.plan.name;
    scene.outcomes.answered(matches, || {
        let (asked, got) = (question.text.as_slice().len(), answer.text.as_slice().len());
        let (by, to, id) = (&answer.by, &answer.to, answer.id);
        let from = peer.name();
        format!(
            "{asked} bytes, question {} to {from}: {got} bytes, {id} by {by} to {to}",
            question.id
        )
    });
    true
}
