//! Holds events that cannot be delivered yet, because an earlier one may be missing.
//!
//! Bounded by count and bytes. Not here: what happens to an event without room (`sequencer`).

use std::collections::BTreeMap;

use crate::{Epoch, Offset, Position};

/// Limits of the held events of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLimits {
    /// Events (count; default 256).
    pub events: usize,
    /// Their size, as the caller passes it to [`Sequencer::event`](super::Sequencer::event) (bytes;
    /// default 1 MiB).
    pub bytes: usize,
}

impl Default for HeldLimits {
    fn default() -> Self {
        Self {
            events: 256,
            bytes: 1 << 20,
        }
    }
}

/// An event that is held.
#[derive(Debug)]
pub(super) struct HeldEvent<E> {
    /// The offset of the previous event, if the engine provides it.
    pub(super) before: Option<Offset>,
    /// Its size.
    pub(super) bytes: usize,
    /// The number of reads that had started when it arrived.
    pub(super) reads: u64,
    pub(super) event: E,
}

/// The result of [`Held::insert`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Held,
    /// It is held already.
    Duplicate,
    /// There is no room for it.
    Full,
}

/// The held events of a stream, by epoch and offset.
#[derive(Debug)]
pub(super) struct Held<E> {
    limits: HeldLimits,
    events: BTreeMap<(u64, Offset), HeldEvent<E>>,
    bytes: usize,
}

impl<E> Held<E> {
    pub(super) fn new(limits: HeldLimits) -> Self {
        Self {
            limits,
            events: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn insert(&mut self, at: Position, event: HeldEvent<E>) -> Holding {
        let key = key(at);
        if self.events.contains_key(&key) {
            return Holding::Duplicate;
        }
        let bytes = self.bytes.saturating_add(event.bytes);
        if self.events.len() >= self.limits.events || bytes > self.limits.bytes {
            return Holding::Full;
        }
        self.bytes = bytes;
        self.events.insert(key, event);
        Holding::Held
    }

    /// Returns the oldest event of an epoch.
    pub(super) fn first(&self, epoch: Epoch) -> Option<(Offset, &HeldEvent<E>)> {
        let from = (epoch.0, Offset::default());
        let (key, event) = self.events.range(from..).next()?;
        (key.0 == epoch.0).then_some((key.1, event))
    }

    pub(super) fn remove(&mut self, at: Position) -> Option<HeldEvent<E>> {
        let event = self.events.remove(&key(at))?;
        self.bytes -= event.bytes;
        Some(event)
    }

    /// Removes and returns all events.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Position, HeldEvent<E>)> + use<E> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .map(|(key, event)| (position(key), event))
    }

    /// Drops the events that are not wanted. Returns their number.
    pub(super) fn retain(&mut self, wanted: impl Fn(Position, &HeldEvent<E>) -> bool) -> usize {
        let (before, bytes) = (self.events.len(), &mut self.bytes);
        self.events.retain(|&key, event| {
            let is_wanted = wanted(position(key), event);
            if !is_wanted {
                *bytes -= event.bytes;
            }
            is_wanted
        });
        before - self.events.len()
    }
}

fn key(at: Position) -> (u64, Offset) {
    (at.epoch.0, at.offset)
}

fn position((epoch, offset): (u64, Offset)) -> Position {
    let epoch = Epoch(epoch);
    Position { epoch, offset }
}
