//! Compares published events with deliveries: lost, duplicated, reordered, misrouted.
//!
//! Events are numbered from 0, including the warm-up. A subscription receives either every event,
//! or the events of its own key, which is its number. Deliveries to unchecked subscriptions are
//! only counted.
//! Not here: times (`run`), sockets (`driver`).

use std::ops::Range;

use serde::Serialize;

/// The events that a subscription should receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every event.
    All,
    /// The events whose key is the number of the subscription.
    Own,
    /// Unchecked: its connection disconnects and reconnects, or does not read.
    Unchecked,
}

/// The classification of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Expected, for the first time, in order or not.
    Delivered,
    /// The result of a warm-up event.
    WarmUp,
    /// A result for a subscription that is not checked.
    Unchecked,
    /// Received before.
    Duplicated,
    /// Not meant for this subscription, or never published.
    Misrouted,
}

/// Deliveries so far (counts).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Expected deliveries.
    pub expected: u64,
    /// Expected deliveries that arrived.
    pub delivered: u64,
    /// Expected deliveries that did not arrive.
    pub lost: u64,
    /// Repeated deliveries.
    pub duplicated: u64,
    /// Deliveries that arrived after one of a later event; also counted in `delivered`.
    pub reordered: u64,
    /// Deliveries to the wrong subscription.
    pub misrouted: u64,
    /// Deliveries to unchecked subscriptions.
    pub unchecked: u64,
}

#[derive(Debug)]
struct Subscription {
    audience: Audience,
    live: bool,
    ended: bool,
    /// One past the latest received event, counted from the first measured one.
    next: u32,
    /// Events before `next` that have not arrived. Empty as long as all events are in order.
    missing: Vec<Range<u32>>,
}

#[derive(Debug)]
struct Event {
    key: u32,
    /// Number of subscriptions that have not received it yet.
    remaining: u32,
    /// Whether the subscription whose key it has received it.
    reached_key: bool,
}

/// Tracks the deliveries of one run.
#[derive(Debug)]
pub(crate) struct DeliveryTracker {
    subscriptions: Vec<Subscription>,
    /// The measured events, in order.
    events: Vec<Event>,
    /// Sequence of the first measured event; earlier ones are warm-up.
    first: u32,
    /// Subscriptions in [`Audience::All`] that have not ended.
    everyone: u32,
    /// Checked subscriptions that have not received anything yet.
    waiting: usize,
    /// Returns the number of events that are not delivered to every expected subscription.
    pending: usize,
    /// Events before this index are completely delivered, or given up.
    settled: usize,
    counts: Counts,
}

impl DeliveryTracker {
    /// Creates a tracker for these subscriptions, numbered in their order.
    #[must_use]
    pub(crate) fn new(audiences: impl IntoIterator<Item = Audience>) -> Self {
        let subscriptions: Vec<_> = audiences
            .into_iter()
            .map(|audience| Subscription {
                audience,
                live: false,
                ended: false,
                next: 0,
                missing: Vec::new(),
            })
            .collect();
        let of = |audience| {
            let of_audience = subscriptions.iter().filter(|s| s.audience == audience);
            of_audience.count()
        };
        let (everyone, own) = (of(Audience::All), of(Audience::Own));
        Self {
            subscriptions,
            events: Vec::new(),
            first: 0,
            everyone: everyone as u32,
            waiting: everyone + own,
            pending: 0,
            settled: 0,
            counts: Counts::default(),
        }
    }

    /// Resets the counts; the next event is the first measured one.
    pub(crate) fn start(&mut self) {
        self.first += self.events.len() as u32;
        self.events.clear();
        self.pending = 0;
        self.settled = 0;
        self.counts = Counts::default();
        for subscription in &mut self.subscriptions {
            subscription.next = 0;
            subscription.missing.clear();
        }
    }

    /// Records an event with this key; returns its sequence.
    pub(crate) fn publish(&mut self, key: u32) -> u32 {
        let own = self.subscriptions.get(key as usize);
        let own = own.is_some_and(|s| s.audience == Audience::Own && !s.ended);
        let remaining = self.everyone + u32::from(own);
        self.counts.expected += u64::from(remaining);
        self.pending += usize::from(remaining > 0);
        self.events.push(Event {
            key,
            remaining,
            reached_key: false,
        });
        self.first + self.events.len() as u32 - 1
    }

    /// Records a delivery of the event `sequence` to a subscription.
    pub(crate) fn deliver(&mut self, number: u32, sequence: u32) -> Delivery {
        let Some(subscription) = self.subscriptions.get_mut(number as usize) else {
            self.counts.misrouted += 1;
            return Delivery::Misrouted;
        };
        if subscription.audience == Audience::Unchecked {
            self.counts.unchecked += 1;
            return Delivery::Unchecked;
        }
        if !subscription.live {
            subscription.live = true;
            self.waiting -= 1;
        }
        let Some(index) = sequence.checked_sub(self.first) else {
            return Delivery::WarmUp;
        };
        let Some(event) = self.events.get_mut(index as usize) else {
            self.counts.misrouted += 1;
            return Delivery::Misrouted;
        };
        let (new, late) = match subscription.audience {
            Audience::All => subscription.take(index),
            _ if event.key != number => {
                self.counts.misrouted += 1;
                return Delivery::Misrouted;
            }
            _ => subscription.take_own(event, index),
        };
        if !new {
            self.counts.duplicated += 1;
            return Delivery::Duplicated;
        }
        self.counts.reordered += u64::from(late);
        self.counts.delivered += 1;
        // An event that was given up may still arrive.
        if event.remaining > 0 {
            event.remaining -= 1;
            if event.remaining == 0 {
                self.pending -= 1;
                let whole = |event: &&Event| event.remaining == 0;
                self.settled += self.events[self.settled..].iter().take_while(whole).count();
            }
        }
        Delivery::Delivered
    }

    /// Records that a subscription has ended early. Its missing deliveries of published events are
    /// lost, and later events are not expected.
    pub(crate) fn end(&mut self, number: u32) {
        let Some(subscription) = self.subscriptions.get_mut(number as usize) else {
            return;
        };
        if subscription.ended || subscription.audience == Audience::Unchecked {
            return;
        }
        subscription.ended = true;
        self.waiting -= usize::from(!subscription.live);
        self.everyone -= u32::from(subscription.audience == Audience::All);
        for (index, event) in self.events.iter_mut().enumerate().skip(self.settled) {
            let owed = match subscription.audience {
                Audience::All => !subscription.has(index as u32),
                _ => event.key == number && !event.reached_key,
            };
            if owed && event.remaining > 0 {
                event.remaining -= 1;
                self.pending -= usize::from(event.remaining == 0);
            }
        }
    }

    /// Stops waiting for undelivered events, so that the next events do not wait for them.
    pub(crate) fn give_up(&mut self) {
        for event in &mut self.events[self.settled..] {
            event.remaining = 0;
        }
        self.settled = self.events.len();
        self.pending = 0;
    }

    /// Returns the number of events that are not delivered to every expected subscription.
    #[must_use]
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Checked subscriptions that have not received anything yet (a count).
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the number of checked subscriptions that have not received an event, including ended
    /// ones.
    pub(crate) fn silent(&self) -> usize {
        let checked = self.subscriptions.iter();
        let silent = checked.filter(|s| s.audience != Audience::Unchecked && !s.live);
        silent.count()
    }

    /// Whether a subscription has received an event, or has ended.
    #[must_use]
    pub(crate) fn is_live(&self, number: u32) -> bool {
        let subscription = self.subscriptions.get(number as usize);
        subscription.is_none_or(|subscription| subscription.live || subscription.ended)
    }

    /// Returns the number of events published since the start.
    #[must_use]
    pub(crate) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// Returns the counts; deliveries that have not arrived by now are lost.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            lost: self.counts.expected.saturating_sub(self.counts.delivered),
            ..self.counts
        }
    }
}

impl Subscription {
    /// Whether the event of this index has been received.
    fn has(&self, index: u32) -> bool {
        index < self.next && !self.missing.iter().any(|range| range.contains(&index))
    }

    /// Receives a broadcast event; returns whether it is new, and whether it is out of order.
    fn take(&mut self, index: u32) -> (bool, bool) {
        if index >= self.next {
            if index > self.next {
                self.missing.push(self.next..index);
            }
            self.next = index + 1;
            return (true, false);
        }
        let Some(place) = self.missing.iter().position(|r| r.contains(&index)) else {
            return (false, false);
        };
        let range = self.missing.swap_remove(place);
        let around = [range.start..index, index + 1..range.end];
        self.missing
            .extend(around.into_iter().filter(|range| !range.is_empty()));
        (true, true)
    }

    /// Receives an event of its own key; returns whether it is new, and whether it is out of order.
    fn take_own(&mut self, event: &mut Event, index: u32) -> (bool, bool) {
        let new = !std::mem::replace(&mut event.reached_key, true);
        let late = index < self.next;
        self.next = self.next.max(index + 1);
        (new, late)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tracker_of(audiences: &[Audience], events: &[u32]) -> DeliveryTracker {
        let mut tracker = DeliveryTracker::new(audiences.iter().copied());
        for key in events {
            tracker.publish(*key);
        }
        tracker
    }

    #[test]
    fn events_that_arrive_once_and_in_order_are_delivered() {
        let mut tracker = tracker_of(&[Audience::All, Audience::All], &[0, 0]);
        assert_eq!(tracker.pending(), 2);
        for (subscription, sequence) in [(0, 0), (1, 0), (0, 1)] {
            assert_eq!(tracker.deliver(subscription, sequence), Delivery::Delivered);
        }
        assert_eq!(tracker.pending(), 1);
        tracker.deliver(1, 1);
        let expected = Counts {
            expected: 4,
            delivered: 4,
            ..Counts::default()
        };
        assert_eq!(tracker.counts(), expected);
        assert_eq!(tracker.pending(), 0);
    }

    #[test]
    fn lost_duplicated_and_reordered_are_told_apart() {
        let mut tracker = tracker_of(&[Audience::All], &[0; 6]);
        for sequence in [0, 0, 3, 1, 1, 5] {
            tracker.deliver(0, sequence);
        }
        let expected = Counts {
            expected: 6,
            delivered: 4,
            lost: 2,
            duplicated: 2,
            reordered: 1,
            ..Counts::default()
        };
        assert_eq!(tracker.counts(), expected);
    }

    #[test]
    fn an_event_with_a_key_is_expected_by_the_subscription_of_that_number() {
        let mut tracker = tracker_of(&[Audience::Own, Audience::Own, Audience::All], &[1, 0, 1]);
        assert_eq!(tracker.counts().expected, 6);
        assert_eq!(tracker.deliver(1, 2), Delivery::Delivered);
        assert_eq!(tracker.deliver(1, 0), Delivery::Delivered);
        assert_eq!(tracker.deliver(1, 0), Delivery::Duplicated);
        assert_eq!(tracker.deliver(0, 0), Delivery::Misrouted);
        assert_eq!(tracker.deliver(2, 1), Delivery::Delivered);
        let counts = tracker.counts();
        assert_eq!((counts.reordered, counts.misrouted), (1, 1));
        assert_eq!((counts.duplicated, counts.lost), (1, 3));
    }

    #[test]
    fn warm_up_makes_live_and_counts_nothing() {
        let mut tracker = tracker_of(&[Audience::All, Audience::All], &[0]);
        tracker.deliver(0, 0);
        assert_eq!(tracker.waiting(), 1);
        tracker.start();
        assert_eq!(tracker.publish(0), 1);
        assert_eq!(tracker.deliver(1, 0), Delivery::WarmUp);
        assert_eq!(tracker.waiting(), 0);
        assert_eq!(tracker.deliver(1, 1), Delivery::Delivered);
        let counts = tracker.counts();
        assert_eq!((counts.expected, counts.delivered), (2, 1));
    }

    #[test]
    fn an_ended_subscription_has_no_pending_deliveries() {
        let mut tracker = tracker_of(&[Audience::All, Audience::All], &[0, 0]);
        tracker.deliver(0, 0);
        tracker.deliver(0, 1);
        tracker.deliver(1, 0);
        assert_eq!(tracker.pending(), 1);
        tracker.end(1);
        assert_eq!(tracker.pending(), 0);
        tracker.publish(0);
        tracker.deliver(0, 2);
        let counts = tracker.counts();
        assert_eq!((counts.expected, counts.lost), (5, 1));
    }

    #[test]
    fn an_event_that_arrives_after_it_was_given_up_is_not_lost() {
        let mut tracker = tracker_of(&[Audience::All], &[0]);
        tracker.give_up();
        assert_eq!((tracker.pending(), tracker.counts().lost), (0, 1));
        tracker.deliver(0, 0);
        assert_eq!((tracker.pending(), tracker.counts().lost), (0, 0));
    }

    #[test]
    fn an_event_that_was_never_published_is_misrouted() {
        let mut tracker = tracker_of(&[Audience::All, Audience::Unchecked], &[0]);
        assert_eq!(tracker.deliver(0, 1), Delivery::Misrouted);
        assert_eq!(tracker.deliver(2, 0), Delivery::Misrouted);
        assert_eq!(tracker.deliver(1, 0), Delivery::Unchecked);
    }

    proptest! {
        #[test]
        fn any_order_of_deliveries_is_counted_as_a_set_counts_it(
            sequences in prop::collection::vec(0_u32..20, 0..60),
        ) {
            let mut tracker = tracker_of(&[Audience::All], &[0; 20]);
            let (mut seen, mut latest) = (std::collections::HashSet::new(), 0);
            let (mut duplicated, mut reordered) = (0, 0);
            for sequence in sequences {
                tracker.deliver(0, sequence);
                if !seen.insert(sequence) {
                    duplicated += 1;
                } else if sequence < latest {
                    reordered += 1;
                }
                latest = latest.max(sequence);
            }
            let counts = tracker.counts();
            prop_assert_eq!(counts.delivered, seen.len() as u64);
            prop_assert_eq!(counts.lost, 20 - seen.len() as u64);
            prop_assert_eq!((counts.duplicated, counts.reordered), (duplicated, reordered));
            prop_assert_eq!(tracker.pending(), 20 - seen.len());
        }
    }
}
