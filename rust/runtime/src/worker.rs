//! One worker thread: its shard, its connections, and how operations are opened on it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr, Recipient};
use futures_util::future::LocalBoxFuture;
use graphql::{GraphQLError, SubscriptionOperation};
use hashbrown::HashMap;
use protocol::{Close, Request};
use security::Guard;
use serde_json::Value;

use crate::actors::{
    AuthenticateActor, JwtActor, ShardActor, Subscribing, SubscriptionActor, start_chain,
};
use crate::catalog::{Prepared, PreparedOperation};
use crate::connection::Connection;
use crate::definition::Definition;
use crate::engine::Engine;
use crate::index::Route;
use crate::lane::{Lane, SubscriptionInfo};
use crate::messages::{Connect, Selector, Subscribe};
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
    /// The first check that clients pass.
    authenticate: Option<Recipient<Connect>>,
    /// The first check that subscriptions pass.
    checks: Option<Recipient<Subscribe>>,
    /// When identities end, and whose connections those are.
    expiries: RefCell<BTreeSet<(Deadline, u64)>>,
}

/// Milliseconds since the epoch.
pub(crate) type Deadline = u64;

/// An operation that is being opened.
pub enum Opening {
    /// It runs, or never will.
    Done(Result<Opened, Vec<GraphQLError>>),
    /// Checks decide; `sink` is not used before.
    Checking(LocalBoxFuture<'static, Result<Opened, Vec<GraphQLError>>>),
}

fn shutting_down() -> Vec<GraphQLError> {
    vec![GraphQLError::new(
        "the server is shutting down: connect again",
    )]
}

/// The subgraph that a request says it is for: by its extensions, or by a header.
fn named_subgraph(request: &Request, client: &Client) -> Option<String> {
    match request.extensions.get("subgraph") {
        // What is no name is nobody's.
        Some(named) => Some(named.as_str().unwrap_or_default().to_owned()),
        None => client.header("x-subgraph").map(str::to_owned),
    }
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
            .map(|hook| AuthenticateActor::new(hook).start().recipient());
        let authenticate = match engine.tokens.clone() {
            Some(tokens) => Some(JwtActor::new(tokens, authenticate).start().recipient()),
            None => authenticate,
        };
        let worker = Rc::new(Self {
            shard: Rc::new(Shard::new(engine.metrics.clone())),
            shared: Rc::default(),
            connections: RefCell::default(),
            address: OnceCell::new(),
            checks: start_chain(&engine),
            expiries: RefCell::default(),
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

    pub(crate) fn authenticate(&self) -> Option<&Recipient<Connect>> {
        self.authenticate.as_ref()
    }

    /// Starts what `request` asks for; responses go to `sink`. It is done at once unless there are
    /// checks to pass.
    pub fn open(
        self: &Rc<Self>,
        request: &Request,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        let prepared = match self.engine.catalog.prepare(request) {
            Err(errors) => return Opening::Done(Err(errors)),
            Ok(Prepared::Response(response)) => {
                sink.next(&response);
                sink.complete();
                return Opening::Done(Ok(Opened::Answered));
            }
            Ok(Prepared::Operation(prepared)) => prepared,
        };
        let Some(checks) = &self.checks else {
            return Opening::Done(self.run(*prepared, None, client.clone(), sink));
        };
        let answer = checks.send(Subscribe(Box::new(Subscribing {
            client: client.clone(),
            prepared,
            subgraph: named_subgraph(request, client),
            guard: Guard::default(),
        })));
        let worker = Rc::downgrade(self);
        Opening::Checking(Box::pin(async move {
            let (Ok(answer), Some(worker)) = (answer.await, worker.upgrade()) else {
                return Err(shutting_down());
            };
            let Subscribing {
                client,
                prepared,
                guard,
                ..
            } = *answer?;
            worker.run(*prepared, Some(Arc::new(guard)), client, sink)
        }))
    }

    /// Runs what has passed the checks.
    fn run(
        &self,
        prepared: PreparedOperation,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Result<Opened, Vec<GraphQLError>> {
        let PreparedOperation {
            definition,
            operation,
            route,
            delegated,
        } = prepared;
        let address = self.address.get().ok_or_else(shutting_down)?;
        let tenant = guard.as_ref().and_then(|guard| guard.tenant());
        let route = route.map(|route| match tenant {
            // The guard would keep the events of others back; so they are not even found.
            Some(tenant) => route.for_tenant(tenant.clone()),
            None => route,
        });
        let (registration, lane) = match (delegated, operation, route) {
            (None, Some(operation), Some(route)) if definition.is_grouped() => {
                let registration = if definition.is_shared {
                    self.join(definition, operation, route, guard, sink.clone(), address)
                } else {
                    let (index, plan) = (definition.index, operation.plan);
                    let shard = &self.shard;
                    shard.register_passthrough(index, route, guard, plan, sink.clone())
                };
                (registration, None)
            }
            (delegated, operation, route) => {
                let (operation_name, plan, arguments) = match (delegated, operation) {
                    (Some(request), operation) => (
                        operation.and_then(|operation| operation.name),
                        None,
                        request,
                    ),
                    (None, Some(operation)) => {
                        (operation.name, Some(operation.plan), operation.arguments)
                    }
                    (None, None) => return Err(shutting_down()),
                };
                let info = SubscriptionInfo {
                    definition,
                    arguments,
                    plan,
                    operation_name,
                    client,
                    host: OnceLock::new(),
                };
                let lane = self.lane(info, address);
                let registration = match route {
                    Some(route) => self.shard.register_lane(route, guard, lane.clone()),
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
        guard: Option<Arc<Guard>>,
        sink: Rc<dyn ResponseSink>,
        address: &Addr<ShardActor>,
    ) -> Registration {
        let key = SharedKey {
            definition: definition.index,
            arguments: Value::from(operation.arguments.clone()).to_string(),
            plan: operation.plan.clone(),
            guard,
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
            address,
            Joining {
                key,
                route,
                joined: self.engine.intake.last_offset(),
                sink,
            },
            |home| self.lane(info, home),
        );
        self.shard.register_member(membership)
    }

    /// Makes a lane whose actor will be on the worker `home`.
    fn lane(&self, info: SubscriptionInfo, home: &Addr<ShardActor>) -> Arc<Lane> {
        Arc::new(Lane::new(info, &self.engine, home.clone()))
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

    /// Ends a connection when its identity does.
    pub(crate) fn expire_at(&self, deadline: Deadline, key: u64) {
        self.expiries.borrow_mut().insert((deadline, key));
    }

    /// The connection ends otherwise.
    pub(crate) fn forget_expiry(&self, deadline: Deadline, key: u64) {
        self.expiries.borrow_mut().remove(&(deadline, key));
    }

    /// Ends the connections whose identity has ended at `now`.
    pub(crate) fn expire(&self, now: Deadline) {
        loop {
            let first = self.expiries.borrow().first().copied();
            let Some((deadline, key)) = first.filter(|(deadline, _)| *deadline <= now) else {
                return;
            };
            self.expiries.borrow_mut().remove(&(deadline, key));
            let connection = self.connections.borrow().get(&key).and_then(Weak::upgrade);
            if let Some(connection) = connection {
                connection.expired();
            }
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
