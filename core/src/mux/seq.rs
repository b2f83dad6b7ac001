//! Sequence numbers: PROTOCOL.md section 5. One numbering a mux and direction, compared for equality.

use crate::error::Violation;

/// The numbers that this side gives out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendSeq(u32);

impl SendSeq {
    pub(crate) const fn starting_at(first: u32) -> Self {
        Self(first)
    }

    /// The number of the message that is queued now.
    pub(crate) const fn next(&mut self) -> u32 {
        let seq = self.0;
        self.0 = seq.wrapping_add(1);
        seq
    }
}

/// The numbers that have to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveSeq(u32);

impl ReceiveSeq {
    pub(crate) const fn starting_at(first: u32) -> Self {
        Self(first)
    }

    pub(crate) fn check(&mut self, received: u32) -> Result<(), Violation> {
        if received != self.0 {
            return Err(Violation::OutOfSequence { expected: self.0, received });
        }
        self.0 = received.wrapping_add(1);
        Ok(())
    }
}
