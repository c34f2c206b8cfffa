//! Past epochs of a stream.

use crate::Epoch;

/// Past epochs that are kept (count). An event of an older one causes a read of the history.
const REMEMBERED: usize = 8;

/// The latest past epochs of a stream.
#[derive(Debug, Default)]
pub(super) struct PastEpochs(Vec<Epoch>);

impl PastEpochs {
    pub(super) fn contains(&self, epoch: Epoch) -> bool {
        self.0.contains(&epoch)
    }

    /// Adds an epoch that has ended.
    pub(super) fn add(&mut self, epoch: Epoch) {
        self.remove(epoch);
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(epoch);
    }

    /// Removes an epoch: the engine reports it as the current one.
    pub(super) fn remove(&mut self, epoch: Epoch) {
        self.0.retain(|&past| past != epoch);
    }
}
