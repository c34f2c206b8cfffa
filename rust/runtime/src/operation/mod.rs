//! Opens operations on a worker: plans them, has them checked, registers and starts them.
//!
//! Not here: the checks themselves (`admission`), and what a running subscription does
//! (`subscription`).

use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr, Recipient};
use bus::{Interest, Stream};
use futures_util::future::{Either, LocalBoxFuture, select};
use graphql::GraphQLError;
use parking_lot::Mutex;
use protocol::{OperationId, Request, Resume};
use security::Guard;

use crate::admission::{Checks, Subscribe, Subscribing, start_chain};
use crate::background::Busy;
use crate::catalog::{Planned, PlannedOperation, PreparedRequest, ResolverKind};
use crate::client::{Client, SUBGRAPH_HEADER};
use crate::config::INTEREST_TIME;
use crate::error::shutting_down;
use crate::routing::Route;
use crate::state::RuntimeState;
use crate::subscription::{
    GroupSource, LaneSource, ProjectionKey, RegisteringSource, Replay, ResponseSink, Source,
    StartPosition, SubscriptionActor, SubscriptionInfo, Subscriptions,
};

/// Opens the operations of one worker.
pub(crate) struct Opener {
    state: Arc<RuntimeState>,
    subscriptions: Rc<Subscriptions>,
    /// The first actor in the chain of checks; `None` when nothing has to be checked.
    checks: Option<Recipient<Subscribe>>,
}

/// What [`Opener::open`] returns.
pub(crate) enum OpenResult {
    /// The operation runs, or was refused.
    Ready(Result<Opened, Vec<GraphQLError>>),
    /// The result comes later: checks are pending, the schema is being described on another
    /// thread, or the engine does not deliver the events yet.
    Pending(LocalBoxFuture<'static, Result<Opened, Vec<GraphQLError>>>),
}

/// Waits until the operation is opened. When `cancelled` completes first, `pending` is dropped and
/// the result is an empty list of errors.
pub(crate) async fn opened_unless_cancelled(
    pending: LocalBoxFuture<'static, Result<Opened, Vec<GraphQLError>>>,
    cancelled: impl Future<Output = ()>,
) -> Result<Opened, Vec<GraphQLError>> {
    match select(pending, pin!(cancelled)).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(Vec::new()),
    }
}

fn busy() -> Vec<GraphQLError> {
    vec![GraphQLError::new(
        "too many clients are asking for the schema: try again later",
    )]
}

/// Returns the subgraph that a request names, in its extensions or else in a header.
fn named_subgraph(request: &Request, client: &Client) -> Option<String> {
    let named = request.extensions.subgraph();
    named.or(client.header(SUBGRAPH_HEADER)).map(str::to_owned)
}

/// An operation that was opened.
pub(crate) enum Opened {
    /// It runs. `StopSubscription` ends it.
    Subscription(Addr<SubscriptionActor>),
    /// Its sink has received one result and `complete`.
    Answered,
}

/// An operation that has passed all checks.
struct CheckedOperation {
    planned: PlannedOperation,
    guard: Option<Arc<Guard>>,
    client: Arc<Client>,
    resume: Resume,
    /// The route and the stream of its events; `None` when it receives no events.
    place: Option<(Route, Arc<Stream>)>,
    sink: Rc<dyn ResponseSink>,
}

impl Opener {
    /// Starts the checks on the current thread, which must be inside an actix arbiter.
    pub(crate) fn new(state: Arc<RuntimeState>) -> Self {
        let checks = start_chain(Checks {
            policy: &state.policy,
            catalog: &state.catalog,
            metrics: &state.metrics,
        });
        let subscriptions = Subscriptions::new(
            state.channel_workers.join(),
            state.call_groups.clone(),
            state.lane_context(),
            state.metrics.clone(),
        );
        Self {
            subscriptions: Rc::new(subscriptions),
            checks,
            state,
        }
    }

    /// Returns the state that all threads of the manager share.
    #[must_use]
    pub(crate) fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// Returns the subscriptions of this worker.
    #[must_use]
    pub(crate) fn subscriptions(&self) -> &Rc<Subscriptions> {
        &self.subscriptions
    }

    /// Opens the operation of a request. Its responses go to `sink`.
    pub(crate) fn open(
        self: &Rc<Self>,
        prepared: &Arc<PreparedRequest>,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> OpenResult {
        if let Err(fault) = prepared.resume() {
            let error = GraphQLError::new(fault.to_string()).with_code("BAD_USER_INPUT");
            return OpenResult::Ready(Err(vec![error]));
        }
        let catalog = &self.state.catalog;
        if !catalog.describes_schema(prepared) {
            return self.proceed(catalog.plan(prepared), prepared, client, sink);
        }
        let (state, opener) = (self.state.clone(), Rc::downgrade(self));
        let (catalog, prepared) = (catalog.clone(), prepared.clone());
        let client = client.clone();
        OpenResult::Pending(Box::pin(async move {
            let asked = prepared.clone();
            let planned = state.background.run(move || catalog.plan(&asked)).await;
            let planned = planned.map_err(|Busy| busy())?;
            let opener = opener.upgrade().ok_or_else(shutting_down)?;
            match opener.proceed(planned, &prepared, &client, sink) {
                OpenResult::Ready(opened) => opened,
                OpenResult::Pending(pending) => pending.await,
            }
        }))
    }

    /// Answers a request that needs no actor; has any other operation checked, and runs it.
    fn proceed(
        self: &Rc<Self>,
        planned: Result<Planned, Vec<GraphQLError>>,
        prepared: &Arc<PreparedRequest>,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> OpenResult {
        let planned = match planned {
            Err(errors) => return OpenResult::Ready(Err(errors)),
            Ok(Planned::Response(response)) => {
                sink.next(&response);
                sink.complete();
                return OpenResult::Ready(Ok(Opened::Answered));
            }
            Ok(Planned::Operation(planned)) => planned,
        };
        let request = prepared.request();
        // `open` has refused a malformed `resume`.
        let resume = prepared.resume().cloned().unwrap_or_default();
        let document = request.query.as_ref().map_or(0, String::len);
        if let Err(errors) = sink.retain(planned.kept_bytes() + document) {
            return OpenResult::Ready(Err(errors));
        }
        let Some(checks) = &self.checks else {
            return self.run(*planned, None, client.clone(), resume, sink);
        };
        let answer = checks.send(Subscribe(Box::new(Subscribing {
            client: client.clone(),
            planned,
            subgraph: named_subgraph(request, client),
            guard: Guard::default(),
        })));
        let opener = Rc::downgrade(self);
        OpenResult::Pending(Box::pin(async move {
            let (Ok(answer), Some(opener)) = (answer.await, opener.upgrade()) else {
                return Err(shutting_down());
            };
            let Subscribing {
                client,
                planned,
                guard,
                ..
            } = *answer?;
            match opener.run(*planned, Some(Arc::new(guard)), client, resume, sink) {
                OpenResult::Ready(opened) => opened,
                OpenResult::Pending(pending) => pending.await,
            }
        }))
    }

    /// Runs an operation that has passed the checks. With an engine, waits until it delivers the
    /// events of the operation.
    fn run(
        self: &Rc<Self>,
        planned: PlannedOperation,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        resume: Resume,
        sink: Rc<dyn ResponseSink>,
    ) -> OpenResult {
        let tenant = guard.as_ref().and_then(|guard| guard.tenant());
        let route = planned.route.clone().map(|route| match tenant {
            // The guard would refuse the events of other tenants. The index leaves them out first.
            Some(tenant) => route.for_tenant(tenant.clone()),
            None => route,
        });
        let place = route.map(|route| {
            let stream = self.state.stream_of(&route);
            (route, stream)
        });
        let interest = place
            .as_ref()
            .and_then(|(_, stream)| Some(self.state.link.as_ref()?.interest(stream)));
        let checked = CheckedOperation {
            planned,
            guard,
            client,
            resume,
            place,
            sink,
        };
        let Some(interest) = interest else {
            return OpenResult::Ready(self.start(checked, None));
        };
        if interest.is_ready() {
            return OpenResult::Ready(self.start(checked, Some(interest)));
        }
        let opener = Rc::downgrade(self);
        OpenResult::Pending(Box::pin(async move {
            // The subscription begins even when the engine is not ready in time. It is told of the
            // gap once the engine is.
            interest.ready(INTEREST_TIME).await;
            let opener = opener.upgrade().ok_or_else(shutting_down)?;
            opener.start(checked, Some(interest))
        }))
    }

    /// Starts the actor of an operation.
    fn start(
        &self,
        checked: CheckedOperation,
        interest: Option<Interest>,
    ) -> Result<Opened, Vec<GraphQLError>> {
        let CheckedOperation {
            planned,
            guard,
            client,
            resume,
            place,
            sink,
        } = checked;
        let definition = planned.definition.clone();
        let stream = place.as_ref().map(|(_, stream)| stream.clone());
        if let Some(stream) = &stream {
            sink.follow(stream.clone());
        }
        let channels = self.subscriptions.channels();
        let route = place.as_ref().map(|(route, _)| route);
        let hold = route.map(|route| channels.hold(route.channel()));
        let is_subscription = planned.operation.is_some();
        let has_initial = definition.has_initial;
        let start = if is_subscription {
            StartPosition::find(
                self.state.history_sources(),
                &resume,
                place.as_ref(),
                guard.as_ref(),
            )
        } else {
            StartPosition::Now { missed: false }
        };
        let operation = sink.operation();
        let source = self.source(planned, place, guard, client, operation)?;
        sink.start(&definition);
        let actor = match start {
            StartPosition::Replay(missed) => {
                let waiting = self.subscriptions.shard().register_stream();
                let lane = match &source {
                    Source::Events(_) => None,
                    Source::Group(group) => Some(self.subscriptions.lane_of_member(group)),
                    Source::Lane(own) => Some(own.lane.clone()),
                };
                let subscriptions = self.subscriptions.clone();
                let live = RegisteringSource {
                    source,
                    subscriptions,
                    _hold: hold,
                };
                let replay = Replay::new(missed, Box::new(live));
                SubscriptionActor::new(sink, waiting, lane).with_replay(replay)
            }
            StartPosition::Now { missed } => {
                // Events that were published before are not delivered to this subscription.
                let stream = stream.as_ref();
                let (now, registration) = self.subscriptions.register_now(&source, stream, &sink);
                if is_subscription {
                    // With an initial value, the position is known once that value exists.
                    sink.announce_position(now.filter(|_| !has_initial), missed);
                }
                let lane = match source {
                    Source::Lane(own) => Some(own.lane),
                    Source::Events(_) | Source::Group(_) => None,
                };
                SubscriptionActor::new(sink, registration, lane)
            }
        };
        let actor = actor.with_interest(interest);
        Ok(Opened::Subscription(actor.start()))
    }

    /// Decides where an operation gets its results from.
    fn source(
        &self,
        planned: PlannedOperation,
        place: Option<(Route, Arc<Stream>)>,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        operation_id: Option<OperationId>,
    ) -> Result<Source, Vec<GraphQLError>> {
        let PlannedOperation {
            definition,
            operation,
            arguments,
            kind: operation_kind,
            name: operation_name,
            delegated,
            ..
        } = planned;
        let (plan, arguments) = match (delegated, operation) {
            (Some(request), _) => (None, request),
            (None, Some(operation)) => (Some(operation.plan), arguments),
            (None, None) => return Err(shutting_down()),
        };
        Ok(match (plan, place) {
            (Some(plan), Some((route, _))) if definition.kind == ResolverKind::Passthrough => {
                Source::Events(ProjectionKey {
                    definition: definition.index,
                    route,
                    plan,
                    guard,
                })
            }
            (Some(plan), Some((route, stream))) if definition.is_shared => {
                Source::Group(GroupSource {
                    definition,
                    arguments,
                    plan,
                    route,
                    guard,
                    stream,
                    worker: self.subscriptions.address()?.clone(),
                })
            }
            (plan, place) => {
                let info = SubscriptionInfo {
                    definition,
                    arguments: Mutex::new(Some(arguments)),
                    plan,
                    operation_kind,
                    operation_name,
                    operation: operation_id,
                    client,
                    host: OnceLock::new(),
                };
                let (route, stream) = place.unzip();
                let lane = self.subscriptions.lane(info, stream)?;
                Source::Lane(LaneSource { lane, route, guard })
            }
        })
    }
}
