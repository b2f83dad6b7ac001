//! Streams in both directions: everything said is to be heard, once and in order.

use std::sync::Arc;

use gridmux_tokio::driver::runtime::Runtime;
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
    while !scene.is_stopping() {
        let said: Vec<_> = (0..rng.u32(0..60))
            .map(|number| Said { number, text: text(&mut rng).into() })
            .collect();
        let expected: Vec<_> = said.iter().map(Heard::of).collect();
        let deadline = deadline(&mut rng);
        let talk = talk(&peer, said, deadline);
        if let Some(heard) = scene.outcomes.settle(&scene.runtime, deadline, talk).await {
            scene.outcomes.answered(heard == expected, || {
                let numbers: Vec<_> = heard.iter().map(|heard| heard.number).collect();
                format!("{} said {} items, heard {numbers:?}", peer.name(), expected.len())
            });
        }
        scene.rest(&mut rng, 20..60).await;
    }
}

async fn talk(
    peer: &PeerHandle,
    said: Vec<Said>,
    deadline: std::time::Duration,
) -> Result<Vec<Heard>, CallError> {
    let (mut sender, mut receiver) = peer.open(TALK, &NoPayload).timeout(deadline).await?;
    let say = async move {
        for said in said {
            sender.send(said).await?;
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
