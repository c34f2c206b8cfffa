//! Queues the results of one operation in the outbox of its connection.
//!
//! Not here: start and end of an operation (the connection), bounds of pending results (the
//! outbox).

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use bus::Stream;
use bytes::Bytes;
use graphql::GraphQLError;
use protocol::{Amendment, EventId, Framing, OperationId};

use super::Connection;
use super::outbox::{OperationMark, Outbox, Outgoing};
use crate::client::Buckets;
use crate::metrics::Metrics;
use crate::subscription::ResponseSink;

/// Queues the results of one operation in the outbox of its connection.
pub(super) struct OperationSink {
    pub(super) connection: Weak<Connection>,
    pub(super) outbox: Rc<Outbox>,
    pub(super) framing: Framing,
    /// The stream of its events.
    pub(super) events: OnceCell<Arc<Stream>>,
    /// Whether a head may have to be sent before the next result.
    pub(super) needs_head: Cell<bool>,
    pub(super) id: OperationId,
    pub(super) mark: Rc<OperationMark>,
    pub(super) buckets: Option<Arc<Buckets>>,
    pub(super) metrics: Arc<Metrics>,
}

impl OperationSink {
    fn event_id(&self, offset: Option<u64>) -> Option<EventId<'_>> {
        let epoch = self.events.get()?.epoch();
        offset.map(|offset| EventId { epoch, offset })
    }

    fn live_connection(&self) -> Option<Rc<Connection>> {
        if self.mark.is_withdrawn() {
            return None;
        }
        self.connection.upgrade()
    }
}

impl ResponseSink for OperationSink {
    fn retain(&self, bytes: usize) -> Result<(), Vec<GraphQLError>> {
        match self.live_connection() {
            Some(connection) => connection.retain(&self.id, &self.mark, bytes),
            None => Ok(()),
        }
    }

    fn follow(&self, stream: Arc<Stream>) {
        // An operation follows one stream.
        self.events.set(stream).ok();
    }

    fn next(&self, response: &Bytes) {
        self.next_of(response, None);
    }

    fn next_of(&self, response: &Bytes, offset: Option<u64>) {
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
        self.outbox.push_result(
            self.framing.frame(response, self.event_id(offset)),
            &self.mark,
        );
    }

    fn announce_position(&self, offset: Option<u64>, missed: bool) {
        // No policy drops this message, because its client waits for it.
        if let Some(message) = self
            .framing
            .announce_position(self.event_id(offset), missed)
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
