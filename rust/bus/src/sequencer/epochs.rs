//! Epochs that a stream has left.

use crate::Epoch;

/// Epochs that are remembered (count). Events of an older one cost a read each.
const REMEMBERED: usize = 8;

/// The epochs that a stream has left lately.
#[derive(Debug, Default)]
pub(super) struct PastEpochs(Vec<Epoch>);

impl PastEpochs {
    pub(super) fn contains(&self, epoch: Epoch) -> bool {
        self.0.contains(&epoch)
    }

    /// Notes that an epoch is over.
    pub(super) fn add(&mut self, epoch: Epoch) {
        self.remove(epoch);
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(epoch);
    }

    /// Notes that an epoch is the present one: the engine says so, whatever was before.
    pub(super) fn remove(&mut self, epoch: Epoch) {
        self.0.retain(|&past| past != epoch);
    }
}
