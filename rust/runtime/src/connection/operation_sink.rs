//! Queues the results of one operation in the outbox of its connection.
//!
//! Not here: start and end of an operation (the connection), bounds of pending results (the
//! outbox).

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use bus::{LocalPosition, Stream};
use bytes::Bytes;
use graphql::GraphQLError;
use protocol::{Amendment, EventId, Framing, OperationId};

use super::Connection;
use super::outbox::{OperationMark, Outbox, Outgoing};
use crate::catalog::Definition;
use crate::client::Buckets;
use crate::journal;
use crate::metrics::{Metrics, OTHER, OperationSeries, RunningOperation};
use crate::subscription::ResponseSink;

/// Queues the results of one operation in the outbox of its connection.
pub(super) struct OperationSink {
    pub(super) connection: Weak<Connection>,
    pub(super) outbox: Rc<Outbox>,
    pub(super) framing: Framing,
    /// The stream of its events, held for its positions.
    pub(super) stream: OnceCell<Arc<Stream>>,
    /// Whether a head may have to be sent before the next result.
    pub(super) needs_head: Cell<bool>,
    pub(super) id: OperationId,
    pub(super) mark: Rc<OperationMark>,
    pub(super) buckets: Option<Arc<Buckets>>,
    pub(super) metrics: Arc<Metrics>,
    /// Counts the operation as running, once it is.
    pub(super) running: OnceCell<RunningOperation>,
}

impl OperationSink {
    fn live_connection(&self) -> Option<Rc<Connection>> {
        if self.mark.is_withdrawn() {
            return None;
        }
        self.connection.upgrade()
    }

    /// The counters of the operation. Without a connection nothing is sent any more.
    fn series(&self, field: &str) -> Arc<OperationSeries> {
        let connection = self.connection.upgrade();
        let (protocol, worker) = connection.map_or((OTHER, 0), |connection| {
            (connection.connected.protocol, connection.worker())
        });
        self.metrics.labelled.operation(field, protocol, worker)
    }
}

impl ResponseSink for OperationSink {
    fn retain(&self, bytes: usize) -> Result<(), Vec<GraphQLError>> {
        match self.live_connection() {
            Some(connection) => connection.retain(&self.id, &self.mark, bytes),
            None => Ok(()),
        }
    }

    fn start(&self, definition: &Arc<Definition>) {
        self.mark.start(definition);
        self.running.get_or_init(|| {
            let series = self.series(&definition.field);
            self.mark.count_in(|| series.clone());
            RunningOperation::begin(series)
        });
    }

    fn operation(&self) -> Option<OperationId> {
        Some(self.id.clone())
    }

    fn follow(&self, stream: Arc<Stream>) {
        // An operation follows one stream.
        self.stream.set(stream).ok();
    }

    fn next(&self, response: &Bytes) {
        self.next_of(response, None);
    }

    fn next_of(&self, response: &Bytes, at: Option<LocalPosition>) {
        if self.mark.is_withdrawn() {
            return;
        }
        if let Some(buckets) = &self.buckets
            && !buckets.may_receive()
        {
            return self.metrics.results_rate_limited.add(1);
        }
        if self.needs_head.replace(false)
            && let Some(connection) = self.connection.upgrade()
            && let Some(head) = connection.session.borrow_mut().first_result()
        {
            self.outbox.push_control(Outgoing::Head(head));
        }
        let id = at.as_ref().map(|at| &at.position as EventId<'_>);
        // What is of no field, such as a description of the schema, was not counted as one.
        self.mark.count_in(|| self.series(OTHER));
        let received = at.map(|at| at.received).unwrap_or_default();
        let framed = self.framing.frame(response, id);
        if self.outbox.push_result(framed, &self.mark, received)
            && let Some(connection) = self.connection.upgrade()
        {
            journal::results_dropped(connection.connected(), self.id.as_str(), self.mark.field());
        }
    }

    fn announce_position(&self, at: Option<LocalPosition>, missed: bool) {
        // No policy drops this message, because its client waits for it.
        let id = at.as_ref().map(|at| &at.position as EventId<'_>);
        if let Some(message) = self.framing.announce_position(id, missed)
            && !self.mark.is_withdrawn()
        {
            self.outbox.push_control(Outgoing::Text(message));
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.outbox.poll_room(cx)
    }

    fn amend(&self, amendment: Amendment) {
        if let Some(connection) = self.live_connection() {
            connection.session.borrow_mut().amend(amendment);
        }
    }

    fn error(&self, errors: &[u8]) {
        if let Some(connection) = self.live_connection() {
            connection.operation_failed(&self.id, errors);
        }
    }

    fn complete(&self) {
        if let Some(connection) = self.live_connection() {
            connection.operation_completed(&self.id);
        }
    }

    fn drained(&self) {
        if let Some(connection) = self.live_connection() {
            connection.operation_drained(&self.id);
        }
    }
}
