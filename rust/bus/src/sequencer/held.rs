//! Events that cannot be delivered yet: what comes before them is missing, or not known.
//!
//! Bounded by count and bytes. Not here: what to do about an event that has no room (`sequencer`).

use std::collections::BTreeMap;

use crate::{Epoch, Offset, Position};

/// How much of a stream is held while a gap before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLimits {
    /// Events (count; default 256).
    pub events: usize,
    /// What they cost, as their caller says (bytes; default 1 MiB).
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
    /// The offset of the event before it, where the engine tells it.
    pub(super) before: Option<Offset>,
    /// What it costs.
    pub(super) bytes: usize,
    /// How many reads had begun when it arrived.
    pub(super) reads: u64,
    pub(super) event: E,
}

/// What has become of an event that was to be held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Held,
    /// It is held already.
    Double,
    /// There is no room for it.
    Full,
}

/// Events of any epochs, each epoch in the order of its offsets.
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
            return Holding::Double;
        }
        let bytes = self.bytes.saturating_add(event.bytes);
        if self.events.len() >= self.limits.events || bytes > self.limits.bytes {
            return Holding::Full;
        }
        self.bytes = bytes;
        self.events.insert(key, event);
        Holding::Held
    }

    /// The oldest event of an epoch.
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

    /// Takes all events out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Position, HeldEvent<E>)> + use<E> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .map(|(key, event)| (position(key), event))
    }

    /// Drops the events that are not wanted; returns how many.
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
