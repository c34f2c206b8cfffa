//! The newest events of all streams, for clients that come from another node.
//!
//! Each node reads the whole log, so it has the events of streams that nobody wants here. They are kept
//! as long as the limits of the history allow. What was dropped is known for each stream: a read never
//! leaves an event out silently. Not here: the events that were delivered (`bus::History`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bus::engine::{Page, ReadError};
use bus::{Epoch, HistoryLimits, Offset, Position, StreamKey};
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// Memory of a stream without its events and its name, and of an event without its envelope (bytes,
/// approximately).
const STREAM_BYTES: usize = 256;
const EVENT_BYTES: usize = 128;

/// The newest events of all streams.
pub(super) struct Recent {
    limits: Option<HistoryLimits>,
    state: Mutex<RecentState>,
}

#[derive(Default)]
struct RecentState {
    epoch: Epoch,
    streams: HashMap<StreamKey, RecentStream>,
    /// The streams of the kept events, in the order of the events.
    order: VecDeque<(StreamKey, Offset, Instant)>,
    /// Kept events (count).
    count: usize,
    bytes: usize,
    /// The newest offset up to which events of a stream that is not in `streams` may have been dropped.
    floor: Offset,
    /// All events up to here were delivered.
    head: Offset,
}

/// The events of a stream.
struct RecentStream {
    events: VecDeque<(Offset, Bytes)>,
    /// Events up to here may have been dropped.
    lost: Offset,
}

impl Recent {
    /// `limits`: what is kept; `None`: nothing.
    pub(super) fn new(limits: Option<HistoryLimits>) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Whether events of streams that nobody wants are kept.
    pub(super) fn is_on(&self) -> bool {
        self.limits.is_some()
    }

    /// Forgets everything: another link reads the log from a position on.
    pub(super) fn begin(&self, at: Position) {
        *self.state.lock() = RecentState {
            epoch: at.epoch,
            floor: at.offset,
            head: at.offset,
            ..RecentState::default()
        };
    }

    /// Keeps an event, before it is delivered.
    pub(super) fn keep(&self, stream: &StreamKey, at: Offset, envelope: &Bytes, now: Instant) {
        let Some(limits) = &self.limits else {
            return;
        };
        let state = &mut *self.state.lock();
        // A copy: the envelope may be a part of a larger buffer.
        let envelope = Bytes::copy_from_slice(envelope);
        state.bytes += EVENT_BYTES + envelope.len();
        state.count += 1;
        let kept = state.entry(stream);
        kept.events.push_back((at, envelope));
        let is_full = kept.events.len() > limits.events;
        state.order.push_back((stream.clone(), at, now));
        if is_full {
            state.drop_oldest_of(stream);
            state.tidy();
        }
        state.expire(limits.age, now);
        state.relieve(limits.bytes);
    }

    /// Notes that all events up to an offset were delivered.
    pub(super) fn delivered(&self, head: Offset) {
        if self.is_on() {
            let mut state = self.state.lock();
            state.head = state.head.max(head);
        }
    }

    /// Notes that an event of a stream cannot be kept.
    pub(super) fn lose(&self, stream: &StreamKey, at: Offset) {
        if let Some(limits) = &self.limits {
            let mut state = self.state.lock();
            state.lose(stream, at);
            state.relieve(limits.bytes);
        }
    }

    /// Notes that events of the streams whose channel `is_meant` cannot be kept. Streams without kept events
    /// count among them.
    pub(super) fn lose_of(&self, at: Offset, is_meant: impl Fn(&str) -> bool) {
        if self.is_on() {
            let state = &mut *self.state.lock();
            for (stream, kept) in &mut state.streams {
                if is_meant(&stream.channel) {
                    kept.lost = kept.lost.max(at);
                }
            }
            state.floor = state.floor.max(at);
        }
    }

    /// Reads events of a stream after a position, oldest first. The head is the position up to which all
    /// were delivered.
    pub(super) fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
        now: Instant,
    ) -> Result<Page, ReadError> {
        let Some(limits) = &self.limits else {
            return Err(ReadError::Unavailable(
                "this process keeps no events".to_owned(),
            ));
        };
        let state = &mut *self.state.lock();
        state.expire(limits.age, now);
        let at = |offset| Position {
            epoch: state.epoch,
            offset,
        };
        let head = at(state.head);
        if after.epoch != state.epoch {
            return Err(ReadError::OtherEpoch { head });
        }
        let kept = state.streams.get(stream);
        if after.offset < kept.map_or(state.floor, |kept| kept.lost) {
            return Err(ReadError::TooLate { head });
        }
        let mut events = Vec::new();
        if let Some(kept) = kept {
            let first = kept
                .events
                .partition_point(|(offset, _)| *offset <= after.offset);
            let found = kept.events.range(first..).take(limit);
            events.extend(found.map(|(offset, envelope)| (at(*offset), envelope.clone())));
        }
        Ok(Page { events, head })
    }
}

impl RecentState {
    fn entry(&mut self, stream: &StreamKey) -> &mut RecentStream {
        let (bytes, floor) = (&mut self.bytes, self.floor);
        self.streams.entry_ref(stream).or_insert_with(|| {
            *bytes += stream_bytes(stream);
            RecentStream {
                events: VecDeque::new(),
                lost: floor,
            }
        })
    }

    fn lose(&mut self, stream: &StreamKey, at: Offset) {
        let kept = self.entry(stream);
        kept.lost = kept.lost.max(at);
    }

    fn drop_oldest_of(&mut self, stream: &StreamKey) {
        let dropped = self.streams.get_mut(stream).and_then(|kept| {
            let (offset, envelope) = kept.events.pop_front()?;
            kept.lost = kept.lost.max(offset);
            Some(EVENT_BYTES + envelope.len())
        });
        if let Some(bytes) = dropped {
            self.bytes -= bytes;
            self.count -= 1;
        }
    }

    fn is_kept(&self, stream: &StreamKey, offset: Offset) -> bool {
        let kept = self.streams.get(stream);
        let first = kept.and_then(|kept| kept.events.front());
        first.is_some_and(|(first, _)| *first <= offset)
    }

    /// Drops the oldest event of all streams, unless its stream has dropped it.
    fn drop_oldest(&mut self) {
        if let Some((stream, offset, _)) = self.order.pop_front()
            && self.is_kept(&stream, offset)
        {
            self.drop_oldest_of(&stream);
        }
    }

    /// Removes what streams have dropped from the order, when that is most of it.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.count + 64 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(stream, offset, _)| self.is_kept(stream, *offset));
            self.order = order;
        }
    }

    fn expire(&mut self, age: Duration, now: Instant) {
        while let Some((_, _, since)) = self.order.front()
            && now.saturating_duration_since(*since) > age
        {
            self.drop_oldest();
        }
    }

    /// Frees memory: first what is known of streams without events, then the oldest events.
    fn relieve(&mut self, limit: usize) {
        if self.bytes <= limit {
            return;
        }
        let (bytes, floor) = (&mut self.bytes, &mut self.floor);
        self.streams.retain(|stream, kept| {
            let stays = !kept.events.is_empty();
            if !stays {
                *floor = (*floor).max(kept.lost);
                *bytes -= stream_bytes(stream);
            }
            stays
        });
        // More than necessary, so that the next event does not need it again.
        while self.bytes > limit - limit / 8
            && let Some((stream, offset, _)) = self.order.pop_front()
        {
            if self.is_kept(&stream, offset) {
                self.drop_oldest_of(&stream);
                self.forget_if_empty(&stream);
            }
        }
    }

    fn forget_if_empty(&mut self, stream: &StreamKey) {
        let kept = self.streams.get(stream);
        if let Some(kept) = kept.filter(|kept| kept.events.is_empty()) {
            self.floor = self.floor.max(kept.lost);
            self.bytes -= stream_bytes(stream);
            self.streams.remove(stream);
        }
    }
}

fn stream_bytes(stream: &StreamKey) -> usize {
    let tenant = stream.tenant.as_deref().map_or(0, str::len);
    STREAM_BYTES + tenant + stream.channel.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EPOCH: Epoch = Epoch(7);

    fn recent(events: usize, bytes: usize) -> Recent {
        let age = Duration::from_secs(10);
        let recent = Recent::new(Some(HistoryLimits { events, age, bytes }));
        recent.begin(at(100));
        recent
    }

    fn at(offset: u64) -> Position {
        Position::new(EPOCH, offset)
    }

    fn stream(number: usize) -> StreamKey {
        StreamKey::of_channel(format!("orders.{number}"))
    }

    fn keep(recent: &Recent, number: usize, offset: u64, now: Instant) {
        let envelope = Bytes::from(offset.to_string());
        recent.keep(&stream(number), Offset::new(offset), &envelope, now);
        recent.delivered(Offset::new(offset));
    }

    fn read(recent: &Recent, number: usize, after: u64, now: Instant) -> Option<Vec<u64>> {
        let page = recent.read(&stream(number), at(after), 1000, now).ok()?;
        assert_eq!(page.head.epoch, EPOCH);
        Some(page.events.iter().map(|(at, _)| at.offset.major).collect())
    }

    #[test]
    fn a_stream_that_nobody_wants_is_read_from_the_begin_of_the_link_on() {
        let (recent, now) = (recent(10, 1 << 20), Instant::now());
        keep(&recent, 1, 101, now);
        keep(&recent, 2, 102, now);
        keep(&recent, 1, 103, now);
        assert_eq!(read(&recent, 1, 100, now), Some(vec![101, 103]));
        assert_eq!(read(&recent, 1, 101, now), Some(vec![103]));
        assert_eq!(read(&recent, 3, 100, now), Some(vec![]));
        assert_eq!(read(&recent, 1, 99, now), None);
        assert_eq!(read(&recent, 3, 99, now), None);
        let of_others = Position::new(Epoch(8), 101);
        let answer = recent.read(&stream(1), of_others, 10, now);
        assert_eq!(answer, Err(ReadError::OtherEpoch { head: at(103) }));
        recent.begin(at(200));
        assert_eq!(read(&recent, 1, 103, now), None);
    }

    #[test]
    fn what_is_dropped_of_one_stream_is_kept_of_others() {
        let (recent, now) = (recent(2, 1 << 20), Instant::now());
        keep(&recent, 2, 101, now);
        for offset in 102..2000 {
            keep(&recent, 1, offset, now);
        }
        assert_eq!(read(&recent, 1, 1990, now), None);
        assert_eq!(read(&recent, 1, 1997, now), Some(vec![1998, 1999]));
        assert_eq!(read(&recent, 2, 100, now), Some(vec![101]));
        assert!(recent.state.lock().order.len() < 100);
        recent.lose(&stream(2), Offset::new(2000));
        assert_eq!(read(&recent, 2, 1999, now), None);
        assert_eq!(read(&recent, 1, 1997, now), Some(vec![1998, 1999]));
        recent.lose_of(Offset::new(2001), |channel| channel.ends_with('1'));
        assert_eq!(read(&recent, 1, 2000, now), None);
        assert_eq!(read(&recent, 2, 2000, now), Some(vec![]));
        assert_eq!(read(&recent, 3, 2000, now), None);
    }

    #[test]
    fn losses_take_no_more_memory_than_events_may() {
        let (recent, now) = (recent(10, 4096), Instant::now());
        for number in 0..1000 {
            let at = 101 + number as u64;
            recent.lose(&stream(number), Offset::new(at));
            assert!(recent.state.lock().bytes <= 4096);
            assert_eq!(read(&recent, number, at - 1, now), None);
        }
        assert_eq!(read(&recent, 0, 100, now), None);
    }

    #[test]
    fn old_events_are_dropped() {
        let (recent, now) = (recent(10, 1 << 20), Instant::now());
        keep(&recent, 1, 101, now);
        let later = now + Duration::from_secs(11);
        keep(&recent, 2, 102, later);
        assert_eq!(read(&recent, 1, 100, later), None);
        assert_eq!(read(&recent, 1, 101, later), Some(vec![]));
        assert_eq!(read(&recent, 2, 100, later), Some(vec![102]));
    }

    proptest! {
        #[test]
        fn a_read_is_complete_or_refused(
            steps in prop::collection::vec((0..6_usize, 0..4_u64), 1..200),
            events in 1..8_usize,
            bytes in 500..6000_usize,
        ) {
            let (recent, mut now) = (recent(events, bytes), Instant::now());
            let mut truth: Vec<(usize, u64)> = Vec::new();
            for (number, seconds) in steps {
                let offset = 101 + truth.len() as u64;
                now += Duration::from_secs(seconds);
                truth.push((number, offset));
                keep(&recent, number, offset, now);
                prop_assert!(recent.state.lock().bytes <= bytes);
                for number in 0..6 {
                    for after in 99..=offset {
                        let of_stream = truth.iter().filter(|(of, _)| *of == number);
                        let expected: Vec<u64> =
                            of_stream.map(|(_, at)| *at).filter(|at| *at > after).collect();
                        if let Some(found) = read(&recent, number, after, now) {
                            prop_assert_eq!(found, expected);
                        }
                    }
                    prop_assert_eq!(read(&recent, number, offset, now), Some(vec![]));
                }
            }
        }
    }
}
