//! A queue between producers and a consumer that may be slower: what happens when it is full.
//!
//! The slow-consumer policy exists here only; every queue towards a client or a resolver is one of
//! these. Not here: what a consumer that is too slow is told.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashSet;

use crate::config::SlowConsumer;

/// What may wait in a queue.
pub(crate) trait Waiting {
    /// What the results of one operation have in common.
    type Operation: Eq + Hash;

    /// What it takes of the queue's capacity: bytes, or a count.
    fn weight(&self) -> usize;

    /// Whose result it is: `Latest` keeps one of each operation. `None`: no policy drops it.
    fn operation(&self) -> Option<Self::Operation>;
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits, and so many others were dropped for it (count).
    Added(usize),
    /// The consumer is too slow: the queue is empty. So many were dropped, with it (count).
    Overflow(usize),
}

/// Items that wait, at most of a total weight.
#[derive(Debug)]
pub(crate) struct BoundedQueue<T> {
    items: VecDeque<T>,
    weight: usize,
    capacity: usize,
    policy: SlowConsumer,
}

impl<T: Waiting> BoundedQueue<T> {
    pub(crate) fn new(capacity: usize, policy: SlowConsumer) -> Self {
        Self {
            items: VecDeque::new(),
            weight: 0,
            capacity,
            policy,
        }
    }

    /// Adds an item; where it does not fit, the policy acts. Items that no policy drops fit or
    /// overflow the queue.
    pub(crate) fn push(&mut self, item: T) -> Pushed {
        let mut dropped = 0;
        if !self.fits(&item) {
            if let Some(operation) = item.operation() {
                dropped = match self.policy {
                    SlowConsumer::Disconnect => 0,
                    SlowConsumer::DropOldest => self.drop_oldest(item.weight()),
                    SlowConsumer::Latest => {
                        self.keep_latest(operation) + self.drop_oldest(item.weight())
                    }
                };
            }
            if !self.fits(&item) {
                // Nothing is left that may be dropped: the consumer takes nothing.
                return Pushed::Overflow(dropped + self.clear() + 1);
            }
        }
        self.add(item);
        Pushed::Added(dropped)
    }

    /// Adds an item whatever waits already.
    pub(crate) fn add(&mut self, item: T) {
        self.weight += item.weight();
        self.items.push_back(item);
    }

    /// Takes the oldest item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.weight -= item.weight();
        Some(item)
    }

    /// The oldest item.
    pub(crate) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// The newest item.
    pub(crate) fn back(&self) -> Option<&T> {
        self.items.back()
    }

    /// How many wait (a count).
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether at most half of what may wait does.
    pub(crate) fn has_room(&self) -> bool {
        self.weight <= self.capacity / 2
    }

    /// Drops all items, and returns how many they were (a count).
    pub(crate) fn clear(&mut self) -> usize {
        self.weight = 0;
        let items = std::mem::take(&mut self.items);
        items.len()
    }

    /// An item larger than the capacity fits when nothing else waits: it could never leave else.
    fn fits(&self, item: &T) -> bool {
        self.weight == 0 || self.weight + item.weight() <= self.capacity
    }

    /// Drops the oldest results until so much more fits.
    fn drop_oldest(&mut self, weight: usize) -> usize {
        let before = self.items.len();
        let mut excess = (self.weight + weight).saturating_sub(self.capacity);
        while excess > 0
            && self
                .items
                .front()
                .is_some_and(|item| item.operation().is_some())
        {
            let oldest = self.pop().map_or(0, |item| item.weight());
            excess = excess.saturating_sub(oldest);
        }
        if excess == 0 {
            return before - self.items.len();
        }
        let mut freed = 0;
        self.items.retain(|item| {
            if excess == 0 || item.operation().is_none() {
                return true;
            }
            excess = excess.saturating_sub(item.weight());
            freed += item.weight();
            false
        });
        self.weight -= freed;
        before - self.items.len()
    }

    /// Keeps the newest result of each operation, and none of `newer`, which has a newer one.
    fn keep_latest(&mut self, newer: T::Operation) -> usize {
        let before = self.items.len();
        let mut seen = HashSet::<_>::from_iter([newer]);
        let mut kept = VecDeque::with_capacity(before);
        while let Some(item) = self.items.pop_back() {
            if item
                .operation()
                .is_none_or(|operation| seen.insert(operation))
            {
                kept.push_front(item);
            } else {
                self.weight -= item.weight();
            }
        }
        self.items = kept;
        before - self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation, or none, and a weight.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Item(Option<u8>, usize);

    impl Waiting for Item {
        type Operation = u8;

        fn weight(&self) -> usize {
            self.1
        }

        fn operation(&self) -> Option<u8> {
            self.0
        }
    }

    fn queue(policy: SlowConsumer, items: &[Item]) -> BoundedQueue<Item> {
        let mut queue = BoundedQueue::new(10, policy);
        for item in items {
            assert_eq!(queue.push(*item), Pushed::Added(0));
        }
        queue
    }

    fn left(mut queue: BoundedQueue<Item>) -> Vec<Item> {
        let items = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(queue.weight, 0);
        items
    }

    #[test]
    fn disconnect_drops_all() {
        let mut full = queue(SlowConsumer::Disconnect, &[Item(Some(1), 6)]);
        assert_eq!(full.push(Item(Some(1), 6)), Pushed::Overflow(2));
        assert_eq!(left(full), []);
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_what_is_no_result() {
        let (control, old, new) = (Item(None, 2), Item(Some(1), 6), Item(Some(2), 7));
        let mut full = queue(SlowConsumer::DropOldest, &[control, old]);
        assert_eq!(full.push(new), Pushed::Added(1));
        assert_eq!(left(full), [control, new]);
    }

    #[test]
    fn latest_keeps_one_of_each_operation() {
        let one = |weight| Item(Some(1), weight);
        let items = [one(2), Item(Some(2), 3), one(3), Item(Some(2), 1)];
        let mut full = queue(SlowConsumer::Latest, &items);
        assert_eq!(full.push(one(4)), Pushed::Added(3));
        assert_eq!(left(full), [Item(Some(2), 1), one(4)]);
    }

    #[test]
    fn what_may_not_be_dropped_overflows_the_queue() {
        for policy in [SlowConsumer::DropOldest, SlowConsumer::Latest] {
            let mut full = queue(policy, &[Item(None, 9)]);
            assert_eq!(full.push(Item(Some(1), 2)), Pushed::Overflow(2));
            let mut full = queue(policy, &[Item(Some(1), 9)]);
            assert_eq!(full.push(Item(None, 2)), Pushed::Overflow(2));
        }
    }

    #[test]
    fn an_item_larger_than_the_capacity_passes_when_nothing_waits() {
        let mut empty = queue(SlowConsumer::Disconnect, &[]);
        assert_eq!(empty.push(Item(Some(1), 50)), Pushed::Added(0));
        assert_eq!(left(empty), [Item(Some(1), 50)]);
    }
}
