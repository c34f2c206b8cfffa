//! The responses of an operation that no socket carries: in-process subscribers and adapters
//! of other transports take them from here, on any thread.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bus::Stream;
use bytes::Bytes;
use graphql::GraphQLError;
use parking_lot::Mutex;
use protocol::{EventId, Framing};

use crate::client::Buckets;
use crate::config::SlowConsumer;
use crate::metrics::Metrics;
use crate::subscription::{Callback, ResponseSink};

/// What a stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// One response: `{"data": …}`.
    Next(Bytes),
    /// The operation failed; a JSON array of errors. Nothing follows.
    Error(Bytes),
    /// The operation has ended. Nothing follows.
    Complete,
}

/// Bounded queue of responses.
pub struct ResponseStream {
    state: Mutex<State>,
    limit_bytes: usize,
    policy: SlowConsumer,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    responses: VecDeque<Bytes>,
    pending_bytes: usize,
    end: Option<Response>,
    waiter: Option<Callback>,
    /// The operation, when it waits for room.
    room: Option<Waker>,
}

impl ResponseStream {
    /// An empty stream for `limit_bytes` of pending responses.
    #[must_use]
    pub fn new(limit_bytes: usize, policy: SlowConsumer, metrics: Arc<Metrics>) -> Self {
        Self {
            state: Mutex::default(),
            limit_bytes,
            policy,
            metrics,
        }
    }

    /// Takes the next response. When there is none yet, `waiter` makes the function that is
    /// called once there may be one; a later call replaces an earlier waiter.
    pub fn take_or_wait(&self, waiter: impl FnOnce() -> Callback) -> Option<Response> {
        let mut state = self.state.lock();
        if let Some(response) = state.responses.pop_front() {
            state.pending_bytes -= response.len();
            let has_room = self.has_room(&state);
            let room = state.room.take_if(|_| has_room);
            drop(state);
            if let Some(waker) = room {
                waker.wake();
            }
            return Some(Response::Next(response));
        }
        if let Some(end) = &state.end {
            return Some(end.clone());
        }
        state.waiter = Some(waiter());
        None
    }

    fn has_room(&self, state: &State) -> bool {
        state.pending_bytes <= self.limit_bytes / 2
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if self.has_room(&state) {
            return Poll::Ready(());
        }
        state.room = Some(cx.waker().clone());
        Poll::Pending
    }

    fn push(&self, response: Bytes) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        if state.pending_bytes > 0 && state.pending_bytes + response.len() > self.limit_bytes {
            match self.policy {
                SlowConsumer::Disconnect => {
                    self.metrics.slow_consumer_disconnects.add(1);
                    state.responses.clear();
                    state.pending_bytes = 0;
                    let error = GraphQLError::new(format!(
                        "the subscription was ended: more than {} bytes of results were not taken",
                        self.limit_bytes
                    ));
                    let errors = graphql::errors_to_json(&[error]);
                    return Self::finish(state, Response::Error(errors.into()));
                }
                SlowConsumer::DropOldest => {
                    while state.pending_bytes + response.len() > self.limit_bytes {
                        let Some(oldest) = state.responses.pop_front() else {
                            break;
                        };
                        state.pending_bytes -= oldest.len();
                        self.metrics.results_dropped.add(1);
                    }
                }
                SlowConsumer::Latest => {
                    self.metrics
                        .results_dropped
                        .add(state.responses.len() as u64);
                    state.responses.clear();
                    state.pending_bytes = 0;
                }
            }
        }
        self.metrics.results_sent.add(1);
        state.pending_bytes += response.len();
        state.responses.push_back(response);
        Self::wake(state);
    }

    /// Whether no further response is pushed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Ends the stream; what was pushed before can still be taken.
    pub fn end(&self, end: Response) {
        let state = self.state.lock();
        if state.end.is_none() {
            Self::finish(state, end);
        }
    }

    fn finish(mut state: parking_lot::MutexGuard<'_, State>, end: Response) {
        state.end = Some(end);
        Self::wake(state);
    }

    fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter();
        }
    }
}

/// Lets an operation write into a stream.
pub(crate) struct StreamSink {
    pub(crate) stream: Arc<ResponseStream>,
    pub(crate) framing: Framing,
    /// What its events are of.
    pub(crate) events: OnceCell<Arc<Stream>>,
    /// What bounds the results, if anything does.
    pub(crate) buckets: Option<Arc<Buckets>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl StreamSink {
    fn event_id(&self, offset: Option<u64>) -> Option<EventId<'_>> {
        let epoch = self.events.get()?.epoch();
        offset.map(|offset| EventId { epoch, offset })
    }
}

impl ResponseSink for StreamSink {
    fn follow(&self, stream: Arc<Stream>) {
        // An operation follows one stream.
        self.events.set(stream).ok();
    }

    fn next(&self, response: &Bytes) {
        self.next_of(response, None);
    }

    fn next_of(&self, response: &Bytes, offset: Option<u64>) {
        if let Some(buckets) = &self.buckets
            && !buckets.may_receive()
        {
            return self.metrics.results_rate_limited.add(1);
        }
        self.stream.push(if self.framing.is_plain() {
            response.clone()
        } else {
            self.framing.frame(response, self.event_id(offset))
        });
    }

    fn announce_position(&self, offset: Option<u64>, missed: bool) {
        if let Some(response) = self
            .framing
            .announce_position(self.event_id(offset), missed)
        {
            self.stream.push(response);
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.stream.poll_room(cx)
    }

    fn error(&self, errors: &[u8]) {
        self.stream
            .end(Response::Error(Bytes::copy_from_slice(errors)));
    }

    fn complete(&self) {
        self.stream.end(Response::Complete);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn stream(policy: SlowConsumer) -> ResponseStream {
        ResponseStream::new(10, policy, Arc::default())
    }

    fn taken(stream: &ResponseStream) -> Vec<Response> {
        let mut taken = Vec::new();
        while let Some(response) = stream.take_or_wait(|| Box::new(|| {})) {
            let ended = !matches!(response, Response::Next(_));
            taken.push(response);
            if ended {
                break;
            }
        }
        taken
    }

    #[test]
    fn responses_leave_before_the_end() {
        let stream = stream(SlowConsumer::Disconnect);
        stream.push("one".into());
        stream.end(Response::Complete);
        stream.push("late".into());
        assert_eq!(
            taken(&stream),
            [Response::Next("one".into()), Response::Complete]
        );
    }

    #[test]
    fn the_waiter_is_called_once_for_the_next_response() {
        let stream = stream(SlowConsumer::Disconnect);
        let called = Arc::new(AtomicBool::new(false));
        let waiter = called.clone();
        let none =
            stream.take_or_wait(|| Box::new(move || assert!(!waiter.swap(true, Ordering::SeqCst))));
        assert_eq!(none, None);
        stream.push("one".into());
        stream.push("two".into());
        assert!(called.load(Ordering::SeqCst));
    }

    #[test]
    fn a_subscriber_that_takes_nothing_is_ended_with_an_error() {
        let stream = stream(SlowConsumer::Disconnect);
        stream.push("aaaaaa".into());
        stream.push("bbbbbb".into());
        assert!(matches!(taken(&stream).as_slice(), [Response::Error(_)]));
    }

    #[test]
    fn drop_oldest_and_latest_keep_the_stream_alive() {
        for (policy, kept) in [
            (SlowConsumer::DropOldest, vec!["bbbb", "cccc"]),
            (SlowConsumer::Latest, vec!["cccc"]),
        ] {
            let stream = stream(policy);
            for text in ["aaaa", "bbbb", "cccc"] {
                stream.push(text.into());
            }
            let kept: Vec<_> = kept.into_iter().map(|t| Response::Next(t.into())).collect();
            assert_eq!(taken(&stream), kept);
        }
    }
}
