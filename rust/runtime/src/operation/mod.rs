//! How operations are opened on a worker: prepared, checked, registered, started.

use std::cell::OnceCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr, Recipient};
use futures_util::future::{Either, LocalBoxFuture, select};
use graphql::{GraphQLError, Plan};
use parking_lot::Mutex;
use protocol::{Request, Resume};
use security::Guard;

use crate::admission::{Checks, Subscribe, Subscribing, start_chain};
use crate::background::Busy;
use crate::catalog::{Prepared, PreparedOperation, ResolverKind};
use crate::client::{Client, SUBGRAPH_HEADER};
use crate::engine::Engine;
use crate::error::shutting_down;
use crate::routing::Route;
use crate::subscription::{
    CallGroupKey, CallGroupMembers, GoLive, Joining, Lane, LaneContext, Registration, Replay,
    ResponseSink, Shard, StartPosition, SubscriptionActor, SubscriptionInfo, WorkerAddress,
};

/// Opens the operations of one worker.
pub(crate) struct Opener {
    engine: Arc<Engine>,
    lanes: LaneContext,
    shard: Rc<Shard>,
    shared: Rc<CallGroupMembers>,
    address: OnceCell<WorkerAddress>,
    /// The first check that subscriptions pass.
    checks: Option<Recipient<Subscribe>>,
}

/// An operation that is being opened.
pub(crate) enum Opening {
    /// It runs, or never will.
    Done(Result<Opened, Vec<GraphQLError>>),
    /// Checks decide, or the schema is being described.
    Checking(LocalBoxFuture<'static, Result<Opened, Vec<GraphQLError>>>),
}

/// Waits for an operation that is being opened, and drops what is left to do when nothing wants it
/// any more: `gone` is done.
pub(crate) async fn opened_unless(
    opening: LocalBoxFuture<'static, Result<Opened, Vec<GraphQLError>>>,
    gone: impl Future<Output = ()>,
) -> Result<Opened, Vec<GraphQLError>> {
    match select(opening, pin!(gone)).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(Vec::new()),
    }
}

fn busy() -> Vec<GraphQLError> {
    vec![GraphQLError::new(
        "too many clients ask for the schema at once: try again",
    )]
}

/// The subgraph that a request says it is for: by its extensions, or by a header.
fn named_subgraph(request: &Request, client: &Client) -> Option<String> {
    let named = request.extensions.subgraph();
    named.or(client.header(SUBGRAPH_HEADER)).map(str::to_owned)
}

/// Where a subscription has its place.
struct Placed {
    go_live: GoLive,
    /// Its own, if it has one.
    lane: Option<Arc<Lane>>,
    /// What makes its results when no lane does.
    plan: Option<Arc<Plan>>,
}

/// An operation that was opened.
pub(crate) enum Opened {
    /// It runs; its actor ends it.
    Subscription(Addr<SubscriptionActor>),
    /// It has been answered whole: one result, then complete.
    Answered,
}

impl Opener {
    /// Starts the checks on the current thread, which must be inside an actix arbiter.
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let checks = start_chain(Checks {
            policy: &engine.policy,
            catalog: &engine.catalog,
            metrics: &engine.metrics,
        });
        Self {
            lanes: engine.lane_context(),
            shard: Rc::new(Shard::new(engine.metrics.clone())),
            shared: Rc::default(),
            address: OnceCell::new(),
            checks,
            engine,
        }
    }

    /// Sets where its worker takes what other threads send.
    pub(crate) fn set_address(&self, address: WorkerAddress) {
        // It is set once, when the worker starts.
        self.address.set(address).ok();
    }

    /// What all threads share.
    #[must_use]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The subscriptions of this thread.
    #[must_use]
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// The members of shared groups on this thread.
    pub(crate) fn shared(&self) -> &Rc<CallGroupMembers> {
        &self.shared
    }

    /// Starts what `request` asks for; responses go to `sink`. It is done at once unless there are
    /// checks to pass.
    pub(crate) fn open(
        self: &Rc<Self>,
        request: &Request,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        let resume = match request.resume() {
            Ok(resume) => resume,
            Err(fault) => {
                let error = GraphQLError::new(fault.to_string()).with_code("BAD_USER_INPUT");
                return Opening::Done(Err(vec![error]));
            }
        };
        let catalog = &self.engine.catalog;
        if !catalog.describes_schema(request) {
            return self.proceed(catalog.prepare(request), request, client, resume, sink);
        }
        let (engine, opener) = (self.engine.clone(), Rc::downgrade(self));
        let (catalog, request) = (catalog.clone(), Arc::new(request.clone()));
        let client = client.clone();
        Opening::Checking(Box::pin(async move {
            let asked = request.clone();
            let prepared = engine.background.run(move || catalog.prepare(&asked)).await;
            let prepared = prepared.map_err(|Busy| busy())?;
            let opener = opener.upgrade().ok_or_else(shutting_down)?;
            match opener.proceed(prepared, &request, &client, resume, sink) {
                Opening::Done(opened) => opened,
                Opening::Checking(opening) => opening.await,
            }
        }))
    }

    /// Starts what was prepared, or answers it.
    fn proceed(
        self: &Rc<Self>,
        prepared: Result<Prepared, Vec<GraphQLError>>,
        request: &Request,
        client: &Arc<Client>,
        resume: Resume,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        let prepared = match prepared {
            Err(errors) => return Opening::Done(Err(errors)),
            Ok(Prepared::Response(response)) => {
                sink.next(&response);
                sink.complete();
                return Opening::Done(Ok(Opened::Answered));
            }
            Ok(Prepared::Operation(prepared)) => prepared,
        };
        let document = request.query.as_ref().map_or(0, String::len);
        if let Err(errors) = sink.retain(prepared.kept_bytes() + document) {
            return Opening::Done(Err(errors));
        }
        let Some(checks) = &self.checks else {
            return Opening::Done(self.run(*prepared, None, client.clone(), &resume, sink));
        };
        let answer = checks.send(Subscribe(Box::new(Subscribing {
            client: client.clone(),
            prepared,
            subgraph: named_subgraph(request, client),
            guard: Guard::default(),
        })));
        let opener = Rc::downgrade(self);
        Opening::Checking(Box::pin(async move {
            let (Ok(answer), Some(opener)) = (answer.await, opener.upgrade()) else {
                return Err(shutting_down());
            };
            let Subscribing {
                client,
                prepared,
                guard,
                ..
            } = *answer?;
            opener.run(*prepared, Some(Arc::new(guard)), client, &resume, sink)
        }))
    }

    /// Runs what has passed the checks.
    fn run(
        self: &Rc<Self>,
        prepared: PreparedOperation,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        resume: &Resume,
        sink: Rc<dyn ResponseSink>,
    ) -> Result<Opened, Vec<GraphQLError>> {
        let tenant = guard.as_ref().and_then(|guard| guard.tenant());
        let route = prepared.route.clone().map(|route| match tenant {
            // The guard would keep the events of others back; so they are not even found.
            Some(tenant) => route.for_tenant(tenant.clone()),
            None => route,
        });
        let stream = route.as_ref().map(|route| self.engine.stream_of(route));
        if let Some(stream) = &stream {
            sink.follow(stream.clone());
        }
        let is_subscription = prepared.operation.is_some();
        let has_initial = prepared.definition.has_initial;
        let place = route.as_ref().zip(stream.as_ref());
        let start = if is_subscription {
            StartPosition::find(self.engine.kept(), resume, place, guard.as_ref())
        } else {
            StartPosition::Now { missed: false }
        };
        let is_late = matches!(start, StartPosition::Replay(_));
        let Placed {
            mut go_live,
            lane,
            plan,
        } = self.place(prepared, route, guard, client, is_late, sink.clone())?;
        let actor = match start {
            StartPosition::Replay(missed) => {
                let waiting = self.shard.register_stream();
                let replay = Replay {
                    missed,
                    go_live,
                    plan,
                };
                SubscriptionActor::new(sink, waiting, lane).with_replay(replay)
            }
            StartPosition::Now { missed } => {
                // Events already on their way are not delivered to this subscription.
                let (now, registration) = loop {
                    let now = stream.as_ref().map(|stream| stream.last_offset());
                    if let Some(registration) = go_live(now.unwrap_or_default()) {
                        break (now, registration);
                    }
                };
                if is_subscription {
                    // With an initial value its position is known once it has that.
                    sink.announce_position(now.filter(|_| !has_initial), missed);
                }
                SubscriptionActor::new(sink, registration, lane)
            }
        };
        Ok(Opened::Subscription(actor.start()))
    }

    /// Finds what a subscription needs: how it is registered, and its lane if it has its own.
    /// `is_late`: it has events to catch up with first.
    fn place(
        self: &Rc<Self>,
        prepared: PreparedOperation,
        route: Option<Route>,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        is_late: bool,
        sink: Rc<dyn ResponseSink>,
    ) -> Result<Placed, Vec<GraphQLError>> {
        let PreparedOperation {
            definition,
            operation,
            arguments,
            name: operation_name,
            delegated,
            ..
        } = prepared;
        let address = self.address.get().ok_or_else(shutting_down)?;
        let opener = self.clone();
        let (plan, arguments) = match (delegated, operation) {
            (Some(request), _) => (None, request),
            (None, Some(operation)) => (Some(operation.plan), arguments),
            (None, None) => return Err(shutting_down()),
        };
        let projected = plan.clone();
        let (go_live, lane): (GoLive, _) = match (plan, route) {
            (Some(plan), Some(route)) if definition.kind == ResolverKind::Passthrough => {
                let index = definition.index;
                let go_live = Box::new(move |after| {
                    let (route, guard, plan) = (route.clone(), guard.clone(), plan.clone());
                    let member = (after, sink.clone());
                    let shard = &opener.shard;
                    Some(shard.register_passthrough(index, route, guard, plan, member))
                });
                (go_live, None)
            }
            (Some(plan), Some(route)) if definition.is_shared => {
                let (key_plan, key_guard) = (plan.clone(), guard);
                let key_arguments = arguments.clone();
                let info = move || SubscriptionInfo {
                    definition: definition.clone(),
                    arguments: Mutex::new(Some(arguments.clone())),
                    plan: Some(plan.clone()),
                    // Members may have different ones.
                    operation_name: None,
                    client: Arc::default(),
                    host: OnceLock::new(),
                };
                // What it has missed is replayed for it alone, outside of the group.
                let lane = is_late.then(|| self.lane(info(), Some(&route), address));
                let home = address.clone();
                let go_live = Box::new(move |after| {
                    let info = info();
                    let (route, plan) = (route.clone(), key_plan.clone());
                    let key = CallGroupKey {
                        definition: info.definition.index,
                        arguments: key_arguments.clone(),
                        route,
                        plan,
                        guard: key_guard.clone(),
                    };
                    opener.join(key, info, &home, (after, sink.clone()))
                });
                (go_live, lane)
            }
            (plan, route) => {
                let info = SubscriptionInfo {
                    definition,
                    arguments: Mutex::new(Some(arguments)),
                    plan,
                    operation_name,
                    client,
                    host: OnceLock::new(),
                };
                let lane = self.lane(info, route.as_ref(), address);
                let registered = lane.clone();
                let go_live = Box::new(move |after| {
                    let Some(route) = route.clone() else {
                        return Some(opener.shard.register_stream());
                    };
                    registered.begin_after(after);
                    let (guard, lane) = (guard.clone(), registered.clone());
                    Some(opener.shard.register_lane(route, guard, lane))
                });
                (go_live, Some(lane))
            }
        };
        Ok(Placed {
            plan: projected.filter(|_| lane.is_none()),
            go_live,
            lane,
        })
    }

    /// Makes a subscription a member of the group that shares its resolver calls.
    fn join(
        &self,
        key: CallGroupKey,
        info: SubscriptionInfo,
        address: &WorkerAddress,
        (joined, sink): (u64, Rc<dyn ResponseSink>),
    ) -> Option<Registration> {
        let route = key.route.clone();
        let membership = self.shared.join(
            &self.engine.call_groups,
            address,
            Joining { key, joined, sink },
            |home| self.lane(info, Some(&route), home),
        );
        // The results of an event before are on their way, and not to here.
        (membership.sent() <= joined).then(|| self.shard.register_member(Box::new(membership)))
    }

    /// Makes a lane whose actor will be on the worker `home`.
    fn lane(
        &self,
        info: SubscriptionInfo,
        route: Option<&Route>,
        home: &WorkerAddress,
    ) -> Arc<Lane> {
        let stream = route.map(|route| self.engine.stream_of(route));
        Arc::new(Lane::new(info, stream, &self.lanes, home.wakes.clone()))
    }
}
