//! What the client waits for: a slab of slots, found by call id.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::frame::{Kind, invalid};
use super::link::Side;
use super::read::Frame;

/// The messages of a stream that have arrived and were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    items: VecDeque<Bytes>,
    /// Nothing more will come, for this reason.
    ended: Option<io::Result<()>>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Takes what a frame brought; the waker is to be woken.
    pub(super) fn deliver(&mut self, kind: Kind, payload: Bytes) -> Option<Waker> {
        if kind != Kind::End {
            self.items.push_back(payload);
        }
        if kind != Kind::Item {
            self.ended = Some(Ok(()));
        }
        self.waker.take()
    }

    pub(super) fn fail(&mut self) -> Option<Waker> {
        self.ended.get_or_insert(Err(io::ErrorKind::ConnectionReset.into()));
        self.waker.take()
    }

    /// Moves all that has arrived into the empty `items`; false at the end.
    pub(super) fn poll_take(
        &mut self,
        cx: &Context<'_>,
        items: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<bool>> {
        if !self.items.is_empty() {
            std::mem::swap(&mut self.items, items);
            return Poll::Ready(Ok(true));
        }
        match self.ended.replace(Ok(())) {
            Some(Ok(())) => Poll::Ready(Ok(false)),
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => {
                self.ended = None;
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Debug)]
enum Slot {
    /// The next free slot.
    Free(usize),
    Waiting(Waker),
    Done(io::Result<Bytes>),
    Stream(Inbox),
}

/// All calls and streams of a client. An id is the index of a slot and, in the upper half, how
/// often the slot was used, so that a late response meets nobody.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    slots: Vec<(u32, Slot)>,
    free: usize,
    busy: usize,
}

impl Waiters {
    /// How many calls and streams are open.
    pub(super) fn len(&self) -> usize {
        self.busy
    }

    pub(super) fn call(&mut self, waker: Waker) -> u64 {
        self.insert(Slot::Waiting(waker))
    }

    pub(super) fn stream(&mut self) -> u64 {
        self.insert(Slot::Stream(Inbox::default()))
    }

    fn insert(&mut self, slot: Slot) -> u64 {
        self.busy += 1;
        let index = self.free;
        let Some((uses, place)) = self.slots.get_mut(index) else {
            self.slots.push((0, slot));
            self.free = self.slots.len();
            return index as u64;
        };
        if let Slot::Free(next) = std::mem::replace(place, slot) {
            self.free = next;
        }
        u64::from(*uses) << 32 | index as u64
    }

    fn get(&mut self, id: u64) -> Option<&mut Slot> {
        let (uses, slot) = self.slots.get_mut(id as u32 as usize)?;
        (u64::from(*uses) == id >> 32).then_some(slot)
    }

    /// Frees a slot.
    pub(super) fn remove(&mut self, id: u64) {
        self.take(id);
    }

    fn take(&mut self, id: u64) -> Option<Slot> {
        let free = self.free;
        let slot = std::mem::replace(self.get(id)?, Slot::Free(free));
        let index = id as u32 as usize;
        self.slots[index].0 = self.slots[index].0.wrapping_add(1);
        self.free = index;
        self.busy -= 1;
        Some(slot)
    }

    /// The result of a call, which frees its slot.
    #[inline]
    pub(super) fn poll_call(&mut self, id: u64, cx: &Context<'_>) -> Poll<io::Result<Bytes>> {
        match self.get(id) {
            Some(Slot::Waiting(waker)) => {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            Some(Slot::Done(_)) => {}
            _ => return Poll::Ready(Err(invalid("the call is over"))),
        }
        match self.take(id) {
            Some(Slot::Done(result)) => Poll::Ready(result),
            _ => Poll::Ready(Err(invalid("the call is over"))),
        }
    }

    pub(super) fn inbox(&mut self, id: u64) -> Option<&mut Inbox> {
        match self.get(id)? {
            Slot::Stream(inbox) => Some(inbox),
            _ => None,
        }
    }

    /// Hands over what has arrived; the waker is to be woken.
    #[inline]
    pub(super) fn deliver(&mut self, frame: Frame) -> Option<Waker> {
        match self.get(frame.header.call)? {
            Slot::Stream(inbox) => inbox.deliver(frame.header.kind, frame.payload),
            slot @ Slot::Waiting(_) => {
                match std::mem::replace(slot, Slot::Done(Ok(frame.payload))) {
                    Slot::Waiting(waker) => Some(waker),
                    _ => None,
                }
            }
            Slot::Free(_) | Slot::Done(_) => None,
        }
    }
}

impl Side for Waiters {
    fn fail(&mut self, wakers: &mut Vec<Waker>) {
        for (_, slot) in &mut self.slots {
            match slot {
                Slot::Stream(inbox) => wakers.extend(inbox.fail()),
                Slot::Waiting(_) => {
                    let lost = Slot::Done(Err(io::ErrorKind::ConnectionReset.into()));
                    if let Slot::Waiting(waker) = std::mem::replace(slot, lost) {
                        wakers.push(waker);
                    }
                }
                Slot::Free(_) | Slot::Done(_) => {}
            }
        }
    }
}
