//! One worker thread: its shard, its connections, and how operations are opened on it.

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr};
use graphql::{GraphQLError, SubscriptionOperation};
use hashbrown::HashMap;
use protocol::{Close, Request};
use serde_json::Value;

use crate::actors::{AuthenticateActor, ShardActor, SubscriptionActor};
use crate::catalog::Prepared;
use crate::connection::Connection;
use crate::definition::{Definition, ResolverKind};
use crate::engine::Engine;
use crate::index::Route;
use crate::lane::{Lane, SubscriptionInfo};
use crate::messages::Selector;
use crate::resolver::Client;
use crate::shard::{Registration, Shard};
use crate::shared::{Joining, SharedKey, SharedMembers};
use crate::sink::ResponseSink;

/// What one thread shares among its connections and subscriptions.
pub struct Worker {
    engine: Arc<Engine>,
    shard: Rc<Shard>,
    shared: Rc<SharedMembers>,
    connections: RefCell<HashMap<u64, Weak<Connection>>>,
    address: OnceCell<Addr<ShardActor>>,
    authenticate: Option<Addr<AuthenticateActor>>,
}

/// An operation that was opened.
pub enum Opened {
    /// It runs; its actor ends it.
    Subscription(Addr<SubscriptionActor>),
    /// It has been answered whole: one result, then complete.
    Answered,
}

impl Worker {
    /// Starts a worker on the current thread and gives its actor's address.
    ///
    /// Must be called inside an actix arbiter, as its actors run there.
    #[must_use]
    pub fn start(engine: Arc<Engine>) -> (Rc<Self>, Addr<ShardActor>) {
        let authenticate = engine
            .authenticator
            .clone()
            .map(|authenticator| AuthenticateActor::new(authenticator).start());
        let worker = Rc::new(Self {
            shard: Rc::new(Shard::new(engine.metrics.clone())),
            shared: Rc::default(),
            connections: RefCell::default(),
            address: OnceCell::new(),
            engine,
            authenticate,
        });
        let shard = ShardActor::new(worker.clone()).start();
        // It is new.
        worker.address.set(shard.clone()).ok();
        (worker, shard)
    }

    /// What all threads share.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The subscriptions of this thread.
    #[must_use]
    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// The members of shared groups on this thread.
    pub(crate) fn shared(&self) -> &Rc<SharedMembers> {
        &self.shared
    }

    pub(crate) fn authenticate(&self) -> Option<&Addr<AuthenticateActor>> {
        self.authenticate.as_ref()
    }

    /// Starts what `request` asks for; responses go to `sink`.
    ///
    /// # Errors
    ///
    /// The request errors of the GraphQL specification, section 7.1.2; `sink` was not used.
    pub fn open(
        &self,
        request: &Request,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Result<Opened, Vec<GraphQLError>> {
        let (definition, operation, route) = match self.engine.catalog.prepare(request)? {
            Prepared::Response(response) => {
                sink.next(&response);
                sink.complete();
                return Ok(Opened::Answered);
            }
            Prepared::Delegated {
                definition,
                request,
                name,
            } => {
                let lane = Arc::new(self.lane(SubscriptionInfo {
                    definition,
                    arguments: request,
                    plan: None,
                    operation_name: name,
                    client: client.clone(),
                    host: OnceLock::new(),
                }));
                let registration = self.shard.register_stream();
                let actor = SubscriptionActor::new(sink, registration, Some(lane));
                return Ok(Opened::Subscription(actor.start()));
            }
            Prepared::Subscription {
                definition,
                operation,
                route,
            } => (definition, operation, route),
        };
        let (registration, lane) = match (definition.kind, route) {
            (ResolverKind::Passthrough, Some(route)) => {
                let (shard, plan) = (&self.shard, operation.plan);
                let registration =
                    shard.register_passthrough(definition.index, route, plan, sink.clone());
                (registration, None)
            }
            (ResolverKind::Call, Some(route)) if definition.is_shared => {
                let membership = self.join(definition, *operation, route, sink.clone());
                let ended = || vec![GraphQLError::new("the server is shutting down")];
                (membership.ok_or_else(ended)?, None)
            }
            (_, route) => {
                let lane = Arc::new(self.lane(SubscriptionInfo {
                    definition,
                    arguments: operation.arguments,
                    plan: Some(operation.plan),
                    operation_name: operation.name,
                    client: client.clone(),
                    host: OnceLock::new(),
                }));
                let registration = match route {
                    Some(route) => self.shard.register_lane(route, lane.clone()),
                    None => self.shard.register_stream(),
                };
                (registration, Some(lane))
            }
        };
        let actor = SubscriptionActor::new(sink, registration, lane);
        Ok(Opened::Subscription(actor.start()))
    }

    /// Makes a subscription a member of the group that shares its resolver calls.
    fn join(
        &self,
        definition: Arc<Definition>,
        operation: SubscriptionOperation,
        route: Route,
        sink: Rc<dyn ResponseSink>,
    ) -> Option<Registration> {
        let key = SharedKey {
            definition: definition.index,
            arguments: Value::from(operation.arguments.clone()).to_string(),
            plan: operation.plan.clone(),
        };
        let info = SubscriptionInfo {
            definition,
            arguments: operation.arguments,
            plan: Some(operation.plan),
            // Members may have different ones.
            operation_name: None,
            client: Arc::default(),
            host: OnceLock::new(),
        };
        let membership = self.shared.join(
            &self.engine.shared,
            self.address.get()?,
            Joining {
                key,
                route,
                joined: self.engine.intake.last_offset(),
                sink,
            },
            || Arc::new(self.lane(info)),
        );
        Some(self.shard.register_member(membership))
    }

    fn lane(&self, info: SubscriptionInfo) -> Lane {
        let engine = &self.engine;
        Lane::new(
            info,
            engine.limits.slow_consumer,
            engine.metrics.clone(),
            engine.intake.clone(),
            engine.resolver.clone(),
        )
    }

    pub(crate) fn add_connection(&self, key: u64, connection: &Rc<Connection>) {
        self.engine.roster.add(key, connection.connected().clone());
        self.engine.metrics.connections.add(1);
        self.connections
            .borrow_mut()
            .insert(key, Rc::downgrade(connection));
    }

    pub(crate) fn remove_connection(&self, key: u64) {
        if self.connections.borrow_mut().remove(&key).is_some() {
            self.engine.metrics.connections.add(-1);
            self.engine.roster.remove(key);
        }
    }

    /// The connections at this moment; they may come and go while they are handled.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        let connections = self.connections.borrow();
        connections.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn keep_alive(&self) {
        for connection in self.connections() {
            connection.keep_alive();
        }
    }

    pub(crate) fn drain(&self) {
        for connection in self.connections() {
            connection.drain();
        }
    }

    pub(crate) fn close_connections(&self, selector: &Selector, close: &Close) -> usize {
        let selected = self.connections().into_iter().filter(|connection| {
            let client = connection.client();
            let identity = client.as_ref().and_then(|c| c.identity.as_ref());
            selector.selects(connection.id(), identity)
        });
        selected
            .map(|connection| connection.close(close.clone()))
            .count()
    }
}
