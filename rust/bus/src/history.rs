//! The history: the newest events of each stream, for clients that resume.
//!
//! A stream keeps events up to a count and an age; all streams together keep events up to a number
//! of bytes. The history knows which events it does not keep any more: [`History::after`] never
//! leaves one out silently. The broadcast records events before it delivers them, and every worker
//! reads them; both hold the lock for a short time. Time comes in as an argument. Not here: which
//! events a client may receive (`runtime::subscription::replay`).

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::stream::Known;
use crate::{Event, Position, Stream, StreamItem};

/// Memory of a channel without its events and its name (bytes, approximately).
const CHANNEL_BYTES: usize = 256;

/// Limits of the history.
#[derive(Debug, Clone)]
pub struct HistoryLimits {
    /// Events of one stream (count).
    pub events: usize,
    /// Age of an event.
    pub age: Duration,
    /// Memory of all events, without their objects of the host language (bytes). When it is
    /// exceeded, the streams that use most lose their oldest events.
    pub bytes: usize,
}

/// The newest events of each stream.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Arc<str>, Channel>,
    /// Streams without kept events. They stay referenced, so that their ids stay known.
    quiet: HashMap<Arc<str>, Arc<Stream>>,
    recorded: u64,
    events: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Channel {
    stream: Arc<Stream>,
    /// In order, without a gap.
    kept: VecDeque<KeptEvent>,
    bytes: usize,
}

#[derive(Debug)]
struct KeptEvent {
    event: Arc<Event>,
    /// Its number among the recorded events of all streams.
    number: u64,
    bytes: usize,
    since: Instant,
}

/// The events of a stream after a sequence.
#[derive(Debug, Clone)]
pub struct Since {
    /// The oldest ones, in order.
    pub events: Vec<Arc<Event>>,
    /// The sequence of the last recorded event of the stream; without one, the sequence at which
    /// the stream begins.
    pub last: u64,
}

/// A requested event is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the events are not kept any more")]
pub struct TooLate;

impl History {
    /// Creates an empty history.
    #[must_use]
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Returns the interval at which [`Self::sweep`] should be called, so that events are dropped
    /// soon after they have reached their age.
    #[must_use]
    pub fn sweep_interval(&self) -> Duration {
        let interval = self.limits.age / 8;
        interval.clamp(Duration::from_millis(50), Duration::from_secs(30))
    }

    /// Records events, in their order, before they are delivered. A gap drops the kept events of
    /// its stream. Returns the size afterwards, as [`Self::size`] does.
    pub fn record(&self, items: &[StreamItem], now: Instant) -> (usize, usize) {
        // Computed without the lock, which all workers take: it walks through the data.
        let weights: Vec<_> = items.iter().map(weight_of_item).collect();
        let mut state = self.state.lock();
        for (item, bytes) in items.iter().zip(weights) {
            match item {
                StreamItem::Event(event) => state.record(event, bytes, &self.limits, now),
                StreamItem::Gap(gap) => state.forget(&gap.stream),
            }
        }
        if state.bytes > self.limits.bytes {
            state.relieve(self.limits.bytes);
        }
        (state.events, state.bytes)
    }

    /// Drops events that are too old. Returns the size afterwards, as [`Self::size`] does.
    pub fn sweep(&self, now: Instant) -> (usize, usize) {
        let state = &mut *self.state.lock();
        let mut emptied = Vec::new();
        for (name, channel) in &mut state.channels {
            let dropped = channel.expire(self.limits.age, now);
            state.events -= dropped.0;
            state.bytes -= dropped.1;
            if channel.kept.is_empty() {
                emptied.push(name.clone());
            }
        }
        for name in emptied {
            state.quieten(name);
        }
        (state.events, state.bytes)
    }

    /// Returns up to `limit` events of a stream after `sequence`, the oldest first.
    ///
    /// # Errors
    ///
    /// [`TooLate`] when an event after `sequence` is not kept any more.
    pub fn after(
        &self,
        stream: &Stream,
        sequence: u64,
        limit: usize,
        now: Instant,
    ) -> Result<Since, TooLate> {
        let state = &mut *self.state.lock();
        let (mut events, mut last) = (Vec::new(), None);
        if let Some(channel) = state.channels.get_mut(stream.name()) {
            let dropped = channel.expire(self.limits.age, now);
            state.events -= dropped.0;
            state.bytes -= dropped.1;
            let first = channel
                .kept
                .partition_point(|k| k.event.at.sequence <= sequence);
            let missed = channel.kept.range(first..).take(limit);
            events.extend(missed.map(|kept| kept.event.clone()));
            last = channel.kept.back().map(|kept| kept.event.at.sequence);
        }
        if sequence < stream.lost() {
            return Err(TooLate);
        }
        Ok(Since {
            events,
            // No event is kept: the last recorded one is the last lost one.
            last: last.unwrap_or_else(|| stream.lost()),
        })
    }

    /// Returns the sequence of a position of a stream, or of the last event up to it where an engine does
    /// not count the events of a stream. `None`: this process has not received it, or not recorded it yet, or
    /// it is of another epoch.
    #[must_use]
    pub fn sequence_of(&self, stream: &Stream, position: Position) -> Option<u64> {
        let after = match stream.find(position)? {
            Known::At(sequence) => return Some(sequence),
            Known::Between { after } => after,
        };
        let state = self.state.lock();
        let kept = state
            .channels
            .get(stream.name())
            .map(|channel| &channel.kept);
        let newest = kept.and_then(VecDeque::back).map(|kept| kept.event.at);
        let is_after_newest = newest.is_none_or(|newest| newest.position.offset < position.offset);
        let recorded = newest.map_or(after, |newest| newest.sequence);
        if is_after_newest && recorded < stream.last().sequence {
            // Events that are not recorded yet may be before the position.
            return None;
        }
        let up_to = kept
            .into_iter()
            .flatten()
            .rev()
            .map(|kept| kept.event.at)
            .find(|at| {
                let is_comparable = at.position.epoch == position.epoch && at.sequence > after;
                is_comparable && at.position.offset <= position.offset
            });
        Some(up_to.map_or(after, |at| at.sequence))
    }

    /// Returns the sequence of the newest event of a stream that `is_wanted`.
    #[must_use]
    pub fn find(&self, stream: &Stream, is_wanted: impl Fn(&Event) -> bool) -> Option<u64> {
        let state = self.state.lock();
        let mut kept = state.channels.get(stream.name())?.kept.iter().rev();
        let found = kept.find(|kept| is_wanted(&kept.event))?;
        Some(found.event.at.sequence)
    }

    /// Returns the number of kept events, and the memory of these and of the channels (count,
    /// bytes).
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.events, state.bytes)
    }
}

impl State {
    fn record(&mut self, event: &Arc<Event>, bytes: usize, limits: &HistoryLimits, now: Instant) {
        let name = event.stream.name();
        if !self.channels.contains_key(name) {
            self.add(&event.stream);
        }
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        self.recorded += 1;
        channel.kept.push_back(KeptEvent {
            event: event.clone(),
            number: self.recorded,
            bytes,
            since: now,
        });
        channel.bytes += bytes;
        self.bytes += bytes;
        self.events += 1;
        if channel.kept.len() > limits.events {
            self.bytes -= channel.drop_oldest();
            self.events -= 1;
        }
    }

    /// Drops the kept events of a stream.
    fn forget(&mut self, stream: &Stream) {
        if let Some(channel) = self.channels.remove(stream.name()) {
            self.events -= channel.kept.len();
            self.bytes -= channel.bytes + name_bytes(stream.name());
        }
    }

    fn add(&mut self, stream: &Arc<Stream>) {
        let name = stream.name().clone();
        if self.quiet.remove(&name).is_none() {
            self.bytes += name_bytes(&name);
        }
        let channel = Channel {
            stream: stream.clone(),
            kept: VecDeque::new(),
            bytes: 0,
        };
        self.channels.insert(name, channel);
    }

    /// Moves a channel without kept events to the quiet ones.
    fn quieten(&mut self, name: Arc<str>) {
        if let Some(channel) = self.channels.remove(&name) {
            self.quiet.insert(name, channel.stream);
        }
    }

    /// Frees memory. Forgets quiet streams first. Then the channels that use most lose their oldest
    /// events, until each uses at most its share.
    fn relieve(&mut self, limit: usize) {
        for (name, _) in self.quiet.drain() {
            self.bytes -= name_bytes(&name);
        }
        if self.bytes <= limit {
            return;
        }
        // Frees more than necessary, so that the next event does not need it again.
        let target = limit - limit / 8;
        let mut largest: Vec<_> = self
            .channels
            .iter()
            .map(|(name, channel)| {
                let oldest = channel.kept.front().map_or(0, |kept| kept.number);
                (channel.bytes + name_bytes(name), oldest, name.clone())
            })
            .collect();
        largest.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let share = share(target, largest.iter().rev().map(|(bytes, ..)| *bytes));
        for (_, _, name) in largest {
            let Some(channel) = self.channels.get_mut(&name) else {
                continue;
            };
            while self.bytes > target
                && !channel.kept.is_empty()
                && channel.bytes + name_bytes(&name) > share
            {
                self.bytes -= channel.drop_oldest();
                self.events -= 1;
            }
            if channel.kept.is_empty() {
                // Removed at once instead of becoming quiet: memory is needed.
                self.bytes -= name_bytes(&name);
                self.channels.remove(&name);
            }
            if self.bytes <= target {
                break;
            }
        }
    }
}

/// Returns the largest size for each, so that all together use at most `total`. Those that use less
/// keep what they have. `sizes`: in ascending order.
fn share(total: usize, sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let (mut left, mut others) = (total, sizes.len());
    for size in sizes {
        let share = left / others;
        if size > share {
            return share;
        }
        left -= size;
        others -= 1;
    }
    left
}

impl Channel {
    /// Drops the oldest event; returns its bytes.
    fn drop_oldest(&mut self) -> usize {
        let Some(oldest) = self.kept.pop_front() else {
            return 0;
        };
        self.stream.set_lost(oldest.event.at);
        self.bytes -= oldest.bytes;
        oldest.bytes
    }

    /// Drops events that are older than `age`. Returns their number and bytes.
    fn expire(&mut self, age: Duration, now: Instant) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        while let Some(oldest) = self.kept.front()
            && now.saturating_duration_since(oldest.since) > age
        {
            bytes += self.drop_oldest();
            count += 1;
        }
        (count, bytes)
    }
}

/// Memory of a channel without its events (bytes, approximately).
fn name_bytes(name: &str) -> usize {
    CHANNEL_BYTES + name.len()
}

/// Memory of an item (bytes, approximately).
fn weight_of_item(item: &StreamItem) -> usize {
    item.event().map_or(0, |event| weight(event))
}

/// Memory of an event (bytes, approximately).
fn weight(event: &Event) -> usize {
    let texts = [
        Some(&event.channel),
        event.event_type.as_ref(),
        event.tenant_id.as_ref(),
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    size_of::<Event>()
        + size_of::<KeptEvent>()
        + event.id.kept_bytes()
        + texts
        + event.data.kept_bytes()
        + event.trace.as_ref().map_or(0, |trace| trace.kept_bytes())
}

#[cfg(test)]
mod tests;
