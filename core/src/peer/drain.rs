//! The graceful end of a link: PROTOCOL.md section 7.9.
//!
//! ```text
//!   No --shutdown--> Grace --all calls done, or the grace is over--> Flushing
//!     --queue empty, or its second is over--> Over (closing, then closed)
//! ```

use std::time::Duration;

use super::Peer;
use crate::error::{CancelReason, LinkError};
use crate::event::{CloseHow, Event, LinkCommand};
use crate::link::{Link, LinkState};
use crate::time::{Instant, Now};
use crate::wire::{Header, MessageRef, Op};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    Grace { until: Instant, removal: bool },
    Flushing { until: Instant, removal: bool },
    Over { removal: bool, told: bool },
}

impl Drain {
    pub(super) const fn is_on(self) -> bool {
        !matches!(self, Self::No)
    }

    pub(super) const fn is_removal(self) -> bool {
        match self {
            Self::No => false,
            Self::Grace { removal, .. }
            | Self::Flushing { removal, .. }
            | Self::Over { removal, .. } => removal,
        }
    }

    pub(super) const fn next_stage(self) -> Option<Instant> {
        match self {
            Self::Grace { until, .. } | Self::Flushing { until, .. } => Some(until),
            Self::No | Self::Over { .. } => None,
        }
    }
}

impl Peer {
    /// Begins the graceful end: the peer is told, new calls are refused on both sides, running
    /// ones go on for at most `grace`. [`Event::Drained`] comes when the link is closed.
    pub fn shutdown(&mut self, now: Now, grace: Duration) {
        self.begin_drain(now, grace, false);
    }

    /// As [`Self::shutdown`] without a grace: calls to a removed peer fail with `PeerRemoved`.
    pub fn remove(&mut self, now: Now) {
        self.begin_drain(now, Duration::ZERO, true);
    }

    fn begin_drain(&mut self, now: Now, grace: Duration, removal: bool) {
        let until = now.instant.after(grace);
        match &mut self.drain {
            Drain::No => self.drain = Drain::Grace { until, removal },
            // A second call may only shorten the grace.
            Drain::Grace { until: current, removal: flag } => {
                *current = until.min(*current);
                *flag |= removal;
                return self.drive_drain(now);
            }
            _ => return,
        }
        self.retry.stop();
        self.common.announce_end();
        if self.link.is_up() {
            let header = Header { flags: self.common.base_flags, ..Header::new(Op::Disconnect) };
            let message = MessageRef { header, subroute: None, payload: &[] };
            self.common.outbox.control().set_disconnect(&message);
            self.common.stats.messages_out += 1;
        } else {
            self.drop_link(now, LinkError::ShutDown);
        }
        self.drive_drain(now);
    }

    /// The peer has sent Disconnect.
    pub(super) fn on_peer_leaves(&mut self, now: Now) {
        if std::mem::replace(&mut self.peer_leaves, true) {
            return;
        }
        self.common.events.push_back(Event::LinkState);
        let line = "the peer is shutting down";
        if let Some(told) = self.common.log.tell((line, ""), now.instant) {
            let (node, peer, suppressed) = (&self.node().name, &self.name, told.suppressed);
            tracing::info!(%node, %peer, suppressed, "{line}");
        }
    }

    /// Moves the drain on as far as it can go.
    pub(super) fn drive_drain(&mut self, now: Now) {
        if let Drain::Grace { until, removal } = self.drain {
            let serves = self.incoming.used() > 0 && !planted!(DrainForgetsHandlers);
            let idle = self.outgoing.open() == (0, 0) && !serves;
            if idle || now.instant >= until || !self.link.is_up() {
                self.cancel_everything(removal);
                let until = now.instant.after(self.node().timings.flush);
                self.drain = Drain::Flushing { until, removal };
            }
        }
        if let Drain::Flushing { until, removal } = self.drain {
            let flushed = self.common.outbox.is_empty() && !self.in_flight;
            if flushed || now.instant >= until || !self.link.is_up() {
                self.drain = Drain::Over { removal, told: false };
                self.close_gracefully(now.instant);
            }
        }
        if let Drain::Over { told, .. } = &mut self.drain
            && !*told
            && matches!(self.link, Link::Down)
        {
            *told = true;
            self.set_state(LinkState::Shutdown);
            self.common.events.push_back(Event::Drained);
        }
    }

    fn cancel_everything(&mut self, removal: bool) {
        if removal {
            self.outgoing.remove_all(&mut self.common);
        } else {
            self.outgoing.cancel_all(&mut self.common);
        }
        self.incoming.cancel_all(CancelReason::ShuttingDown, &mut self.common);
    }

    fn close_gracefully(&mut self, now: Instant) {
        let Link::Up { link, .. } = self.link else { return };
        let wait = self.node().timings.close;
        // The runtime closes within the wait; the margin is for it to say so.
        let until = now.after(wait).after(self.node().timings.flush);
        self.link = Link::Closing { link, until };
        // What could not be flushed in time is lost: nothing follows the close frame.
        self.common.outbox.clear();
        self.set_state(LinkState::Shutdown);
        self.commands.push_back(LinkCommand::Close {
            link,
            how: CloseHow::Graceful(wait),
            reason: LinkError::ShutDown,
        });
    }

    /// Whether the drain is complete.
    pub const fn is_drained(&self) -> bool {
        matches!(self.drain, Drain::Over { told: true, .. })
    }
}
