//! The credits of one direction of a stream: PROTOCOL.md section 5.2 (oracle O9).
//!
//! What was sent is held against what had been delivered to the sender by then, so messages that
//! are under way never make a violation.

/// One direction of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::monitor) struct Flow {
    /// Credits at the beginning; `None` if nobody has said.
    capacity: Option<u32>,
    /// Messages sent that cost a credit.
    spent: u64,
    /// Credits delivered to the sender, less those that it has no use for.
    received: u64,
    /// Credits beyond all that was sent: of use only to a sender that had queued more by then.
    surplus: u64,
    /// Items delivered to the receiver, those of them that its application has taken, and the
    /// credits that it has sent for them.
    delivered: u64,
    taken: u64,
    granted: u64,
    dropped: bool,
}

impl Flow {
    pub(in crate::monitor) fn new(capacity: Option<u32>) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// The sender sends something that costs a credit.
    pub(in crate::monitor) fn spend(&mut self) -> Result<(), &'static str> {
        self.spent += 1;
        match self.capacity {
            Some(capacity) if self.spent > u64::from(capacity) + self.received + self.surplus => {
                Err("more sent than there are credits")
            }
            _ => Ok(()),
        }
    }

    /// The sender has nothing queued: what was of no use by now is of none.
    pub(in crate::monitor) fn on_flushed(&mut self) {
        self.received = (self.received + std::mem::take(&mut self.surplus)).min(self.spent);
    }

    /// The receiver sends a credit. `takes`: it is known what the application takes.
    pub(in crate::monitor) fn grant(&mut self, takes: bool) -> Result<(), &'static str> {
        self.granted += 1;
        if self.granted > self.delivered {
            return Err("more credits than items");
        }
        if takes && !self.dropped && self.granted > self.taken {
            return Err("credit for an item that is not taken");
        }
        Ok(())
    }

    /// A credit arrives; beyond the capacity it counts for nothing. Whether that has to be found
    /// out [when the sender has nothing queued](Self::on_flushed).
    pub(in crate::monitor) fn on_credit(&mut self) -> bool {
        let is_earned = self.received < self.spent;
        self.received += u64::from(is_earned);
        self.surplus += u64::from(!is_earned);
        !is_earned
    }

    /// An item arrives. A nil one is never taken: its credit goes back at once.
    pub(in crate::monitor) fn on_item(&mut self, is_nil: bool) {
        self.delivered += 1;
        self.taken += u64::from(is_nil);
    }

    /// The application takes an item.
    pub(in crate::monitor) fn on_taken(&mut self) {
        self.taken += 1;
    }

    /// The application takes no more: credits go back for what it would have taken.
    pub(in crate::monitor) fn on_dropped(&mut self) {
        self.dropped = true;
    }

    /// Whether anything at all has arrived.
    pub(in crate::monitor) const fn has_arrived(&self) -> bool {
        self.delivered > 0
    }
}
