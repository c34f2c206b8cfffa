//! The future of a call that publishes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::publication::{Publication, PublishResult};
use super::shared::Shared;

/// Resolves to a result for each event of the call, in order. Needs no async runtime.
///
/// If it is dropped early, events that were not sent are not published. Events in flight may be.
#[must_use = "events whose future is dropped are not published"]
pub struct Publishing {
    state: PublishingState,
}

enum PublishingState {
    Ready(Vec<PublishResult>),
    Waiting(Arc<Shared>, Arc<Publication>),
}

impl Publishing {
    pub(super) fn ready(results: Vec<PublishResult>) -> Self {
        let state = PublishingState::Ready(results);
        Self { state }
    }

    pub(super) fn waiting(shared: Arc<Shared>, publication: Arc<Publication>) -> Self {
        let state = PublishingState::Waiting(shared, publication);
        Self { state }
    }
}

impl Future for Publishing {
    type Output = Vec<PublishResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let results = match &mut self.state {
            PublishingState::Ready(results) => std::mem::take(results),
            PublishingState::Waiting(_, publication) => match publication.poll(context) {
                Poll::Ready(results) => results,
                Poll::Pending => return Poll::Pending,
            },
        };
        self.state = PublishingState::Ready(Vec::new());
        Poll::Ready(results)
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        if let PublishingState::Waiting(shared, publication) = &self.state
            && publication.is_missing()
        {
            shared.with(|queue| queue.cancel(publication));
        }
    }
}
