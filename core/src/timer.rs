//! One timer per mux: a hierarchical wheel of 1 ms, all operations O(1).
//!
//! An entry sits at the level of the highest 6-bit group in which its tick differs from the
//! current one, so a lower level always holds the earlier entries, and no slot wraps. When
//! the current tick reaches a slot of a higher level, its entries move down. Timers never
//! fire early and at most one tick late; a cancelled one leaves nothing behind.

use crate::time::Instant;

const NANOS_PER_TICK: u64 = 1_000_000;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 8 levels of 64 slots: 2^48 ms, some 8,900 years.
const LEVELS: usize = 8;
const MAX_TICK: u64 = (1 << (SLOT_BITS as u64 * LEVELS as u64)) - 1;
const NONE: u32 = u32::MAX;
/// The list of entries that are due and not yet popped.
const DUE: u16 = (LEVELS * SLOTS) as u16;
const UNARMED: u16 = u16::MAX;

/// Names a timer: chosen by its owner, used as an index.
pub(crate) type TimerKey = u32;

#[derive(Clone, Copy, Debug)]
struct Node {
    tick: u64,
    prev: u32,
    next: u32,
    list: u16,
}

const IDLE: Node = Node { tick: 0, prev: NONE, next: NONE, list: UNARMED };

/// Doubly linked lists through `nodes`; the head's `prev` is the tail.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "testing"), derive(Clone))]
pub(crate) struct Wheel {
    tick: u64,
    armed: usize,
    occupied: [u64; LEVELS],
    heads: Vec<u32>,
    nodes: Vec<Node>,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tick: now.as_nanos() / NANOS_PER_TICK,
            armed: 0,
            occupied: [0; LEVELS],
            heads: vec![NONE; LEVELS * SLOTS + 1],
            nodes: Vec::new(),
        }
    }

    /// How many timers are armed or due.
    pub(crate) fn armed(&self) -> usize {
        self.armed
    }

    /// Arms the timer, or moves it if it is armed.
    pub(crate) fn arm(&mut self, key: TimerKey, at: Instant) {
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, IDLE);
        }
        self.cancel(key);
        let tick = at.as_nanos().div_ceil(NANOS_PER_TICK).min(MAX_TICK);
        self.nodes[index].tick = tick;
        self.insert(key);
        self.armed += 1;
    }

    /// Disarms the timer; nothing happens if it is not armed.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        if self.nodes.get(key as usize).is_some_and(|n| n.list != UNARMED) {
            self.unlink(key);
            self.armed -= 1;
        }
    }

    /// The next timer that is due, disarmed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TimerKey> {
        self.advance((now.as_nanos() / NANOS_PER_TICK).min(MAX_TICK));
        let key = self.heads[DUE as usize];
        if key == NONE {
            return None;
        }
        self.unlink(key);
        self.armed -= 1;
        Some(key)
    }

    /// When [`Self::pop_due`] may have something: sometimes early, never late.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.heads[DUE as usize] != NONE {
            return Some(Instant::ZERO);
        }
        self.next_slot().map(|(_, tick)| Instant::from_millis(tick))
    }

    /// When the first timer is due; [`Self::next`] may be any time before.
    pub(crate) fn first(&self) -> Option<Instant> {
        if self.heads[DUE as usize] != NONE {
            return Some(Instant::ZERO);
        }
        let (list, _) = self.next_slot()?;
        let head = self.heads[list];
        let next = |key: &TimerKey| Some(self.nodes[*key as usize].next).filter(|key| *key != NONE);
        let ticks =
            std::iter::successors(Some(head), next).map(|key| self.nodes[key as usize].tick);
        ticks.min().map(Instant::from_millis)
    }

    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let shift = level as u32 * SLOT_BITS;
        let above = self.tick >> shift >> SLOT_BITS << SLOT_BITS << shift;
        Some((level * SLOTS + slot as usize, above | (slot << shift)))
    }

    fn advance(&mut self, target: u64) {
        while self.tick < target {
            match self.next_slot() {
                Some((list, start)) if start <= target => {
                    self.tick = start;
                    self.move_down(list);
                }
                _ => self.tick = target,
            }
        }
    }

    fn move_down(&mut self, list: usize) {
        while self.heads[list] != NONE {
            let key = self.heads[list];
            self.unlink(key);
            self.insert(key);
        }
    }

    fn insert(&mut self, key: TimerKey) {
        let tick = self.nodes[key as usize].tick;
        let list = if tick <= self.tick {
            DUE
        } else {
            let level = (63 - (tick ^ self.tick).leading_zeros()) / SLOT_BITS;
            let mut slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
            if planted!(WheelSlotOffByOne, level > 0) {
                slot = (slot + 1).min(SLOTS - 1);
            }
            self.occupied[level as usize] |= 1 << slot;
            (level as usize * SLOTS + slot) as u16
        };
        let head = self.heads[list as usize];
        let node = &mut self.nodes[key as usize];
        node.list = list;
        node.next = NONE;
        if head == NONE {
            node.prev = key;
            self.heads[list as usize] = key;
        } else {
            let tail = self.nodes[head as usize].prev;
            self.nodes[key as usize].prev = tail;
            self.nodes[tail as usize].next = key;
            self.nodes[head as usize].prev = key;
        }
    }

    fn unlink(&mut self, key: TimerKey) {
        let Node { prev, next, list, .. } = self.nodes[key as usize];
        let head = self.heads[list as usize];
        if head == key {
            self.heads[list as usize] = next;
            if next == NONE && list != DUE {
                self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
            }
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        } else if head != key {
            self.nodes[head as usize].prev = prev;
        }
        self.nodes[key as usize].list = UNARMED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::WeakRng;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn drain(wheel: &mut Wheel, now: Instant) -> Vec<TimerKey> {
        std::iter::from_fn(|| wheel.pop_due(now)).collect()
    }

    #[test]
    fn fires_never_early_and_at_most_a_tick_late() {
        let mut wheel = Wheel::new(ms(5));
        let at = Instant::from_nanos(7_000_001);
        wheel.arm(3, at);
        assert_eq!(drain(&mut wheel, at), Vec::<u32>::new(), "the tick of 7.000001 ms is 8 ms");
        assert_eq!(drain(&mut wheel, ms(8)), [3]);
        assert_eq!((wheel.armed(), wheel.next()), (0, None));
    }

    #[test]
    fn the_first_time_is_exact_where_the_next_one_is_early() {
        let mut wheel = Wheel::new(ms(0));
        wheel.arm(0, ms(15_003));
        wheel.arm(1, ms(15_001));
        assert!(wheel.next() < Some(ms(15_000)));
        assert_eq!(wheel.first(), Some(ms(15_001)));
        assert_eq!(drain(&mut wheel, ms(15_001)), [1]);
        assert_eq!(wheel.first(), Some(ms(15_003)));
        wheel.cancel(0);
        assert_eq!(wheel.first(), None);
    }

    #[test]
    fn a_time_that_has_passed_is_due_at_once() {
        let mut wheel = Wheel::new(ms(100));
        wheel.arm(0, ms(3));
        assert_eq!(wheel.next(), Some(Instant::ZERO));
        assert_eq!(drain(&mut wheel, ms(100)), [0]);
    }

    #[test]
    fn the_end_of_the_clock_is_a_time_like_any_other() {
        let mut wheel = Wheel::new(ms(0));
        wheel.arm(0, Instant::from_nanos(u64::MAX));
        assert_eq!(drain(&mut wheel, ms(1 << 40)), Vec::<u32>::new());
        assert_eq!(drain(&mut wheel, Instant::from_nanos(u64::MAX)), Vec::<u32>::new());
        wheel.cancel(0);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn agrees_with_a_sorted_list_under_random_use() {
        for seed in 0..200 {
            let mut rng = WeakRng::new(seed);
            let mut now = rng.range(0, 1 << 45);
            let mut wheel = Wheel::new(Instant::from_nanos(now));
            let mut model = std::collections::BTreeMap::<u32, u64>::new();
            for _ in 0..400 {
                match rng.range(0, 3) {
                    0 | 1 => {
                        let key = rng.range(0, 40) as u32;
                        let spread = 1 << rng.range(0, 44);
                        let at = now + rng.range(0, spread);
                        wheel.arm(key, Instant::from_nanos(at));
                        model.insert(key, at.div_ceil(NANOS_PER_TICK));
                    }
                    2 => {
                        let key = rng.range(0, 40) as u32;
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    _ => {
                        if let Some(next) = wheel.next() {
                            let first = model.values().min().expect("armed");
                            assert!(next <= ms(*first), "a wake-up may be early, never late");
                        }
                        let spread = 1 << rng.range(0, 42);
                        now += rng.range(0, spread);
                        let mut fired = drain(&mut wheel, Instant::from_nanos(now));
                        fired.sort_unstable();
                        let due = |tick: &u64| *tick <= now / NANOS_PER_TICK;
                        let expected: Vec<u32> =
                            model.iter().filter(|(_, t)| due(t)).map(|(k, _)| *k).collect();
                        model.retain(|_, t| !due(t));
                        assert_eq!(fired, expected, "seed {seed}");
                    }
                }
                assert_eq!(wheel.armed(), model.len());
            }
        }
    }
}
