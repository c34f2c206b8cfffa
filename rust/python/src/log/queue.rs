//! The records that wait for an event loop, bounded in number and in bytes.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::record::Record;

/// Records that wait (count, bytes). Past it the newest are counted, as a flood begins with what
/// is worth reading.
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 256 * 1024;

/// How many of the latest records an error is compared with, so that one that repeats takes one
/// place (count).
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

/// There was no room.
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

    /// Drops all, in a forked child. What a thread of the parent has locked stays locked here.
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
