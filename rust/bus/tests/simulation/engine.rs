//! A model of an engine: one log for each stream, which is trimmed, and starts again after a
//! failover.

use std::collections::VecDeque;

use bus::engine::{Numbering, ReadError};
use bus::{Epoch, Offset, Position};

/// Events that one read returns (count).
const PAGE: usize = 64;
/// Events of one stream that are kept (count).
const KEPT: usize = 20;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) at: Position,
    pub(crate) before: Offset,
    /// Counts all events of the stream, over all epochs.
    pub(crate) id: u64,
}

pub(crate) struct Log {
    pub(crate) numbering: Numbering,
    pub(crate) newest: u64,
    head: Position,
    trimmed: Offset,
    kept: VecDeque<Published>,
}

impl Log {
    pub(crate) fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            newest: 0,
            head: Position::new(Epoch(1), 0),
            trimmed: Offset::default(),
            kept: VecDeque::new(),
        }
    }

    pub(crate) fn head(&self) -> Position {
        self.head
    }

    pub(crate) fn publish(&mut self, gap: u64) -> Published {
        let before = self.kept.back().map_or(Offset::default(), |e| e.at.offset);
        let gap = if self.numbering == Numbering::Dense {
            1
        } else {
            gap
        };
        self.head = Position::new(self.head.epoch, self.head.offset.major + gap);
        self.newest += 1;
        let event = Published {
            at: self.head,
            before,
            id: self.newest,
        };
        self.kept.push_back(event);
        if self.kept.len() > KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.trimmed = oldest.at.offset;
        }
        event
    }

    pub(crate) fn read(&self, after: Position) -> Result<(Vec<Published>, Position), ReadError> {
        let head = self.head;
        if after.epoch != head.epoch {
            return Err(ReadError::OtherEpoch { head });
        }
        if after.offset < self.trimmed {
            return Err(ReadError::TooLate { head });
        }
        let after = self.kept.iter().filter(|e| e.at.offset > after.offset);
        Ok((after.take(PAGE).copied().collect(), head))
    }

    /// Begins a new epoch. The newest events are lost with the rest of the log.
    pub(crate) fn fail_over(&mut self) {
        self.head = Position::new(Epoch(self.head.epoch.0 + 1), 0);
        self.trimmed = Offset::default();
        self.kept.clear();
    }
}
