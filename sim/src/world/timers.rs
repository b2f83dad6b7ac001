//! The timers of all nodes.

use std::task::Waker;

use super::lives::LifeId;

/// One arming of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    index: u32,
    arming: u32,
}

impl Alarm {
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
pub(crate) struct TimerSlot {
    pub(crate) life: LifeId,
    /// What the node's clock is to show.
    pub(crate) at: u64,
    /// What its choices are drawn with.
    pub(crate) key: u64,
    arming: u32,
    waker: Option<Waker>,
    used: bool,
}

/// All timers; a slot is used again.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<TimerSlot>,
    free: Vec<u32>,
}

impl Timers {
    pub(crate) fn add(&mut self, life: LifeId, key: u64) -> u32 {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.life = life;
            slot.key = key;
            slot.used = true;
            return index;
        }
        self.slots.push(TimerSlot { life, at: 0, key, arming: 0, waker: None, used: true });
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        slot.arming += 1;
        slot.used = false;
        self.free.push(index);
        slot.waker.take()
    }

    /// Arms a timer; `None` if it is armed for this very time, and only its waker is new.
    pub(crate) fn arm(&mut self, index: u32, at: u64, waker: &Waker) -> Option<Alarm> {
        let slot = &mut self.slots[index as usize];
        let armed = slot.waker.is_some() && slot.at == at;
        match &slot.waker {
            Some(former) if former.will_wake(waker) => {}
            _ => slot.waker = Some(waker.clone()),
        }
        if armed {
            return None;
        }
        slot.at = at;
        slot.arming += 1;
        Some(Alarm { index, arming: slot.arming })
    }

    /// What the choices for a timer are drawn with.
    pub(crate) fn key(&self, index: usize) -> u64 {
        self.slots[index].key
    }

    /// The timer of an alarm, unless it was armed anew or dropped since.
    pub(crate) fn due(&mut self, alarm: Alarm) -> Option<&mut TimerSlot> {
        let slot = self.slots.get_mut(alarm.index())?;
        (slot.used && slot.arming == alarm.arming && slot.waker.is_some()).then_some(slot)
    }

    /// Every armed timer: whose it is, and what that one's clock is to show.
    pub(crate) fn all_armed(&self) -> impl Iterator<Item = (LifeId, u64)> {
        let armed = self.slots.iter().filter(|slot| slot.used && slot.waker.is_some());
        armed.map(|slot| (slot.life, slot.at))
    }

    /// Every armed timer of a life.
    pub(crate) fn armed(&self, life: LifeId) -> Vec<(Alarm, u64)> {
        let armed = |(index, slot): (usize, &TimerSlot)| {
            let is_armed = slot.used && slot.life == life && slot.waker.is_some();
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            is_armed.then_some((Alarm { index, arming: slot.arming }, slot.at))
        };
        self.slots.iter().enumerate().filter_map(armed).collect()
    }
}

impl TimerSlot {
    pub(crate) fn fire(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}
