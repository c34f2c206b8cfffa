//! Events that wait for the resolver of one subscription.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bus::Event;

use crate::config::SlowConsumer;
use crate::metrics::Metrics;
use crate::signal::Signal;

/// Bounded queue from the shard to one subscription, on one thread.
pub struct EventQueue {
    events: RefCell<VecDeque<Arc<Event>>>,
    capacity: usize,
    policy: SlowConsumer,
    overflowed: Cell<bool>,
    signal: Rc<Signal>,
    metrics: Arc<Metrics>,
}

impl EventQueue {
    /// An empty queue for `capacity` events.
    #[must_use]
    pub fn new(capacity: usize, policy: SlowConsumer, metrics: Arc<Metrics>) -> Self {
        Self {
            events: RefCell::default(),
            capacity,
            policy,
            overflowed: Cell::new(false),
            signal: Rc::default(),
            metrics,
        }
    }

    /// Set whenever there is an event to take, or the queue has overflowed.
    #[must_use]
    pub fn signal(&self) -> Rc<Signal> {
        self.signal.clone()
    }

    /// Queues an event; past the capacity the slow-consumer policy acts.
    pub fn push(&self, event: Arc<Event>) {
        let mut events = self.events.borrow_mut();
        if events.len() >= self.capacity {
            let dropped = match self.policy {
                SlowConsumer::Disconnect => {
                    self.overflowed.set(true);
                    events.len() + 1
                }
                SlowConsumer::DropOldest => events.drain(..1).len(),
                SlowConsumer::Latest => events.drain(..).len(),
            };
            self.metrics.events_dropped.add(dropped as u64);
        }
        if self.overflowed.get() {
            events.clear();
        } else {
            events.push_back(event);
        }
        self.signal.set();
    }

    /// Takes the oldest event.
    pub fn pop(&self) -> Option<Arc<Event>> {
        self.events.borrow_mut().pop_front()
    }

    /// Whether the queue was given up under [`SlowConsumer::Disconnect`].
    #[must_use]
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::Draft;

    fn filled(policy: SlowConsumer) -> (EventQueue, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let queue = EventQueue::new(2, policy, metrics.clone());
        for offset in 1..=3 {
            let draft = Draft {
                channel: "orders".into(),
                event_type: None,
                tenant_id: None,
                id: None,
                data: serde_json::Value::Null,
            };
            queue.push(Arc::new(Event::new(draft, offset, "bus")));
        }
        (queue, metrics)
    }

    fn offsets(queue: &EventQueue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop())
            .map(|e| e.offset)
            .collect()
    }

    #[test]
    fn disconnect_gives_the_queue_up_and_counts_every_event() {
        let (queue, metrics) = filled(SlowConsumer::Disconnect);
        assert!(queue.has_overflowed());
        assert!(offsets(&queue).is_empty());
        assert_eq!(metrics.snapshot().events_dropped, 3);
    }

    #[test]
    fn drop_oldest_keeps_the_newest_in_order() {
        let (queue, metrics) = filled(SlowConsumer::DropOldest);
        assert_eq!(offsets(&queue), [2, 3]);
        assert_eq!(metrics.snapshot().events_dropped, 1);
    }

    #[test]
    fn latest_keeps_the_newest_alone() {
        let (queue, metrics) = filled(SlowConsumer::Latest);
        assert_eq!(offsets(&queue), [3]);
        assert_eq!(metrics.snapshot().events_dropped, 2);
    }
}
