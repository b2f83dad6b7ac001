//! Echoes of guests: nodes that run elsewhere and serve nothing else.

use std::sync::Arc;
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::payload::Payload;

use super::{Scene, deadline, text};
use crate::routes::ECHO;

/// A guest that is not there is asked again after this long at the latest.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn work<R: Runtime>(
    scene: Arc<Scene<R>>,
    guest: PeerHandle,
    mut rng: fastrand::Rng,
) {
    if !scene.meet(&guest).await {
        return;
    }
    while !scene.is_stopping() {
        let text = Payload::from(text(&mut rng));
        let deadline = deadline(&mut rng);
        let call = guest.call(ECHO, &text).timeout(deadline).wait_for_link(PATIENCE);
        if let Some(echo) = scene.outcomes.settle(&scene.runtime, deadline, call).await {
            let matches = echo.as_slice() == text.as_slice();
            scene.outcomes.answered_by_guest(matches, || {
                format!("{} bytes to {}: {} others", text.len(), guest.name(), echo.len())
            });
        }
        scene.rest(&mut rng, 20..60).await;
    }
}
