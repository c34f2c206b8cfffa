//! The end of a connection: by the drain, by a close from either side, or with its transport.

use std::rc::Rc;

use protocol::{Action, Close, OperationId};

use super::Connection;
use super::outbox::OperationMark;
use crate::clock::run_for;
use crate::config::CLOSE_TIMEOUT;
use crate::journal::{self, ConnectionEnd, OperationEnd};
use crate::subscription::FinishSubscription;

impl Connection {
    /// Closes the connection with 1001 once its running queries and mutations have ended.
    pub(crate) fn leave(&self) {
        if self.leaving.replace(true) {
            // Its operations already drain; a client may send further operations.
            return self.close_when_done();
        }
        for running in self.operations.borrow().values() {
            if let Some(actor) = &running.actor {
                actor.do_send(FinishSubscription);
            }
        }
        self.close_when_done();
    }

    pub(super) fn close_when_done(&self) {
        let is_done = self.operations.borrow().is_empty() && !self.awaits_operation.get();
        if self.leaving.get() && is_done {
            self.close(Close::going_away());
        }
    }

    /// Returns the final actions of a body, instead of [`Outgoing::Close`](super::outbox::Outgoing::Close).
    pub(crate) fn closing_actions(&self, close: &Close) -> Vec<Action> {
        self.session.borrow_mut().closing_actions(close)
    }

    /// Closes the connection. Drops pending results with their operations; pending messages of the
    /// protocol are sent before the close.
    pub fn close(&self, close: Close) {
        if close.is_ours() {
            // A client that the server closes for its own reasons does not count as refused.
            self.is_counted.set(true);
        }
        self.came_to_nothing();
        self.end_told(&close);
        // A complete response may be read as slowly as the client needs.
        let is_answered = !self.is_websocket && close == Close::normal();
        self.outbox.close(close);
        self.end_operations();
        if self.session.borrow().is_unread() {
            self.transport.shut_down();
        } else if !is_answered {
            self.shut_down_late();
        }
    }

    /// Logs the end of the connection, once.
    pub(super) fn end_told(&self, close: &Close) {
        if !self.is_told.replace(true) {
            journal::connection_ended(&self.connected, ConnectionEnd::Closed(close));
            self.time_end(&close.reason);
        }
    }

    /// Logs the end of a connection whose client does not answer, once.
    pub(super) fn loss_told(&self) {
        if !self.is_told.replace(true) {
            journal::connection_ended(&self.connected, ConnectionEnd::Silent);
            self.time_end("the client does not answer");
        }
    }

    fn time_end(&self, reason: &str) {
        if let Some(timings) = &self.registry.state().metrics.timings {
            timings.connection_ended(&self.connected, reason);
        }
    }

    /// Logs the end of an operation that has run.
    pub(super) fn tell_end(&self, id: &OperationId, mark: &OperationMark, end: OperationEnd) {
        if !mark.has_started() {
            return;
        }
        journal::operation_ended(&*self.connected, Some(id.as_str()), mark.field(), end);
        if let Some(timings) = &self.registry.state().metrics.timings {
            let (of, took) = ((mark.field(), mark.selected()), mark.age());
            timings.operation_ended(&self.connected, of, took, end.text(), end.has_failed());
        }
    }

    /// Ends all operations of a client that has disconnected or is refused.
    pub(super) fn end(&self) {
        self.end_operations();
        self.shut_down_late();
    }

    pub(super) fn end_operations(&self) {
        self.stop_initialising();
        self.session.borrow_mut().close();
        let ended = self.operations.borrow_mut().take_all();
        for (id, running) in ended {
            self.tell_end(&id, &running.mark, OperationEnd::Connection);
            running.stop();
        }
        self.count_operations();
    }

    /// Shuts down the socket after a grace period if the client does not read the close; otherwise
    /// a socket that cannot be written would stay open forever.
    fn shut_down_late(&self) {
        let registry = Rc::downgrade(&self.registry);
        let key = self.key;
        actix::spawn(async move {
            run_for(CLOSE_TIMEOUT).await;
            let late = registry.upgrade().and_then(|registry| registry.find(key));
            if let Some(connection) = late {
                connection.transport.shut_down();
            }
        });
    }

    /// Handles that the transport is closed: ends the operations and removes the connection from
    /// its worker.
    pub fn closed(&self) {
        self.came_to_nothing();
        self.registry.remove(self.key);
        self.registry.forget_expiry(self.key);
        self.end_operations();
        if !self.is_told.replace(true) {
            journal::connection_ended(&self.connected, ConnectionEnd::Left);
            self.time_end("the client has left");
        }
    }
}
