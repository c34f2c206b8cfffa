//! Applies rates to the client of a connection: counts its actions, and answers those past a rate.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use graphql::GraphQLError;
use protocol::OperationKind;
use security::{Check, Denied};

use super::Connection;
use crate::audit;
use crate::catalog::PreparedRequest;
use crate::client::Buckets;
use crate::client::Client;

impl Connection {
    /// Counts a message; past the rate, answers the client and returns false.
    pub(super) fn takes_message(self: &Rc<Self>) -> bool {
        let taken = match &*self.buckets.borrow() {
            Some(buckets) => buckets.send(),
            None => Ok(()),
        };
        let Err(wait) = taken else { return true };
        if !self.outbox.is_closed() {
            self.denied(Check::Rate);
        }
        let actions = self.session.borrow_mut().too_many_messages(wait);
        self.act(actions);
        false
    }

    /// Counts a client that is refused, or has disconnected, before it was authenticated.
    pub(super) fn came_to_nothing(&self) {
        if self.accepted.borrow().is_none() && !self.is_counted.replace(true) {
            let peer = self.connected.peer.as_deref();
            self.registry.state().refused(peer);
        }
    }

    /// Counts an operation, also if it is refused later. Operations of an event stream were counted
    /// with their request.
    pub(super) fn takes_operation(&self, client: &Client) -> Result<(), Duration> {
        match &client.buckets {
            Some(buckets) if self.is_websocket || self.is_exchange => buckets.subscribe(),
            _ => Ok(()),
        }
    }

    pub(super) fn too_many_operations(&self) -> GraphQLError {
        self.registry.state().metrics.denied(Check::Rate);
        let client = self.client();
        let identity = client
            .as_ref()
            .and_then(|client| client.identity.as_deref());
        audit::operation_denied(identity, Some(self.id()));
        GraphQLError::new(Denied::Rate.to_string()).with_code(Denied::Rate.code())
    }

    /// Returns the rate of an operation's results: none for the single result of a query or a
    /// mutation, which its client needs.
    pub(super) fn buckets_of_results(
        &self,
        client: &Client,
        prepared: &PreparedRequest,
    ) -> Option<Arc<Buckets>> {
        let buckets = client
            .buckets
            .as_ref()
            .filter(|buckets| buckets.limits_results())?;
        let kind = self.registry.state().catalog.kind(prepared);
        (kind == Some(OperationKind::Subscription)).then(|| buckets.clone())
    }
}
