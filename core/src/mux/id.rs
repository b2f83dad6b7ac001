//! Mux ids of our own: PROTOCOL.md section 7.1.
//!
//! Bit 63 is set, so that a peer that answers in the wrong direction never hits one of ours;
//! then 31 bits of generation and 32 bits of slot, so that a stale message finds no newer call.

const OWN: u64 = 1 << 63;
const GENERATION_BITS: u32 = 31;

/// Largest generation; the one after it is 0.
pub(crate) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// Names one of our calls: the slot that holds it and which of its uses this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutgoingKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl OutgoingKey {
    /// The slot, for tables that run beside the machine's.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The id on the wire.
    pub const fn mux_id(self) -> u64 {
        OWN | (self.generation as u64) << 32 | self.slot as u64
    }

    /// The call that an id on the wire names, if it can be one of ours.
    pub const fn from_mux_id(id: u64) -> Option<Self> {
        if id & OWN == 0 {
            return None;
        }
        Some(Self { slot: id as u32, generation: (id >> 32) as u32 & GENERATION_MASK })
    }
}

/// Names one of the peer's calls here: the slot that holds it and which of its uses this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncomingKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl IncomingKey {
    /// The slot, for tables that run beside the machine's.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_bit_63_set_and_names_its_slot_and_generation() {
        let key = OutgoingKey { slot: u32::MAX, generation: GENERATION_MASK };
        assert_eq!(key.mux_id(), u64::MAX);
        assert_eq!(OutgoingKey::from_mux_id(u64::MAX), Some(key));
        let key = OutgoingKey { slot: 5, generation: 1 };
        assert_eq!(key.mux_id(), 0x8000_0001_0000_0005);
        assert_eq!(OutgoingKey::from_mux_id(key.mux_id()), Some(key));
        assert_eq!(OutgoingKey::from_mux_id(5), None, "a Go node's id is never ours");
    }
}
