//! A bounded queue between producers and a slower consumer, with the policies for a full queue.
//!
//! Only this module implements the slow-consumer policy; every queue to a client or a resolver is a
//! `BoundedQueue`.
//! Not here: messages to a consumer that is too slow.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashSet;

use crate::config::SlowConsumer;

/// Items whose memory an empty queue keeps (count). What a burst needed is returned.
const KEPT_ITEMS: usize = 16;

/// An item of a queue.
pub(crate) trait Waiting {
    /// Identifies the operation of a result.
    type Operation: Eq + Hash;

    /// Returns the part of the queue's capacity that it uses: bytes, or a count.
    fn weight(&self) -> usize;

    /// Returns its operation: `Latest` keeps one result of each operation. `None`: no policy drops
    /// it.
    fn operation(&self) -> Option<Self::Operation>;

    /// Is told that a policy drops it.
    fn dropped(&self) {}
}

/// The effect of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The item was added, and this number of others was dropped for it.
    Added(usize),
    /// The consumer is too slow: the queue was emptied. The number of dropped items, including this
    /// one.
    Overflow(usize),
}

/// Waiting items, with a limit of their total weight.
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

    /// Adds an item; if it does not fit, applies the policy. An item that no policy drops either
    /// fits or overflows the queue.
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
                // No item is left that may be dropped.
                return Pushed::Overflow(dropped + self.clear() + 1);
            }
        }
        self.add(item);
        Pushed::Added(dropped)
    }

    /// Adds an item without a check of the limit.
    pub(crate) fn add(&mut self, item: T) {
        self.weight += item.weight();
        if self.items.capacity() == 0 {
            // Most queues never hold more than one item.
            self.items.reserve_exact(1);
        }
        self.items.push_back(item);
    }

    /// Removes and returns the oldest item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.weight -= item.weight();
        if self.items.is_empty() && self.items.capacity() > KEPT_ITEMS {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Removes and returns all items, oldest first.
    pub(crate) fn take_all(&mut self) -> VecDeque<T> {
        self.weight = 0;
        std::mem::take(&mut self.items)
    }

    /// Returns the oldest item.
    pub(crate) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// Returns the newest item.
    pub(crate) fn back(&self) -> Option<&T> {
        self.items.back()
    }

    /// Returns the number of items.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the queue is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether at most half of the capacity is used.
    pub(crate) fn has_room(&self) -> bool {
        self.weight <= self.capacity / 2
    }

    /// Drops all items, and returns their number.
    pub(crate) fn clear(&mut self) -> usize {
        self.weight = 0;
        let items = std::mem::take(&mut self.items);
        items.len()
    }

    /// Whether an item fits. An item larger than the capacity fits an empty queue; otherwise it
    /// could never be sent.
    fn fits(&self, item: &T) -> bool {
        self.weight == 0 || self.weight + item.weight() <= self.capacity
    }

    /// Drops the oldest results until `weight` fits.
    fn drop_oldest(&mut self, weight: usize) -> usize {
        let before = self.items.len();
        let mut excess = (self.weight + weight).saturating_sub(self.capacity);
        while excess > 0
            && self
                .items
                .front()
                .is_some_and(|item| item.operation().is_some())
        {
            let oldest = self.pop().map_or(0, |item| {
                item.dropped();
                item.weight()
            });
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
            item.dropped();
            false
        });
        self.weight -= freed;
        before - self.items.len()
    }

    /// Drops all but the newest result of each operation, and all results of `newer`, which is
    /// about to add one.
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
                item.dropped();
            }
        }
        self.items = kept;
        before - self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item with an operation or none, and a weight.
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
    fn items_that_may_not_be_dropped_overflow_the_queue() {
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
