//! Streams in both directions: everything said is to be heard, once and in order.

use std::sync::Arc;
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::sleep;
use gridmux_tokio::error::CallError;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::payload::NoPayload;

use super::{Scene, deadline, text};
use crate::routes::{Heard, Said, TALK};

pub(super) async fn work<R: Runtime>(
    scene: Arc<Scene<R>>,
    peer: PeerHandle,
    mut rng: fastrand::Rng,
) {
    if !scene.meet(&peer).await {
        return;
    }
    while !scene.is_stopping() {
        // Now and then one that takes its time, and may be cut in the middle.
        let (pace, time) = match rng.u32(0..4) {
            0 => (Duration::from_millis(20), Duration::from_secs(2)),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let said: Vec<_> = (0..rng.u32(0..60))
            .map(|number| Said { number, text: text(&mut rng).into() })
            .collect();
        let expected: Vec<_> = said.iter().map(Heard::of).collect();
        let deadline = deadline(&mut rng) + time;
        let talk = talk(&scene.runtime, &peer, said, pace, deadline);
        if let Some(heard) = scene.outcomes.settle(&scene.runtime, deadline, talk).await {
            scene.outcomes.answered(heard == expected, || {
                let numbers: Vec<_> = heard.iter().map(|heard| heard.number).collect();
                format!("{} said {} items, heard {numbers:?}", peer.name(), expected.len())
            });
        }
        scene.rest(&mut rng, 20..60).await;
    }
}

async fn talk<R: Runtime>(
    runtime: &R,
    peer: &PeerHandle,
    said: Vec<Said>,
    pace: Duration,
    deadline: Duration,
) -> Result<Vec<Heard>, CallError> {
    let (mut sender, mut receiver) = peer.open(TALK, &NoPayload).timeout(deadline).await?;
    let say = async move {
        for said in said {
            sender.send(said).await?;
            if !pace.is_zero() {
                sleep(runtime, pace).await;
            }
        }
        sender.close();
        Ok::<_, CallError>(())
    };
    let hear = async move {
        let mut all = Vec::new();
        while let Some(heard) = receiver.try_next().await? {
            all.push(heard);
        }
        Ok::<_, CallError>(all)
    };
    let (said, heard) = tokio::join!(say, hear);
    let heard = heard?;
    said.map(|()| heard)
}
