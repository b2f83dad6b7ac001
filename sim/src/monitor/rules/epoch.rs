//! Mux ids over all connections of a pair: PROTOCOL.md section 7.1 (part of oracle O8).

use std::collections::BTreeMap;

use crate::monitor::decode::Role;

/// A generation is one of this many; the one after the last is 0.
const GENERATIONS: u32 = 1 << 31;

/// The last use of a slot.
#[derive(Clone, Copy, Debug)]
struct Use {
    connection: u64,
    mux: u64,
}

/// The slots of both sides' ids, over all their connections.
#[derive(Debug, Default)]
pub(in crate::monitor) struct Generations {
    slots: [BTreeMap<u32, Use>; 2],
    instances: [Option<[u8; 16]>; 2],
}

/// How often a slot was used anew from one of its ids to another.
pub(in crate::monitor) const fn generations_between(from: u64, to: u64) -> u32 {
    ((to >> 32) as u32).wrapping_sub((from >> 32) as u32) % GENERATIONS
}

impl Generations {
    /// A side names its process: another one than before has begun to count anew.
    pub(in crate::monitor) fn on_instance(&mut self, side: Role, id: [u8; 16]) {
        let before = self.instances[side.index()].replace(id);
        if before.is_some_and(|before| before != id) {
            self.slots[side.index()].clear();
        }
    }

    /// A side opens a mux. Gives the mux that its slot held before, if that was on the same
    /// connection.
    pub(in crate::monitor) fn open(
        &mut self,
        side: Role,
        connection: u64,
        mux: u64,
    ) -> Result<Option<u64>, &'static str> {
        let slots = &mut self.slots[side.index()];
        let slot = mux as u32;
        let Some(last) = slots.get(&slot).copied() else {
            slots.insert(slot, Use { connection, mux });
            return Ok(None);
        };
        if connection < last.connection {
            // What an older connection still had in its buffers says nothing of the newer one.
            return Ok(None);
        }
        slots.insert(slot, Use { connection, mux });
        let step = generations_between(last.mux, mux);
        if step == 0 || step > GENERATIONS / 2 {
            return Err("generation that does not grow");
        }
        Ok((last.connection == connection).then_some(last.mux))
    }
}
