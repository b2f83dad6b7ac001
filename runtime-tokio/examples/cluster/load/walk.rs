//! Walks through another node's directory: all entries, once, in order.

use std::path::Path;
use std::sync::Arc;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::error::CallError;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::payload::NoPayload;

use super::{Scene, deadline};
use crate::routes::WALK;
use crate::walk::{Digest, Entry, Summary, Walk, WalkItem};

pub(super) async fn work<R: Runtime>(
    scene: Arc<Scene<R>>,
    peer: PeerHandle,
    mut rng: fastrand::Rng,
) {
    if !scene.meet(&peer).await {
        return;
    }
    while !scene.is_stopping() {
        let deadline = deadline(&mut rng);
        let before = local_walk(&scene);
        let walk = walk(&peer, deadline);
        if let Some(walked) = scene.outcomes.settle(&scene.runtime, deadline, walk).await {
            // A tree that changes meanwhile proves nothing.
            let local = before.filter(|before| local_walk(&scene).as_ref() == Some(before));
            let fault = walked.fault(local.as_deref());
            scene.outcomes.answered(fault.is_none(), || format!("{}: {fault:?}", peer.name()));
        }
        scene.rest(&mut rng, 50..150).await;
    }
}

/// The same directory, walked here, if the nodes share it.
fn local_walk<R: Runtime>(scene: &Scene<R>) -> Option<Vec<Entry>> {
    scene.plan.shares_directory.then(|| Walk::new(&scene.plan.dir).collect())
}

#[derive(Debug, Default)]
struct Walked {
    entries: Vec<Entry>,
    summaries: Vec<Summary>,
}

impl Walked {
    fn fault(&self, local: Option<&[Entry]>) -> Option<&'static str> {
        let mut digest = Digest::default();
        self.entries.iter().for_each(|entry| digest.add(entry));
        if self.summaries != [digest.summary()] {
            Some("the entries are not those that the summary tells of")
        } else if !self.entries.is_sorted_by(|a, b| Path::new(&a.path) < Path::new(&b.path)) {
            Some("the entries are not in order")
        } else if local.is_some_and(|local| local != self.entries) {
            Some("the entries are not those of the directory")
        } else {
            None
        }
    }
}

async fn walk(peer: &PeerHandle, deadline: std::time::Duration) -> Result<Walked, CallError> {
    let mut items = peer.open(WALK, &NoPayload).timeout(deadline).await?;
    let mut walked = Walked::default();
    while let Some(item) = items.try_next().await? {
        match item {
            WalkItem::Entry(entry) => walked.entries.push(entry),
            WalkItem::Summary(summary) => walked.summaries.push(summary),
        }
    }
    Ok(walked)
}
