//! The intake: a bounded queue between publishers, or an engine, and the broadcast.
//!
//! Offsets follow the order of acceptance, also when several threads publish. When the queue is
//! full, publishers wait in the order of their calls, and an engine's events are refused and read
//! again. Nothing is dropped. Not here: the order of an engine's events (`sequencer`).

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::{
    BatchError, BusError, Draft, Event, Gap, Position, Receipt, Stream, StreamItem, Streams,
};

/// Completes and validates drafts before they are accepted.
pub trait Stamp: std::fmt::Debug + Send + Sync {
    /// Completes the draft.
    ///
    /// # Errors
    ///
    /// [`BusError`] when the draft contradicts itself.
    fn stamp(&self, draft: &mut Draft) -> Result<(), BusError>;
}

/// Takes the items of an intake. It is called by whoever adds them, on that thread.
pub trait Consumer: Send + Sync {
    /// There are items to take, or the intake is closed. `waiting`: items in the queue (count).
    fn filled(self: Arc<Self>, waiting: usize);
}

/// Bounded first-in, first-out queue of published events.
#[derive(Debug)]
pub struct Intake {
    streams: Arc<Streams>,
    stamp: Option<Box<dyn Stamp>>,
    /// Places that are kept free for an engine (count).
    reserve: usize,
    /// Events of a batch that are accepted together when it does not fit as a whole (count).
    part: usize,
    room: Semaphore,
    queue: Mutex<Queue>,
    consumer: OnceLock<Weak<dyn Consumer>>,
    /// Notified when an engine has delivered items that the consumer was not told of.
    delivered: Notify,
}

/// Items that an engine may deliver before the consumer is told (count).
const UNTOLD_ITEMS: usize = 64;

/// Limit of the envelopes of delivered events that wait to be broadcast (bytes).
const MAX_DELIVERED_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<QueuedItem>,
    accepted: u64,
    /// Envelopes of the events that an engine has delivered (bytes).
    delivered_bytes: usize,
}

#[derive(Debug)]
struct QueuedItem {
    item: StreamItem,
    /// Its envelope (bytes); 0 if no engine has delivered it.
    delivered_bytes: usize,
}

/// There is no room for an event that an engine has delivered. It has to be read again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Intake {
    /// Creates an empty queue for `capacity` events of `streams`.
    #[must_use]
    pub fn new(streams: Arc<Streams>, capacity: usize) -> Self {
        Self {
            streams,
            stamp: None,
            reserve: capacity / 64,
            part: (capacity / 16).max(1),
            room: Semaphore::new(capacity),
            queue: Mutex::default(),
            consumer: OnceLock::new(),
            delivered: Notify::new(),
        }
    }

    /// Applies `stamp` to every draft.
    #[must_use]
    pub fn with_stamp(mut self, stamp: Box<dyn Stamp>) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// Sets what takes the items. It has an effect once.
    pub fn set_consumer(&self, consumer: Weak<dyn Consumer>) {
        self.consumer.set(consumer).ok();
    }

    /// Completes and validates a draft, as publishing does.
    ///
    /// # Errors
    ///
    /// [`BusError::EmptyChannel`], [`BusError::EmptyId`], [`BusError::TenantConflict`].
    pub fn check(&self, draft: &mut Draft) -> Result<(), BusError> {
        if draft.channel.is_empty() {
            return Err(BusError::EmptyChannel);
        }
        if draft.id.as_deref() == Some("") {
            return Err(BusError::EmptyId);
        }
        self.stamp
            .as_ref()
            .map_or(Ok(()), |stamp| stamp.stamp(draft))
    }

    /// Accepts an event if there is room, and returns the draft if there is none.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`], and those of [`Self::check`].
    pub fn try_publish(&self, mut draft: Draft) -> Result<Result<Receipt, Draft>, BusError> {
        self.check(&mut draft)?;
        match self.room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.push(draft).map(Ok)
            }
            Err(TryAcquireError::NoPermits) => Ok(Err(draft)),
            Err(TryAcquireError::Closed) => Err(BusError::Closed),
        }
    }

    /// Accepts all events, with no other event between them, if there is room for all. Returns the
    /// drafts if there is not.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`], and those of [`Self::check`]. No event was accepted.
    pub fn try_publish_many(
        &self,
        mut drafts: Vec<Draft>,
    ) -> Result<Result<Vec<Receipt>, Vec<Draft>>, BatchError> {
        BatchError::check_each(&mut drafts, |draft| self.check(draft))?;
        let Ok(count) = u32::try_from(drafts.len()) else {
            return Ok(Err(drafts));
        };
        match self.room.try_acquire_many(count) {
            Ok(permits) => {
                permits.forget();
                Ok(Ok(self.push_many(drafts.into_iter())?))
            }
            Err(TryAcquireError::NoPermits) => Ok(Err(drafts)),
            Err(TryAcquireError::Closed) => Err(BusError::Closed.into()),
        }
    }

    /// Accepts an event as soon as there is room. Publishers are served in the order of their
    /// calls.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`], and those of [`Self::check`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped before it completes, the event is not accepted.
    pub async fn publish(&self, mut draft: Draft) -> Result<Receipt, BusError> {
        self.check(&mut draft)?;
        let permit = self.room.acquire().await.map_err(|_| BusError::Closed)?;
        permit.forget();
        self.push(draft)
    }

    /// As [`Self::publish`], for events of which some may have been accepted when it fails. They are
    /// accepted in parts, in their order: events of others may come between them.
    ///
    /// # Errors
    ///
    /// As for [`Self::publish`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped before it completes, part of the events is accepted.
    pub async fn publish_in_parts(&self, mut drafts: Vec<Draft>) -> Result<Vec<Receipt>, BusError> {
        drafts.iter_mut().try_for_each(|draft| self.check(draft))?;
        let mut receipts = Vec::with_capacity(drafts.len());
        let mut drafts = drafts.into_iter();
        while drafts.len() > 0 {
            let count = drafts.len().min(self.part);
            let room = self.room.acquire_many(count as u32).await;
            room.map_err(|_| BusError::Closed)?.forget();
            receipts.extend(self.push_many(drafts.by_ref().take(count))?);
        }
        Ok(receipts)
    }

    fn push(&self, draft: Draft) -> Result<Receipt, BusError> {
        let stream = self.streams.of(&draft.channel, draft.tenant_id.as_deref());
        self.enter(|queue| queue.push(draft, stream))
    }

    fn push_many(&self, drafts: impl Iterator<Item = Draft>) -> Result<Vec<Receipt>, BusError> {
        let mut events: Vec<(Draft, Arc<Stream>)> = Vec::with_capacity(drafts.size_hint().0);
        for draft in drafts {
            // Neighbours often are of one stream.
            let before = events.last().filter(|(before, _)| {
                before.channel == draft.channel && before.tenant_id == draft.tenant_id
            });
            let stream = match before {
                Some((_, stream)) => stream.clone(),
                None => self.streams.of(&draft.channel, draft.tenant_id.as_deref()),
            };
            events.push((draft, stream));
        }
        self.enter(|queue| {
            let push = |(draft, stream)| queue.push(draft, stream);
            events.into_iter().map(push).collect()
        })
    }

    /// Adds the next event of a stream that an engine numbers. `bytes`: its envelope; `transaction`: that
    /// which it is part of.
    ///
    /// # Errors
    ///
    /// [`Full`]: broadcasting does not keep up. The event was not accepted.
    pub(crate) fn deliver(
        &self,
        stream: &Arc<Stream>,
        position: Position,
        draft: Draft,
        bytes: usize,
        transaction: Option<u64>,
    ) -> Result<(), Full> {
        let permit = match self.room.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return Err(Full),
            // A closed intake drops the event: it is not needed any more.
            Err(TryAcquireError::Closed) => return Ok(()),
        };
        let delivered = self.enter_delivered(|queue| {
            if queue.delivered_bytes + bytes > MAX_DELIVERED_BYTES && queue.delivered_bytes > 0 {
                return Err(Full);
            }
            let at = stream.accept(position);
            let event = Event::new(draft, stream.clone(), at).in_transaction(transaction);
            queue.deliver(event, bytes);
            permit.forget();
            Ok(())
        });
        // A closed intake drops the event: it is not needed any more.
        delivered.unwrap_or(Ok(()))
    }

    /// Adds a gap: the stream continues after a position. It uses no capacity. That is safe when a
    /// stream begins, because the number of streams is bounded. For other gaps, callers check
    /// [`Self::is_full`] first.
    pub(crate) fn deliver_gap(&self, stream: &Arc<Stream>, position: Position) {
        // A closed intake drops the gap: it is not needed any more.
        let _is_closed = self.enter_delivered(|queue| queue.deliver_gap(stream.clone(), position));
    }

    /// Adds a gap that no engine can fill: the stream continues after its last event, and something
    /// between the two was never published. It uses no capacity, as [`Self::deliver_gap`] does.
    pub(crate) fn deliver_loss(&self, stream: &Arc<Stream>) {
        let _is_closed = self.enter_delivered(|queue| {
            let (at, stream) = (stream.lose(), stream.clone());
            queue.push_item(StreamItem::Gap(Arc::new(Gap { stream, at })), 0);
        });
    }

    /// Adds items, and tells the consumer.
    fn enter<T>(&self, add: impl FnOnce(&mut Queue) -> T) -> Result<T, BusError> {
        let (added, waiting) = self.add(add)?;
        self.tell_consumer(waiting);
        Ok(added)
    }

    /// Adds items of an engine. [`Self::pass_on`] tells the consumer, when all that has arrived with
    /// them is added as well.
    fn enter_delivered<T>(&self, add: impl FnOnce(&mut Queue) -> T) -> Result<T, BusError> {
        let (added, waiting) = self.add(add)?;
        if waiting > 0 && waiting % UNTOLD_ITEMS == 0 {
            self.tell_consumer(waiting);
        } else {
            self.delivered.notify_one();
        }
        Ok(added)
    }

    /// Adds items to the queue under its lock, unless the intake is closed. Also returns how many are in
    /// it.
    fn add<T>(&self, add: impl FnOnce(&mut Queue) -> T) -> Result<(T, usize), BusError> {
        let mut queue = self.queue.lock();
        if self.room.is_closed() {
            // It was closed after the permit was acquired. The broadcast may have ended.
            return Err(BusError::Closed);
        }
        let added = add(&mut queue);
        Ok((added, queue.items.len()))
    }

    /// Tells the consumer of what an engine has delivered, until the future is dropped. It is a task of
    /// the thread that reads from the engine, so it runs when the tasks that read have no more for now: an
    /// event that comes alone is passed on at once, and a burst together.
    pub(crate) async fn pass_on(&self) {
        loop {
            self.delivered.notified().await;
            self.tell_consumer(self.len());
        }
    }

    fn tell_consumer(&self, waiting: usize) {
        if let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) {
            consumer.filled(waiting);
        }
    }

    /// Takes up to `limit` items, oldest first, and makes room for as many events.
    #[must_use]
    pub fn take(&self, limit: usize) -> Vec<StreamItem> {
        let mut queue = self.queue.lock();
        let count = queue.items.len().min(limit);
        let taken: Vec<_> = queue.items.drain(..count).collect();
        queue.delivered_bytes -= taken.iter().map(|one| one.delivered_bytes).sum::<usize>();
        drop(queue);
        let items: Vec<_> = taken.into_iter().map(|one| one.item).collect();
        let events = items.iter().filter(|item| item.event().is_some());
        self.room.add_permits(events.count());
        items
    }

    /// Events that were accepted so far (count).
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.queue.lock().accepted
    }

    /// Closes the intake: further events and those of waiting publishers are refused. Accepted ones
    /// stay in the queue.
    pub fn close(&self) {
        // Under the lock: when the broadcast sees a closed and empty queue, no item is added later.
        let queue = self.queue.lock();
        self.room.close();
        let waiting = queue.items.len();
        drop(queue);
        self.tell_consumer(waiting);
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// Items that wait to be broadcast (count).
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// Whether events of an engine should be read again later instead of delivered now. There is room for
    /// some more: an engine asks between its messages, and one message can be several events.
    pub(crate) fn is_full(&self) -> bool {
        !self.room.is_closed()
            && (self.room.available_permits() <= self.reserve
                || self.queue.lock().delivered_bytes > MAX_DELIVERED_BYTES / 2)
    }

    /// Whether no item waits to be broadcast.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Queue {
    fn push(&mut self, draft: Draft, stream: Arc<Stream>) -> Receipt {
        self.accepted += 1;
        let at = stream.advance();
        let event = Arc::new(Event::new(draft, stream, at));
        let receipt = Receipt {
            event_id: event.id.clone(),
            position: Some(at.position),
        };
        self.push_item(StreamItem::Event(event), 0);
        receipt
    }

    fn deliver(&mut self, event: Event, bytes: usize) {
        self.accepted += 1;
        self.delivered_bytes += bytes;
        self.push_item(StreamItem::Event(Arc::new(event)), bytes);
    }

    fn deliver_gap(&mut self, stream: Arc<Stream>, position: Position) {
        let at = stream.restart(position);
        let gap = Arc::new(Gap { stream, at });
        self.push_item(StreamItem::Gap(gap), 0);
    }

    fn push_item(&mut self, item: StreamItem, delivered_bytes: usize) {
        self.items.push_back(QueuedItem {
            item,
            delivered_bytes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalPosition;
    use indexed_json::JsonRef;
    use serde_json::json;

    fn intake(capacity: usize) -> Intake {
        Intake::new(Arc::new(Streams::new([1; 16], false)), capacity)
    }

    fn position(receipt: &Receipt) -> Position {
        receipt.position.unwrap()
    }

    fn offset(item: &StreamItem) -> u64 {
        item.event().unwrap().at.position.offset.major
    }

    fn draft(n: u64) -> Draft {
        Draft {
            channel: "orders".into(),
            event_type: None,
            tenant_id: None,
            id: None,
            data: json!({ "n": n }).into(),
            trace: None,
        }
    }

    #[test]
    fn offsets_count_from_one_and_events_leave_in_order() {
        let intake = intake(8);
        for n in 1..=3 {
            let receipt = intake.try_publish(draft(n)).unwrap().unwrap();
            assert_eq!(position(&receipt).offset.major, n);
            let stream = intake.streams.of("orders", None);
            assert_eq!(receipt.event_id.text(), position(&receipt).to_string());
            assert_eq!(stream.last().position, position(&receipt));
        }
        let events = intake.take(2);
        assert_eq!(events.iter().map(offset).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(intake.take(9).len(), 1);
    }

    #[test]
    fn offsets_count_the_events_of_one_channel() {
        let intake = intake(8);
        let other = Draft {
            channel: "other".into(),
            ..draft(1)
        };
        for (draft, offset) in [(draft(1), 1), (other.clone(), 1), (draft(2), 2), (other, 2)] {
            assert_eq!(
                intake
                    .try_publish(draft)
                    .unwrap()
                    .unwrap()
                    .position
                    .unwrap()
                    .offset
                    .major,
                offset
            );
        }
        assert_eq!(intake.accepted(), 4);
    }

    #[test]
    fn a_full_intake_returns_the_draft_until_events_are_taken() {
        let intake = intake(1);
        intake.try_publish(draft(1)).unwrap().unwrap();
        assert_eq!(intake.try_publish(draft(2)).unwrap(), Err(draft(2)));
        assert_eq!(intake.take(1).len(), 1);
        assert!(intake.try_publish(draft(2)).unwrap().is_ok());
    }

    #[test]
    fn a_batch_without_room_for_all_is_not_taken_at_all() {
        let intake = intake(3);
        intake.try_publish(draft(1)).unwrap().unwrap();
        let batch: Vec<_> = (2..=4).map(draft).collect();
        assert_eq!(
            intake.try_publish_many(batch.clone()).unwrap(),
            Err(batch.clone())
        );
        assert_eq!(intake.accepted(), 1);
        assert_eq!(intake.take(1).len(), 1);
        let receipts = intake.try_publish_many(batch).unwrap().unwrap();
        let offsets: Vec<_> = receipts
            .iter()
            .map(|receipt| position(receipt).offset.major)
            .collect();
        assert_eq!(offsets, [2, 3, 4]);
        assert_eq!(intake.len(), 3);
        assert_eq!(intake.try_publish(draft(5)).unwrap(), Err(draft(5)));
    }

    #[test]
    fn a_batch_with_a_fault_is_not_taken_at_all() {
        let intake = intake(3);
        let nameless = Draft {
            channel: "".into(),
            ..draft(2)
        };
        assert_eq!(
            intake.try_publish_many(vec![draft(1), nameless]),
            Err(BatchError::of_event(1, BusError::EmptyChannel))
        );
        assert!(intake.is_empty());
        assert_eq!(intake.try_publish_many(Vec::new()), Ok(Ok(Vec::new())));
    }

    #[tokio::test]
    async fn a_waiting_publisher_is_served_when_room_appears() {
        let intake = Arc::new(intake(1));
        intake.try_publish(draft(1)).unwrap().unwrap();
        let waiting = tokio::spawn({
            let intake = intake.clone();
            async move { intake.publish(draft(2)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(intake.take(1).len(), 1);
        assert_eq!(
            waiting
                .await
                .unwrap()
                .unwrap()
                .position
                .unwrap()
                .offset
                .major,
            2
        );
    }

    #[test]
    fn a_closed_intake_refuses() {
        let intake = intake(1);
        intake.close();
        assert_eq!(intake.try_publish(draft(1)), Err(BusError::Closed));
    }

    #[test]
    fn an_empty_channel_is_refused() {
        let intake = intake(1);
        let nameless = Draft {
            channel: "".into(),
            ..draft(1)
        };
        assert_eq!(intake.try_publish(nameless), Err(BusError::EmptyChannel));
    }

    #[test]
    fn an_empty_id_is_refused() {
        let intake = intake(1);
        let draft = Draft {
            id: Some("".into()),
            ..draft(1)
        };
        assert_eq!(intake.try_publish(draft), Err(BusError::EmptyId));
    }

    #[test]
    fn a_dotted_path_reads_nested_data() {
        let event = Event::new(
            Draft {
                data: json!({"user": {"id": 7}}).into(),
                ..draft(1)
            },
            Streams::new([1; 16], false).of("orders", None),
            LocalPosition::default(),
        );
        assert_eq!(
            event
                .field(&["user".into(), "id".into()])
                .map(JsonRef::to_value),
            Some(json!(7))
        );
        assert!(event.field(&["user".into(), "name".into()]).is_none());
    }
}
