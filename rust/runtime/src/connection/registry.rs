//! The open connections of one worker: keepalive, expiry, drain, close.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use actix::Recipient;
use bus::cluster::{Owner, Selector};
use hashbrown::HashMap;
use protocol::Close;
use tokio::time::Instant;

use super::expiry::{Expiries, ExpiryClock};
use super::{ClientPath, Connection};
use crate::admission::{Connect, start_authentication};
use crate::client::owner;
use crate::operation::Opener;
use crate::state::RuntimeState;

/// The open connections of one worker, and the worker's services for them.
pub struct Registry {
    opener: Rc<Opener>,
    /// The first check that clients pass.
    authenticate: Option<Recipient<Connect>>,
    connections: RefCell<HashMap<u64, Weak<Connection>>>,
    /// Expiry times of their identities.
    expiries: RefCell<Expiries>,
}

impl Registry {
    /// Starts the actors that authenticate clients on the current thread, which must be inside an
    /// actix arbiter.
    pub(crate) fn new(opener: Rc<Opener>) -> Self {
        let state = opener.state();
        let authenticate = start_authentication(state.tokens.clone(), state.authenticator.clone());
        Self {
            opener,
            authenticate,
            connections: RefCell::default(),
            expiries: RefCell::default(),
        }
    }

    /// Returns the state that all threads share.
    pub(crate) fn state(&self) -> &Arc<RuntimeState> {
        self.opener.state()
    }

    /// Returns the opener of these connections' operations.
    pub(crate) fn opener(&self) -> &Rc<Opener> {
        &self.opener
    }

    pub(crate) fn authenticate(&self) -> Option<&Recipient<Connect>> {
        self.authenticate.as_ref()
    }

    pub(crate) fn add(&self, key: u64, connection: &Rc<Connection>) {
        self.state().roster.add(key, connection.connected().clone());
        let protocol = connection.connected().protocol;
        self.state().metrics.connected(protocol);
        self.connections
            .borrow_mut()
            .insert(key, Rc::downgrade(connection));
    }

    pub(crate) fn remove(&self, key: u64) {
        if self.connections.borrow_mut().remove(&key).is_some()
            && let Some(connected) = self.state().roster.remove(key)
        {
            let age = connected.opened.elapsed();
            self.state().metrics.disconnected(connected.protocol, age);
        }
    }

    /// Returns the connection with this key, if it is open.
    pub(crate) fn find(&self, key: u64) -> Option<Rc<Connection>> {
        self.connections.borrow().get(&key).and_then(Weak::upgrade)
    }

    /// Returns the open connections; the list may change while they are handled.
    pub(crate) fn live(&self) -> Vec<Rc<Connection>> {
        let connections = self.connections.borrow();
        connections.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn keep_alive(&self) {
        for connection in self.live() {
            connection.keep_alive();
        }
    }

    /// Closes a connection when its identity expires, `seconds` after the epoch.
    pub(crate) fn expire_at(&self, seconds: f64, key: u64) {
        let mut expiries = self.expiries.borrow_mut();
        expiries.add(key, seconds, ExpiryClock::now());
    }

    /// Removes the expiry of a connection that has ended otherwise.
    pub(crate) fn forget_expiry(&self, key: u64) {
        self.expiries.borrow_mut().remove(key);
    }

    /// Closes the connections whose identity has expired.
    pub(crate) fn expire(&self) {
        let now = ExpiryClock::now();
        loop {
            let ended = self.expiries.borrow_mut().take(now);
            let Some(key) = ended else { return };
            if let Some(connection) = self.find(key) {
                connection.expired();
            }
        }
    }

    /// Returns the keys of the open connections, and the ways to their clients.
    pub(crate) fn paths(&self) -> Vec<(u64, ClientPath)> {
        let live = self.live();
        live.iter().map(|one| (one.key, one.path())).collect()
    }

    /// Closes connections, each at its time, in this order.
    pub(crate) fn drain(self: &Rc<Self>, departures: Vec<(u64, Instant)>) {
        let registry = Rc::downgrade(self);
        actix::spawn(async move {
            for (key, time) in departures {
                tokio::time::sleep_until(time).await;
                let Some(registry) = registry.upgrade() else {
                    return;
                };
                if registry.state().is_hurried() {
                    // The drain closes all of them.
                    return;
                }
                if let Some(connection) = registry.find(key) {
                    connection.leave();
                }
            }
        });
    }

    /// Closes the selected connections. Returns how many.
    pub(crate) fn close(&self, selector: &Selector, close: &Close) -> usize {
        self.close_some(|owner| selector.selects(owner).then(|| close.clone()))
    }

    /// Closes the connections that are revoked. Returns how many.
    pub(crate) fn close_revoked(&self) -> usize {
        let closed = self.close_some(|owner| self.state().revoked(owner));
        self.state().metrics.connections_revoked.add(closed as u64);
        closed
    }

    fn close_some(&self, close: impl Fn(Owner<'_>) -> Option<Close>) -> usize {
        let mut closed = 0;
        for connection in self.live() {
            let client = connection.client();
            let identity = client.as_ref().and_then(|c| c.identity.as_deref());
            if let Some(close) = close(owner(connection.id(), identity)) {
                connection.close(close);
                closed += 1;
            }
        }
        closed
    }
}
