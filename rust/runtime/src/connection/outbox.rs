//! The bounded queue between the operations of a connection and its socket.
//!
//! Operations push, the connection's socket task pops and writes. If the client reads results more
//! slowly than they are pushed, the slow-consumer policy applies here, without effect on other
//! clients.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bus::Received;
use bytes::Bytes;
use protocol::{Close, FramedMessage, Head};

use super::signal::Signal;
use crate::bounded_queue::{BoundedQueue, Pushed, Waiting};
use crate::budget::{ByteBudget, KeptBytes};
use crate::catalog::Definition;
use crate::config::SlowConsumer;
use crate::metrics::{Metrics, OTHER, OperationSeries, TooSlow};
use crate::timings::Selected;

/// One item to write to the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Status and headers of an HTTP response.
    Head(Head),
    /// A text message, or a part of a body.
    Text(FramedMessage),
    /// A ping of the transport.
    Ping,
    /// The answer to a ping of the transport.
    Pong(Bytes),
    /// The close of the connection.
    Close(Close),
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(message) => message.len(),
            Self::Pong(payload) => payload.len(),
            Self::Head(_) | Self::Ping | Self::Close(_) => 0,
        }
    }
}

/// Marks the results of one operation, so that they can be withdrawn and are counted.
#[derive(Debug)]
pub struct OperationMark {
    withdrawn: Cell<bool>,
    /// Set once the operation runs; its results are those of this definition's field.
    definition: OnceCell<Arc<Definition>>,
    /// Set only where spans are made.
    selected: OnceCell<Box<Selected>>,
    begin: Received,
    series: OnceCell<Arc<OperationSeries>>,
    /// The task that opens the operation, while it is opening.
    opener: RefCell<Option<Waker>>,
}

impl Default for OperationMark {
    fn default() -> Self {
        Self {
            withdrawn: Cell::new(false),
            definition: OnceCell::new(),
            selected: OnceCell::new(),
            begin: Received::now(),
            series: OnceCell::new(),
            opener: RefCell::default(),
        }
    }
}

impl OperationMark {
    /// Records that the operation runs.
    pub(crate) fn start(&self, definition: &Arc<Definition>) {
        // An operation starts once.
        self.definition.set(definition.clone()).ok();
    }

    /// Whether the operation runs, or has run.
    pub(crate) fn has_started(&self) -> bool {
        self.definition.get().is_some()
    }

    /// Returns the field of an operation that runs; `None`: the host's executor runs it.
    pub(crate) fn field(&self) -> Option<&str> {
        let field = &*self.definition.get()?.field;
        (!field.is_empty()).then_some(field)
    }

    /// Notes which operation of its document it is.
    pub(super) fn select(&self, selected: Selected) {
        self.selected.set(selected.into()).ok();
    }

    /// Returns which operation of its document it is, where that is noted.
    pub(super) fn selected(&self) -> Option<&Selected> {
        self.selected.get().map(|selected| &**selected)
    }

    /// Sets where its results are counted; the first call counts.
    pub(super) fn count_in(&self, series: impl FnOnce() -> Arc<OperationSeries>) {
        self.series.get_or_init(series);
    }

    /// Counts a result that leaves. Missed events, which were received before the operation began, have no
    /// delay.
    fn sent(&self, received: Received, metrics: &Metrics) {
        if let (Some(series), Some(delay)) = (self.series.get(), received.since(self.begin)) {
            series.delivery.observe(delay);
            let timings = metrics.timings.as_ref();
            let trace =
                timings.and_then(|timings| timings.delivered(self.field(), received, delay));
            if let Some(trace_id) = trace {
                series.exemplars.note(trace_id, delay);
            }
        }
    }

    /// How long ago the operation began.
    pub(super) fn age(&self) -> Duration {
        self.begin.elapsed().unwrap_or_default()
    }

    /// Withdraws the operation: none of its results is sent from now on, including pending ones.
    pub fn withdraw(&self) {
        self.withdrawn.set(true);
        if let Some(opener) = self.opener.take() {
            opener.wake();
        }
    }

    /// Whether [`Self::withdraw`] was called.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.get()
    }

    /// Waits until [`Self::withdraw`] is called. Only one task may wait.
    pub(crate) async fn withdrawn(&self) {
        std::future::poll_fn(|cx| {
            if self.is_withdrawn() {
                return Poll::Ready(());
            }
            self.opener.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

pub(super) struct Entry {
    outgoing: Outgoing,
    /// Set for results, which a policy may drop.
    result_of: Option<Rc<OperationMark>>,
    /// When its event was received.
    received: Received,
    /// Counted bytes, released when the item leaves the queue.
    _kept: Option<KeptBytes>,
}

impl Waiting for Entry {
    type Operation = *const OperationMark;

    fn weight(&self) -> usize {
        self.outgoing.len()
    }

    fn operation(&self) -> Option<Self::Operation> {
        self.result_of.as_ref().map(Rc::as_ptr)
    }

    fn dropped(&self) {
        let operation = self.result_of.as_ref();
        if let Some(series) = operation.and_then(|operation| operation.series.get()) {
            series.dropped.add(1);
        }
    }
}

/// The outgoing queue of one connection.
pub struct Outbox {
    entries: RefCell<BoundedQueue<Entry>>,
    /// The shared budget of all connections of a socket.
    budget: Option<Arc<ByteBudget>>,
    closed: Cell<bool>,
    /// Whether a result was dropped.
    has_dropped: Cell<bool>,
    signal: Rc<Signal>,
    metrics: Arc<Metrics>,
    on_overflow: RefCell<Option<Box<dyn FnOnce()>>>,
    /// Operations that wait for room.
    room: RefCell<Vec<Waker>>,
}

impl Outbox {
    /// Creates an empty outbox for `limit_bytes` of pending messages.
    #[must_use]
    pub fn new(limit_bytes: usize, policy: SlowConsumer, metrics: Arc<Metrics>) -> Self {
        Self {
            entries: RefCell::new(BoundedQueue::new(limit_bytes, policy)),
            budget: None,
            closed: Cell::new(false),
            has_dropped: Cell::new(false),
            signal: Rc::default(),
            metrics,
            on_overflow: RefCell::new(None),
            room: RefCell::default(),
        }
    }

    /// Also counts pending messages for a budget.
    #[must_use]
    pub(crate) fn with_budget(mut self, budget: Option<Arc<ByteBudget>>) -> Self {
        self.budget = budget;
        self
    }

    /// Ready when at most half of the capacity is used.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.entries.borrow().has_room() {
            return Poll::Ready(());
        }
        let mut room = self.room.borrow_mut();
        if !room.iter().any(|waker| waker.will_wake(cx.waker())) {
            room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns the signal that is set whenever there is an item to pop.
    #[must_use]
    pub fn signal(&self) -> Rc<Signal> {
        self.signal.clone()
    }

    /// Sets the function that is called once when the client is disconnected for being too slow.
    pub fn on_overflow(&self, act: impl FnOnce() + 'static) {
        self.on_overflow.replace(Some(Box::new(act)));
    }

    /// Queues a result of an operation. Returns whether results were dropped for it, for the first
    /// time.
    pub fn push_result(
        &self,
        message: FramedMessage,
        operation: &Rc<OperationMark>,
        received: Received,
    ) -> bool {
        if self.closed.get() || operation.is_withdrawn() {
            return false;
        }
        let dropped = self.push(Outgoing::Text(message), Some(operation.clone()), received);
        if let Some(series) = operation.series.get().filter(|_| dropped.is_some()) {
            series.results.add(1);
        }
        dropped.is_some_and(|dropped| dropped > 0) && !self.has_dropped.replace(true)
    }

    /// Queues a message of the protocol, which no policy drops.
    pub fn push_control(&self, outgoing: Outgoing) {
        if self.closed.get() {
            return;
        }
        self.push(outgoing, None, Received::default());
    }

    /// Queues the close: pending items are sent before it, and no further item is accepted.
    pub fn close(&self, close: Close) {
        if !self.closed.replace(true) {
            self.entries.borrow_mut().add(Entry {
                outgoing: Outgoing::Close(close),
                result_of: None,
                received: Received::default(),
                _kept: None,
            });
            self.signal.set();
        }
    }

    /// Whether no further item is accepted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether no item is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Removes and returns the next item; skips results of operations that the client has ended.
    pub fn pop(&self) -> Option<Outgoing> {
        let next = || self.entries.borrow_mut().pop();
        let is_wanted = |entry: &Entry| match &entry.result_of {
            Some(operation) => !operation.is_withdrawn(),
            None => true,
        };
        let entry = std::iter::from_fn(next).find(is_wanted);
        self.wake_those_with_room();
        let entry = entry?;
        if let Some(operation) = &entry.result_of {
            operation.sent(entry.received, &self.metrics);
        }
        Some(entry.outgoing)
    }

    /// Returns how many results were dropped for it; `None`: it is not in the queue.
    fn push(
        &self,
        outgoing: Outgoing,
        result_of: Option<Rc<OperationMark>>,
        received: Received,
    ) -> Option<usize> {
        let kept = self
            .budget
            .as_ref()
            .map(|budget| budget.keep(outgoing.len()));
        let field = || result_of.as_ref().and_then(|operation| operation.field());
        if matches!(kept, Some(None)) {
            self.entries.borrow_mut().clear();
            self.overflow(field(), TooSlow::Memory);
            return None;
        }
        let pushed = self.entries.borrow_mut().push(Entry {
            outgoing,
            result_of: result_of.clone(),
            received,
            _kept: kept.flatten(),
        });
        match pushed {
            Pushed::Added(dropped) => {
                if dropped > 0 {
                    self.metrics.results_dropped.add(dropped as u64);
                    self.wake_those_with_room();
                }
                self.signal.set();
                Some(dropped)
            }
            Pushed::Overflow(_) => {
                self.overflow(field(), TooSlow::Client);
                None
            }
        }
    }

    fn wake_those_with_room(&self) {
        if self.entries.borrow().has_room() {
            self.room.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    fn overflow(&self, field: Option<&str>, reason: TooSlow) {
        self.metrics.too_slow(field.unwrap_or(OTHER), reason);
        self.close(Close::slow_consumer());
        if let Some(act) = self.on_overflow.take() {
            act();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(policy: SlowConsumer) -> (Outbox, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (Outbox::new(10, policy, metrics.clone()), metrics)
    }

    fn message(text: &str) -> FramedMessage {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }

    fn texts(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop())
            .map(|outgoing| match outgoing {
                Outgoing::Text(message) => {
                    String::from_utf8_lossy(&message.into_bytes()).into_owned()
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_slow_client_is_disconnected_and_its_queue_given_up() {
        let (outbox, metrics) = outbox(SlowConsumer::Disconnect);
        let operation = Rc::default();
        let ended = Rc::new(Cell::new(false));
        outbox.on_overflow({
            let ended = ended.clone();
            move || ended.set(true)
        });
        outbox.push_result(message("aaaaaa"), &operation, Received::default());
        outbox.push_result(message("bbbbbb"), &operation, Received::default());
        assert_eq!(outbox.pop(), Some(Outgoing::Close(Close::slow_consumer())));
        assert_eq!(outbox.pop(), None);
        assert!(ended.get());
        assert_eq!(metrics.snapshot().slow_consumer_disconnects, 1);
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_counts() {
        let (outbox, metrics) = outbox(SlowConsumer::DropOldest);
        let operation = Rc::default();
        for text in ["aaaa", "bbbb", "cccc"] {
            outbox.push_result(message(text), &operation, Received::default());
        }
        assert_eq!(texts(&outbox), ["bbbb", "cccc"]);
        assert_eq!(metrics.snapshot().results_dropped, 1);
    }

    #[test]
    fn latest_keeps_one_result_of_each_operation() {
        let (outbox, metrics) = outbox(SlowConsumer::Latest);
        let (one, two) = (Rc::default(), Rc::default());
        outbox.push_result(message("aaa"), &one, Received::default());
        outbox.push_result(message("bbb"), &two, Received::default());
        outbox.push_result(message("ccc"), &one, Received::default());
        outbox.push_result(message("ddd"), &one, Received::default());
        assert_eq!(texts(&outbox), ["bbb", "ddd"]);
        assert_eq!(metrics.snapshot().results_dropped, 2);
    }

    #[test]
    fn what_waits_for_one_socket_is_bounded_together() {
        let metrics = Arc::new(Metrics::default());
        let budget = ByteBudget::new(10);
        let outboxes: Vec<_> = (0..3)
            .map(|_| {
                let outbox = Outbox::new(10, SlowConsumer::Disconnect, metrics.clone());
                outbox.with_budget(Some(budget.clone()))
            })
            .collect();
        for outbox in &outboxes[..2] {
            outbox.push_result(message("aaaaa"), &Rc::default(), Received::default());
        }
        outboxes[2].push_result(message("aaaaa"), &Rc::default(), Received::default());
        assert_eq!(
            outboxes[2].pop(),
            Some(Outgoing::Close(Close::slow_consumer()))
        );
        let ended = metrics.labelled.field(OTHER);
        assert_eq!(ended.too_slow(TooSlow::Memory).get(), 1);
        assert_eq!(ended.too_slow(TooSlow::Client).get(), 0);
        assert_eq!(texts(&outboxes[0]), ["aaaaa"]);
        outboxes[1].push_result(message("bbbbb"), &Rc::default(), Received::default());
        assert_eq!(texts(&outboxes[1]), ["aaaaa", "bbbbb"]);
    }

    #[test]
    fn messages_of_the_protocol_are_never_dropped() {
        let (outbox, _) = outbox(SlowConsumer::DropOldest);
        let operation = Rc::default();
        outbox.push_control(Outgoing::Text(message("ack")));
        outbox.push_result(message("aaaaaa"), &operation, Received::default());
        outbox.push_result(message("bbbbbb"), &operation, Received::default());
        assert_eq!(texts(&outbox), ["ack", "bbbbbb"]);
    }

    #[test]
    fn a_client_that_floods_pings_and_reads_nothing_is_ended() {
        let (outbox, metrics) = outbox(SlowConsumer::DropOldest);
        for _ in 0..4 {
            outbox.push_control(Outgoing::Text(message("pong")));
        }
        assert!(outbox.is_closed());
        assert_eq!(metrics.snapshot().slow_consumer_disconnects, 1);
        let ended = metrics.labelled.field(OTHER);
        assert_eq!(ended.too_slow(TooSlow::Client).get(), 1);
    }

    #[test]
    fn results_of_an_operation_that_the_client_ended_do_not_leave() {
        let (outbox, _) = outbox(SlowConsumer::Disconnect);
        let (one, two): (Rc<OperationMark>, _) = (Rc::default(), Rc::default());
        outbox.push_result(message("one"), &one, Received::default());
        outbox.push_result(message("two"), &two, Received::default());
        one.withdraw();
        outbox.push_result(message("one"), &one, Received::default());
        assert_eq!(texts(&outbox), ["two"]);
    }

    #[test]
    fn a_result_larger_than_the_limit_passes_when_nothing_waits() {
        let (outbox, _) = outbox(SlowConsumer::Disconnect);
        outbox.push_result(
            message(&"a".repeat(50)),
            &Rc::default(),
            Received::default(),
        );
        assert_eq!(texts(&outbox).len(), 1);
    }

    #[test]
    fn nothing_follows_a_close() {
        let (outbox, _) = outbox(SlowConsumer::Disconnect);
        outbox.close(Close::going_away());
        outbox.push_control(Outgoing::Ping);
        outbox.push_result(message("late"), &Rc::default(), Received::default());
        assert_eq!(outbox.pop(), Some(Outgoing::Close(Close::going_away())));
        assert_eq!(outbox.pop(), None);
    }
}
