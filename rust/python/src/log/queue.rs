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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn queue() -> RecordQueue {
        RecordQueue(Mutex::new(QueueState {
            records: VecDeque::new(),
            bytes: 0,
        }))
    }

    fn record(level: Level, message: &str) -> Record {
        Record {
            level,
            target: "fraiseql_subs",
            name: "test",
            message: message.to_owned(),
            fields: Vec::new(),
            count: 1,
        }
    }

    /// How many records of one size are taken (count).
    fn taken(queue: &RecordQueue, message: &str) -> usize {
        let push = || queue.push(record(Level::WARN, message)).is_ok();
        std::iter::repeat_with(push)
            .take_while(|is_taken| *is_taken)
            .count()
    }

    #[test]
    fn records_are_bounded_in_number() {
        assert_eq!(taken(&queue(), ""), MAX_RECORDS);
    }

    #[test]
    fn records_are_bounded_in_bytes() {
        let queue = queue();
        let size = record(Level::WARN, &"x".repeat(1024)).len();
        assert_eq!(taken(&queue, &"x".repeat(1024)), MAX_BYTES / size);
        // One that is taken out makes room for another.
        queue.pop();
        assert_eq!(taken(&queue, &"x".repeat(1024)), 1);
    }

    #[test]
    fn records_leave_in_their_order() {
        let queue = queue();
        for message in ["a", "b", "c"] {
            queue.push(record(Level::WARN, message)).ok();
        }
        let left = std::iter::from_fn(|| queue.pop().map(|record| record.message));
        assert_eq!(left.collect::<String>(), "abc");
        assert!(queue.is_empty());
    }

    #[test]
    fn an_error_that_repeats_takes_one_place() {
        let queue = queue();
        for detail in ["one", "two", "three"] {
            let mut error = record(Level::ERROR, "failed");
            error.fields.push(("detail", detail.to_owned()));
            queue.push(error).ok();
        }
        let first = queue.pop().unwrap();
        assert_eq!((first.count, &first.fields[0].1[..]), (3, "one"));
        assert!(queue.is_empty());
    }

    #[test]
    fn warnings_and_other_errors_have_places_of_their_own() {
        let queue = queue();
        for (level, message) in [
            (Level::WARN, "slow"),
            (Level::WARN, "slow"),
            (Level::ERROR, "slow"),
            (Level::ERROR, "gone"),
        ] {
            queue.push(record(level, message)).ok();
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 4);
    }
}
