//! The cursor of a replay in the history of the engine, and how it ends.
//!
//! Not here: the events that were read (`replay`).

use std::sync::Arc;

use bus::engine::{Pending, ReadError};
use bus::{EngineLink, Position, ReadPage, Stream};

use crate::config::REPLAY_BATCH;

/// A cursor in the history of the engine.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    link: Arc<EngineLink>,
    /// The last event that was read.
    pub(super) position: Position,
    /// The last event that this process had received when the last read was begun.
    received: Position,
}

impl Remote {
    pub(super) fn new(link: Arc<EngineLink>, position: Position) -> Self {
        Self {
            link,
            position,
            received: Position::default(),
        }
    }

    /// Reads the next events.
    pub(super) fn ask(&mut self, stream: &Stream) -> Pending<Result<ReadPage, ReadError>> {
        self.received = stream.last().position;
        self.link.read(stream, self.position, REPLAY_BATCH)
    }

    /// After a read without events: goes on at the last event that this process has received, where it is
    /// sure that this skips nothing and repeats nothing. Returns whether it is.
    ///
    /// Where an engine counts the events of a stream, the process receives the one at this position at some
    /// time. Other offsets only order events, and there may be no event at this one.
    pub(super) fn pass(&mut self, stream: &Stream) -> bool {
        if !self.link.is_sparse() {
            return false;
        }
        let at = self.position;
        let is_of_now = |other: Position| other.epoch == at.epoch;
        if is_of_now(self.received) && self.received.offset > at.offset {
            // The read has seen all that had been received before it.
            self.position = self.received;
            return true;
        }
        // The engine had delivered all up to this position before it answered. `last` is taken after it is
        // known that nothing of that is still on its way.
        let has_all = self.link.has_passed_on(stream);
        let last = stream.last().position;
        if !is_of_now(last) || (last.offset < at.offset && !has_all) {
            return false;
        }
        self.position.offset = at.offset.min(last.offset);
        true
    }
}

#[cfg(test)]
mod tests;
