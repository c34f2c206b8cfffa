//! The bounded queue between publishers and the broadcast actor.
//!
//! Each stream has its offsets in the order of acceptance, also when several threads publish. When the
//! queue is full a publisher waits in line; nothing is dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::{BusError, Draft, Event, Gap, Position, Receipt, Stream, StreamItem, Streams};

/// Says of an event what its publisher may not decide alone, before it is taken.
pub trait Stamp: std::fmt::Debug + Send + Sync {
    /// Completes the draft.
    ///
    /// # Errors
    ///
    /// [`BusError`] when it contradicts itself.
    fn stamp(&self, draft: &mut Draft) -> Result<(), BusError>;
}

/// Bounded first-in, first-out queue of published events.
#[derive(Debug)]
pub struct Intake {
    streams: Arc<Streams>,
    stamp: Option<Box<dyn Stamp>>,
    room: Semaphore,
    queue: Mutex<Queue>,
    filled: Notify,
}

/// Envelopes of events that an engine has delivered and that wait to be broadcast (bytes).
const MAX_DELIVERED_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<QueuedItem>,
    accepted: u64,
    /// Envelopes of what an engine has delivered (bytes).
    delivered_bytes: usize,
}

#[derive(Debug)]
struct QueuedItem {
    item: StreamItem,
    /// Its envelope, if an engine has delivered it (bytes).
    delivered_bytes: usize,
}

/// There is no room for an event that an engine has delivered: it has to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Intake {
    /// Makes an empty queue for `capacity` events of these streams.
    #[must_use]
    pub fn new(streams: Arc<Streams>, capacity: usize) -> Self {
        Self {
            streams,
            stamp: None,
            room: Semaphore::new(capacity),
            queue: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Has every event stamped.
    #[must_use]
    pub fn with_stamp(mut self, stamp: Box<dyn Stamp>) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// Completes and checks a draft as publishing it does.
    ///
    /// # Errors
    ///
    /// [`BusError::EmptyChannel`], [`BusError::TenantConflict`].
    pub fn check(&self, draft: &mut Draft) -> Result<(), BusError> {
        if draft.channel.is_empty() {
            return Err(BusError::EmptyChannel);
        }
        self.stamp
            .as_ref()
            .map_or(Ok(()), |stamp| stamp.stamp(draft))
    }

    /// Takes the event when there is room at once; returns the draft when there is none.
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

    /// Takes all events, with no other between them, when there is room for all at once; returns the
    /// drafts when there is not.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`], and those of [`Self::check`]. Then none was taken.
    pub fn try_publish_many(
        &self,
        mut drafts: Vec<Draft>,
    ) -> Result<Result<Vec<Receipt>, Vec<Draft>>, BusError> {
        for draft in &mut drafts {
            self.check(draft)?;
        }
        let Ok(count) = u32::try_from(drafts.len()) else {
            return Ok(Err(drafts));
        };
        match self.room.try_acquire_many(count) {
            Ok(permits) => {
                permits.forget();
                self.push_many(drafts).map(Ok)
            }
            Err(TryAcquireError::NoPermits) => Ok(Err(drafts)),
            Err(TryAcquireError::Closed) => Err(BusError::Closed),
        }
    }

    /// Takes the event as soon as there is room; publishers are served in the order they came.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`], and those of [`Self::check`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the event was either not taken or taken whole.
    pub async fn publish(&self, mut draft: Draft) -> Result<Receipt, BusError> {
        self.check(&mut draft)?;
        let permit = self.room.acquire().await.map_err(|_| BusError::Closed)?;
        permit.forget();
        self.push(draft)
    }

    fn push(&self, draft: Draft) -> Result<Receipt, BusError> {
        let stream = self.streams.of(&draft.channel, draft.tenant_id.as_deref());
        self.enter(|queue| queue.push(draft, stream))
    }

    fn push_many(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, BusError> {
        let of = |draft: Draft| {
            let stream = self.streams.of(&draft.channel, draft.tenant_id.as_deref());
            (draft, stream)
        };
        let drafts: Vec<_> = drafts.into_iter().map(of).collect();
        self.enter(|queue| {
            let push = |(draft, stream)| queue.push(draft, stream);
            drafts.into_iter().map(push).collect()
        })
    }

    /// Adds the next event of a stream that an engine numbers. `bytes`: its envelope.
    ///
    /// # Errors
    ///
    /// [`Full`]: broadcasting does not keep up. Nothing was taken.
    pub(crate) fn deliver(
        &self,
        stream: &Arc<Stream>,
        position: Position,
        draft: Draft,
        bytes: usize,
    ) -> Result<(), Full> {
        let permit = match self.room.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return Err(Full),
            // Of a closed intake nothing is wanted any more.
            Err(TryAcquireError::Closed) => return Ok(()),
        };
        let delivered = self.enter(|queue| {
            if queue.delivered_bytes + bytes > MAX_DELIVERED_BYTES && queue.delivered_bytes > 0 {
                return Err(Full);
            }
            queue.deliver(stream.clone(), position, draft, bytes);
            permit.forget();
            Ok(())
        });
        // Of a closed intake nothing is wanted any more.
        delivered.unwrap_or(Ok(()))
    }

    /// Has a stream go on after a position, with a gap before it. Takes no room, so it is for a stream
    /// that begins, of which there is one for each that is wanted; see [`Self::is_full`].
    pub(crate) fn deliver_gap(&self, stream: &Arc<Stream>, position: Position) {
        // Of a closed intake nothing is wanted any more.
        let _is_closed = self.enter(|queue| queue.deliver_gap(stream.clone(), position));
    }

    /// Has events added to the queue, unless the intake is closed.
    fn enter<T>(&self, add: impl FnOnce(&mut Queue) -> T) -> Result<T, BusError> {
        let mut queue = self.queue.lock();
        if self.room.is_closed() {
            // It was closed since there was room, and the last event may have been taken.
            return Err(BusError::Closed);
        }
        let was_empty = queue.items.is_empty();
        let added = add(&mut queue);
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(added)
    }

    /// Takes up to `limit` events, oldest first, and makes room for as many.
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

    /// Events that were accepted so far (a count).
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.queue.lock().accepted
    }

    /// Waits until there may be events to take, or the intake was closed.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Refuses further events, also of those who wait; what was taken stays.
    pub fn close(&self) {
        // Under the lock: nothing enters the queue behind what the last look at it finds.
        let queue = self.queue.lock();
        self.room.close();
        drop(queue);
        self.filled.notify_one();
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// Events taken and not yet broadcast (a count).
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// Whether an event that an engine delivers may not be taken now.
    pub(crate) fn is_full(&self) -> bool {
        !self.room.is_closed()
            && (self.room.available_permits() == 0
                || self.queue.lock().delivered_bytes > MAX_DELIVERED_BYTES / 2)
    }

    /// Whether nothing waits to be broadcast.
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

    fn deliver(&mut self, stream: Arc<Stream>, position: Position, draft: Draft, bytes: usize) {
        self.accepted += 1;
        self.delivered_bytes += bytes;
        let at = stream.accept(position);
        let event = Arc::new(Event::new(draft, stream, at));
        self.push_item(StreamItem::Event(event), bytes);
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
            data: json!({ "n": n }),
        }
    }

    #[test]
    fn offsets_count_from_one_and_events_leave_in_order() {
        let intake = intake(8);
        for n in 1..=3 {
            let receipt = intake.try_publish(draft(n)).unwrap().unwrap();
            assert_eq!(position(&receipt).offset.major, n);
            let stream = intake.streams.of("orders", None);
            assert_eq!(*receipt.event_id, position(&receipt).to_string());
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
    fn a_full_intake_gives_the_draft_back_until_events_are_taken() {
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
            Err(BusError::EmptyChannel)
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
        intake.filled().await;
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
    fn a_dotted_path_reads_nested_data() {
        let event = Event::new(
            Draft {
                data: json!({"user": {"id": 7}}),
                ..draft(1)
            },
            Streams::new([1; 16], false).of("orders", None),
            LocalPosition::default(),
        );
        assert_eq!(event.field(&["user".into(), "id".into()]), Some(&json!(7)));
        assert_eq!(event.field(&["user".into(), "name".into()]), None);
    }
}
