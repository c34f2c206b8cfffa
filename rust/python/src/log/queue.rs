//! The records that wait for an event loop, bounded in number and in bytes.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::record::Record;

/// Bounds of the waiting records (count, bytes). Past it the newest are counted, because the first
/// records of a flood are the most useful.
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 256 * 1024;

/// Number of the latest records that an error is compared with, so that a repeated error needs one
/// place.
const COMPARED: usize = 16;

pub(super) static QUEUE: RecordQueue = RecordQueue(Mutex::new(QueueState {
    records: VecDeque::new(),
    bytes: 0,
}));

pub(super) struct RecordQueue(Mutex<QueueState>);

struct QueueState {
    records: VecDeque<Record>,
    bytes: usize,
}

/// The queue has no room.
pub(super) struct Full;

impl RecordQueue {
    pub(super) fn push(&self, record: Record) -> Result<(), Full> {
        let mut state = self.0.lock();
        let mut latest = state.records.iter_mut().rev().take(COMPARED);
        if let Some(same) = latest.find(|known| known.repeats(&record)) {
            same.count += 1;
            return Ok(());
        }
        if state.records.len() >= MAX_RECORDS || state.bytes + record.len() > MAX_BYTES {
            return Err(Full);
        }
        state.bytes += record.len();
        state.records.push_back(record);
        Ok(())
    }

    pub(super) fn pop(&self) -> Option<Record> {
        let mut state = self.0.lock();
        let record = state.records.pop_front()?;
        state.bytes -= record.len();
        Some(record)
    }

    /// Drops all records, in a forked child. A lock that a thread of the parent held stays locked.
    pub(super) fn clear(&self) {
        if let Some(mut state) = self.0.try_lock() {
            state.records.clear();
            state.bytes = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().records.is_empty()
    }
}
