//! The responses of an operation without a socket: in-process subscribers and adapters
//! of other transports take them from here, on any thread.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bus::{LocalPosition, Received, Stream};
use bytes::Bytes;
use graphql::GraphQLError;
use parking_lot::Mutex;
use protocol::{EventId, Framing};

use crate::bounded_queue::{BoundedQueue, Pushed, Waiting};
use crate::catalog::Definition;
use crate::client::{Buckets, Client};
use crate::config::SlowConsumer;
use crate::journal::{self, KeptOwner, OperationEnd};
use crate::metrics::{IN_PROCESS, Metrics, OTHER, OperationSeries, RunningOperation, TooSlow};
use crate::routing::WorkerNumber;
use crate::subscription::{Callback, ResponseSink};

/// An item of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// One response: `{"data": …}`.
    Next(Bytes),
    /// The operation failed; a JSON array of errors. The last item.
    Error(Bytes),
    /// The operation has ended. The last item.
    Complete,
}

/// A waiting response; all belong to one operation.
struct Pending {
    response: Bytes,
    /// When its event was received.
    received: Received,
}

impl Waiting for Pending {
    type Operation = ();

    fn weight(&self) -> usize {
        self.response.len()
    }

    fn operation(&self) -> Option<()> {
        Some(())
    }
}

/// Bounded queue of responses.
pub struct ResponseStream {
    state: Mutex<State>,
    limit_bytes: usize,
    metrics: Arc<Metrics>,
    begin: Received,
    series: OnceLock<Arc<OperationSeries>>,
}

struct State {
    responses: BoundedQueue<Pending>,
    end: Option<Response>,
    callback: Option<Callback>,
    /// The operation, while it waits for room.
    room: Option<Waker>,
    /// The subscriber and the field, while the operation runs.
    running: Option<(KeptOwner, Arc<Definition>)>,
}

impl ResponseStream {
    /// Creates an empty stream for `limit_bytes` of pending responses.
    #[must_use]
    pub fn new(limit_bytes: usize, policy: SlowConsumer, metrics: Arc<Metrics>) -> Self {
        Self {
            state: Mutex::new(State {
                responses: BoundedQueue::new(limit_bytes, policy),
                end: None,
                callback: None,
                room: None,
                running: None,
            }),
            limit_bytes,
            metrics,
            begin: Received::now(),
            series: OnceLock::new(),
        }
    }

    /// Takes the next response. When there is none yet, `callback` makes the function that is
    /// called once there may be one; a later call replaces an earlier callback.
    pub fn take_or_wait(&self, callback: impl FnOnce() -> Callback) -> Option<Response> {
        let mut state = self.state.lock();
        if let Some(Pending { response, received }) = state.responses.pop() {
            let has_room = state.responses.has_room();
            let room = state.room.take_if(|_| has_room);
            drop(state);
            if let Some(waker) = room {
                waker.wake();
            }
            if let (Some(series), Some(delay)) = (self.series.get(), received.since(self.begin)) {
                series.delivery.observe(delay);
            }
            return Some(Response::Next(response));
        }
        if let Some(end) = &state.end {
            return Some(end.clone());
        }
        state.callback = Some(callback());
        None
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.responses.has_room() {
            return Poll::Ready(());
        }
        state.room = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Returns whether the response can be taken.
    fn push(&self, response: Bytes, received: Received) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return false;
        }
        match state.responses.push(Pending { response, received }) {
            Pushed::Added(dropped) => {
                self.metrics.results_dropped.add(dropped as u64);
                if let Some(series) = self.series.get() {
                    series.dropped.add(dropped as u64);
                }
                Self::wake(state);
                true
            }
            Pushed::Overflow(_) => {
                let running = state.running.as_ref();
                let field = running.map_or(OTHER, |(_, definition)| &*definition.field);
                self.metrics.too_slow(field, TooSlow::Client);
                let error = GraphQLError::new(format!(
                    "the subscription was ended: more than {} bytes of results were not taken",
                    self.limit_bytes
                ));
                let errors = graphql::errors_to_json(&[error]);
                Self::finish(state, Response::Error(errors.into()), OperationEnd::Failed);
                false
            }
        }
    }

    /// Whether no further response is accepted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Ends the stream; earlier responses can still be taken.
    pub(crate) fn end(&self, end: Response, reason: OperationEnd) {
        let state = self.state.lock();
        if state.end.is_none() {
            Self::finish(state, end, reason);
        }
    }

    fn finish(mut state: parking_lot::MutexGuard<'_, State>, end: Response, reason: OperationEnd) {
        state.end = Some(end);
        let running = state.running.take();
        Self::wake(state);
        if let Some((owner, definition)) = running {
            journal::operation_ended(&owner, None, Some(&definition.field), reason);
        }
    }

    /// Logs the start, unless the subscriber has gone before.
    fn begin(&self, client: &Client, definition: &Arc<Definition>) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        let owner = KeptOwner::of(client);
        journal::operation_started(&owner, None, Some(&definition.field));
        state.running = Some((owner, definition.clone()));
    }

    fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
        let callback = state.callback.take();
        drop(state);
        if let Some(callback) = callback {
            callback();
        }
    }
}

/// Writes the results of an operation to a stream.
pub(crate) struct StreamSink {
    pub(crate) stream: Arc<ResponseStream>,
    pub(crate) client: Arc<Client>,
    pub(crate) framing: Framing,
    /// The stream of its events, held for its positions.
    pub(crate) events: OnceCell<Arc<Stream>>,
    /// The rate limit of the results, if any.
    pub(crate) buckets: Option<Arc<Buckets>>,
    pub(crate) metrics: Arc<Metrics>,
    /// Counts the operation as running, once it is.
    pub(crate) running: OnceCell<RunningOperation>,
}

impl StreamSink {
    /// The counters of the operation. Those of a manager's own operations are of one worker.
    fn series(&self, field: &str) -> Arc<OperationSeries> {
        self.metrics
            .labelled
            .operation(field, IN_PROCESS, WorkerNumber::MAX)
    }
}

impl ResponseSink for StreamSink {
    fn start(&self, definition: &Arc<Definition>) {
        self.running.get_or_init(|| {
            let series = || self.series(&definition.field);
            let series = self.stream.series.get_or_init(series);
            self.stream.begin(&self.client, definition);
            RunningOperation::begin(series.clone())
        });
    }

    fn follow(&self, stream: Arc<Stream>) {
        // An operation follows one stream.
        self.events.set(stream).ok();
    }

    fn next(&self, response: &Bytes) {
        self.next_of(response, None);
    }

    fn next_of(&self, response: &Bytes, at: Option<LocalPosition>) {
        if let Some(buckets) = &self.buckets
            && !buckets.may_receive()
        {
            return self.metrics.results_rate_limited.add(1);
        }
        let id = at.as_ref().map(|at| &at.position as EventId<'_>);
        let framed = self.framing.frame(response, id);
        // What is of no field, such as a description of the schema, was not counted as one.
        let series = self.stream.series.get_or_init(|| self.series(OTHER));
        let received = at.map(|at| at.received).unwrap_or_default();
        if self.stream.push(framed.into_bytes(), received) {
            series.results.add(1);
        }
    }

    fn announce_position(&self, at: Option<LocalPosition>, missed: bool) {
        let id = at.as_ref().map(|at| &at.position as EventId<'_>);
        if let Some(response) = self.framing.announce_position(id, missed) {
            self.stream.push(response.into_bytes(), Received::default());
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.stream.poll_room(cx)
    }

    fn error(&self, errors: &[u8]) {
        let errors = Response::Error(Bytes::copy_from_slice(errors));
        self.stream.end(errors, OperationEnd::Failed);
    }

    fn complete(&self) {
        self.stream.end(Response::Complete, OperationEnd::Complete);
    }

    fn drained(&self) {
        self.stream.end(Response::Complete, OperationEnd::Drain);
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
        stream.push("one".into(), Received::default());
        stream.end(Response::Complete, OperationEnd::Complete);
        stream.push("late".into(), Received::default());
        assert_eq!(
            taken(&stream),
            [Response::Next("one".into()), Response::Complete]
        );
    }

    #[test]
    fn the_callback_is_called_once_for_the_next_response() {
        let stream = stream(SlowConsumer::Disconnect);
        let called = Arc::new(AtomicBool::new(false));
        let call = called.clone();
        let none =
            stream.take_or_wait(|| Box::new(move || assert!(!call.swap(true, Ordering::SeqCst))));
        assert_eq!(none, None);
        stream.push("one".into(), Received::default());
        stream.push("two".into(), Received::default());
        assert!(called.load(Ordering::SeqCst));
    }

    #[test]
    fn a_subscriber_that_takes_nothing_is_ended_with_an_error() {
        let stream = stream(SlowConsumer::Disconnect);
        stream.push("aaaaaa".into(), Received::default());
        stream.push("bbbbbb".into(), Received::default());
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
                stream.push(text.into(), Received::default());
            }
            let kept: Vec<_> = kept.into_iter().map(|t| Response::Next(t.into())).collect();
            assert_eq!(taken(&stream), kept);
        }
    }
}
