//! A node that does what a Go node does, right or wrong (PROTOCOL.md sections 5 and 7).

mod callee;
mod caller;
mod link;
mod mux;
mod quirk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use gridmux_core::driver::runtime::Clock as _;

pub(super) use self::caller::perform;
use self::link::Link;
use self::quirk::Quirks;
use super::here::{HANDSHAKE, Here};
use super::line::Line;
use crate::keyed::Purpose;

const RETRY: (u64, u64) = (1_000, 2_000);

/// A Go node that runs.
pub(crate) struct Go {
    pub(super) here: Here,
    /// By node.
    links: Vec<Option<Arc<Link>>>,
}

impl Go {
    /// Starts one, with the quirks that the seed gives it.
    pub(super) fn start(here: Here, listens: bool) -> Self {
        let quirks = Quirks::draw(&here.runtime, here.stage.keyed, here.node);
        Self::start_with(here, listens, &quirks)
    }

    fn start_with(here: Here, listens: bool, quirks: &Quirks) -> Self {
        let link = |peer: usize| {
            let link = Link::new(here.clone(), peer, quirks.clone());
            (peer != here.node).then(|| Arc::new(link))
        };
        let links: Vec<_> = (0..here.names.len()).map(link).collect();
        let go = Self { here, links };
        for peer in go.here.others() {
            if let (true, Some(link)) = (go.here.dials(peer), go.link(peer)) {
                go.here.runtime.spawn_keyed(peer as u64, keep(link));
            }
        }
        if listens && go.here.listen() {
            let (here, links) = (go.here.clone(), go.links.clone());
            go.here.runtime.spawn_keyed(u64::from(u32::MAX), accept(here, links));
        }
        go
    }

    pub(super) fn link(&self, peer: usize) -> Option<Arc<Link>> {
        self.links.get(peer)?.clone()
    }
}

/// Dials, and dials again.
async fn keep(link: Arc<Link>) {
    let here = &link.here;
    for attempt in 0.. {
        let begun = here.runtime.instant();
        let connected = async {
            let mut line = here.open(link.peer).await?;
            match link.eager_connect() {
                Some(fault) => here.introduce_eagerly(&mut line, link.peer, fault).await?,
                None => here.introduce(&mut line, link.peer).await?,
            }
            Some(line)
        };
        if let Some(line) = here.within(HANDSHAKE, connected).await.flatten() {
            link.clone().run(line).await;
            // A lost link is dialled again, but not as a busy loop.
            here.sleep(Duration::from_millis(1)).await;
            continue;
        }
        let key = [here.node as u64, link.peer as u64, attempt];
        let spacing = here.stage.keyed.range(Purpose::Conduct, key, RETRY.0, RETRY.1);
        let passed = here.runtime.instant().since(begun);
        here.sleep(Duration::from_millis(spacing).saturating_sub(passed)).await;
    }
}

async fn accept(here: Here, links: Vec<Option<Arc<Link>>>) {
    for number in 0.. {
        let line = here.accept().await;
        here.runtime.spawn_keyed(number, admit(here.clone(), links.clone(), line));
    }
}

async fn admit(here: Here, links: Vec<Option<Arc<Link>>>, mut line: Line) {
    let admitted = here.within(HANDSHAKE, here.admit(&mut line)).await.flatten();
    if let Some(link) = admitted.and_then(|peer| links.get(peer)?.clone()) {
        link.run(line).await;
    }
}
