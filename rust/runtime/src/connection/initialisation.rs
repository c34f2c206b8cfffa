//! The authentication of a client: its checks, their time limit, and their cancellation.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Close, JsonObject};
use security::Check;
use tokio::sync::oneshot;

use super::Connection;
use super::task::Task;
use crate::admission::{Connect, Decision};
use crate::audit;
use crate::client::{Client, owner};
use crate::clock::{epoch_seconds, run_for};
use crate::journal;

impl Connection {
    pub(super) fn initialise(self: &Rc<Self>, payload: Option<JsonObject>) {
        let Some(mut client) = self.client.take().map(|client| *client) else {
            return;
        };
        *client.connection_params.get_mut() = payload;
        let Some(authenticate) = self.registry.authenticate() else {
            return self.accept(client);
        };
        let (reply, decision) = oneshot::channel();
        authenticate.do_send(Connect { client, reply });
        if !self.is_websocket {
            // It has no time limit yet.
            self.set_initialisation_time(self.registry.state().limits.request_timeout);
        }
        let connection = Rc::downgrade(self);
        let waiting = Task::spawn(async move {
            let decision = decision.await;
            if let Some(connection) = connection.upgrade() {
                connection.decided(decision.ok());
            }
        });
        self.authenticating.replace(Some(waiting));
    }

    /// Handles the decision about the client; `None`: the checks have ended without one.
    fn decided(self: &Rc<Self>, decision: Option<Decision>) {
        match decision {
            Some((client, Ok(()))) => self.accept(client),
            Some((_, Err(refused))) => {
                self.came_to_nothing();
                self.denied(Check::Authentication);
                let error = refused.error.as_ref();
                let actions = self.session.borrow_mut().refuse(error);
                self.act(actions);
            }
            None => self.close(Close::try_again_later("Try again later")),
        }
        self.authenticating.take();
    }

    /// Closes the connection unless the client is accepted, or has opened its stream, within
    /// `time`.
    pub(super) fn set_initialisation_time(self: &Rc<Self>, time: Duration) {
        let connection = Rc::downgrade(self);
        let waiting = Task::spawn(async move {
            run_for(time).await;
            if let Some(connection) = connection.upgrade() {
                connection.initialisation_timed_out();
            }
        });
        self.initialising.replace(Some(waiting));
    }

    fn initialisation_timed_out(self: &Rc<Self>) {
        // Cancels the checks of the client.
        if self.authenticating.take().is_some() {
            self.came_to_nothing();
            self.registry.state().metrics.denied(Check::Authentication);
            audit::authentication_timed_out(self.id());
        }
        let action = self.session.borrow_mut().initialisation_timed_out();
        self.act(action);
    }

    /// Cancels the checks of a client that is not accepted yet.
    pub(super) fn stop_initialising(&self) {
        self.authenticating.take();
        self.initialising.take();
    }

    fn accept(self: &Rc<Self>, mut client: Client) {
        self.initialising.take();
        let mut is_counted = true;
        if let Some(rates) = &self.registry.state().rates {
            if let Some(shared) = rates.of_client(&client, self.is_exchange) {
                // The `connection_init` counts as a message of the accepted client.
                is_counted = !self.is_websocket && rates.knows_by_head();
                self.buckets.replace(Some(shared));
            }
            client.buckets.clone_from(&self.buckets.borrow());
        }
        if !self.registry.state().catalog.takes_clients() {
            client.forget_head();
            client.connection_params.get_mut().take();
        }
        let identity = client.identity.as_deref();
        let is_expired = identity.is_some_and(|identity| identity.is_expired(epoch_seconds()));
        let revoked = self.registry.state().revoked(owner(self.id(), identity));
        let expiry = identity.and_then(|identity| identity.expires_at);
        let ack = client.ack.take();
        if let Some((account, buckets)) = client.account.take().zip(client.buckets.clone()) {
            // A client is accepted once.
            account.set(buckets).ok();
        }
        let client = Arc::new(client);
        journal::connection_accepted(&client);
        self.connected.set_client(client.clone());
        self.accepted.replace(Some(client));
        if !is_counted && !self.takes_message() {
            return;
        }
        if is_expired {
            return self.expired();
        }
        if let Some(close) = revoked {
            self.registry.state().metrics.connections_revoked.add(1);
            self.denied(Check::Authentication);
            return self.close(close);
        }
        if let Some(seconds) = expiry {
            self.registry.expire_at(seconds, self.key);
        }
        if self.session.borrow().is_event_stream() {
            self.set_initialisation_time(self.registry.state().limits.connection_init_timeout);
        }
        let actions = self.session.borrow_mut().accept(ack.as_ref());
        self.act(actions);
    }
}
