//! The host executor's errors for a refused document, for the request that waits for them.

use std::cell::RefCell;
use std::task::{Context, Poll};

use bytes::Bytes;
use protocol::Amendment;
use tokio::sync::oneshot;

use crate::subscription::ResponseSink;

/// Why a document is refused.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// A JSON array of errors.
    pub(crate) errors: Bytes,
    /// The application's changes of the response head.
    pub(crate) amendment: Option<Amendment>,
}

/// Receives the errors of one operation, which has no other result.
pub(super) struct VerdictSink {
    verdict: RefCell<Option<oneshot::Sender<Verdict>>>,
    amendment: RefCell<Option<Amendment>>,
}

impl VerdictSink {
    pub(super) fn new() -> (Self, oneshot::Receiver<Verdict>) {
        let (sender, receiver) = oneshot::channel();
        let sink = Self {
            verdict: RefCell::new(Some(sender)),
            amendment: RefCell::default(),
        };
        (sink, receiver)
    }
}

impl ResponseSink for VerdictSink {
    fn next(&self, _: &Bytes) {}

    fn poll_room(&self, _: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn amend(&self, amendment: Amendment) {
        self.amendment.replace(Some(amendment));
    }

    fn error(&self, errors: &[u8]) {
        if let Some(sender) = self.verdict.take() {
            let verdict = Verdict {
                errors: Bytes::copy_from_slice(errors),
                amendment: self.amendment.take(),
            };
            // Fails only if the request is gone.
            sender.send(verdict).ok();
        }
    }

    fn complete(&self) {
        self.verdict.take();
    }
}
