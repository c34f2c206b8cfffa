//! How a connection ends: by the drain, by a close from either side, or with its transport.

use std::rc::Rc;

use protocol::{Action, Close};

use super::Connection;
use crate::clock::run_for;
use crate::config::CLOSE_TIMEOUT;
use crate::subscription::FinishSubscription;

impl Connection {
    /// Closes the connection with 1001 once what is under way is answered.
    pub(crate) fn leave(&self) {
        if self.leaving.replace(true) {
            // Its operations know it: a client may ask again and again.
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

    /// What a body still has to say about its close, in place of [`Outgoing::Close`].
    pub(crate) fn closing_actions(&self, close: &Close) -> Vec<Action> {
        self.session.borrow_mut().closing_actions(close)
    }

    /// Closes the connection. Results that still wait are withdrawn with their operations;
    /// messages of the protocol leave before the close.
    pub fn close(&self, close: Close) {
        if close.is_ours() {
            // Whoever is sent away by the server has done nothing.
            self.is_counted.set(true);
        }
        self.came_to_nothing();
        // A response that is complete may take the time that its client needs.
        let is_answered = !self.is_websocket && close == Close::normal();
        self.outbox.close(close);
        self.end_operations();
        if self.session.borrow().is_unread() {
            self.transport.shut_down();
        } else if !is_answered {
            self.shut_down_late();
        }
    }

    /// Ends all operations of a client that has left or is shut out.
    pub(super) fn end(&self) {
        self.end_operations();
        self.shut_down_late();
    }

    pub(super) fn end_operations(&self) {
        self.stop_initialising();
        self.session.borrow_mut().close();
        let ended: Vec<_> = self.operations.borrow_mut().drain().collect();
        for (_, running) in ended {
            running.stop();
        }
        self.count_operations();
    }

    /// The socket is shut after a grace if the client does not take the close: a socket that
    /// cannot be written would otherwise stay for ever.
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

    /// The transport is gone: ends what is left and takes the connection off its worker.
    pub fn closed(&self) {
        self.came_to_nothing();
        self.registry.remove(self.key);
        self.registry.forget_expiry(self.key);
        self.end_operations();
    }
}
