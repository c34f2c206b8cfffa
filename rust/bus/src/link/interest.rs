//! The interest of a subscription in the events of a stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::inbox::Inbox;
use crate::StreamKey;

/// The engine delivers the events of a stream while an interest in it is held, and for 20 to 40 s after
/// the last one is dropped.
#[derive(Debug)]
pub struct Interest {
    inbox: Arc<Inbox>,
    key: StreamKey,
    is_ready: watch::Receiver<bool>,
}

impl Interest {
    pub(super) fn new(inbox: Arc<Inbox>, key: StreamKey, is_ready: watch::Receiver<bool>) -> Self {
        Self {
            inbox,
            key,
            is_ready,
        }
    }

    /// Whether the stream is ready: from now on each published event is delivered, or a gap is reported
    /// in its place.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.is_ready.borrow()
    }

    /// Waits until [`Self::is_ready`], at most for `limit`. Returns whether it is ready.
    pub async fn ready(&self, limit: Duration) -> bool {
        let mut is_ready = self.is_ready.clone();
        matches!(
            timeout(limit, is_ready.wait_for(|is_ready| *is_ready)).await,
            Ok(Ok(_))
        )
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.inbox.release(&self.key);
    }
}
