//! How operations are opened on a worker: prepared, checked, registered, started.

use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr, Recipient};
use bus::{Interest, Stream};
use futures_util::future::{Either, LocalBoxFuture, select};
use graphql::GraphQLError;
use parking_lot::Mutex;
use protocol::{Request, Resume};
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

/// An operation that was opened.
pub(crate) enum Opened {
    /// It runs; its actor ends it.
    Subscription(Addr<SubscriptionActor>),
    /// It has been answered whole: one result, then complete.
    Answered,
}

/// An operation that has passed all checks.
struct Passed {
    planned: PlannedOperation,
    guard: Option<Arc<Guard>>,
    client: Arc<Client>,
    resume: Resume,
    /// Where its events are found.
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

    /// What all threads share.
    #[must_use]
    pub(crate) fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// The subscriptions of this thread.
    #[must_use]
    pub(crate) fn subscriptions(&self) -> &Rc<Subscriptions> {
        &self.subscriptions
    }

    /// Starts what `request` asks for; responses go to `sink`. It is done at once unless there are
    /// checks to pass.
    pub(crate) fn open(
        self: &Rc<Self>,
        prepared: &Arc<PreparedRequest>,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        if let Err(fault) = prepared.resume() {
            let error = GraphQLError::new(fault.to_string()).with_code("BAD_USER_INPUT");
            return Opening::Done(Err(vec![error]));
        }
        let catalog = &self.state.catalog;
        if !catalog.describes_schema(prepared) {
            return self.proceed(catalog.plan(prepared), prepared, client, sink);
        }
        let (state, opener) = (self.state.clone(), Rc::downgrade(self));
        let (catalog, prepared) = (catalog.clone(), prepared.clone());
        let client = client.clone();
        Opening::Checking(Box::pin(async move {
            let asked = prepared.clone();
            let planned = state.background.run(move || catalog.plan(&asked)).await;
            let planned = planned.map_err(|Busy| busy())?;
            let opener = opener.upgrade().ok_or_else(shutting_down)?;
            match opener.proceed(planned, &prepared, &client, sink) {
                Opening::Done(opened) => opened,
                Opening::Checking(opening) => opening.await,
            }
        }))
    }

    /// Starts what was planned, or answers it.
    fn proceed(
        self: &Rc<Self>,
        planned: Result<Planned, Vec<GraphQLError>>,
        prepared: &Arc<PreparedRequest>,
        client: &Arc<Client>,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        let planned = match planned {
            Err(errors) => return Opening::Done(Err(errors)),
            Ok(Planned::Response(response)) => {
                sink.next(&response);
                sink.complete();
                return Opening::Done(Ok(Opened::Answered));
            }
            Ok(Planned::Operation(planned)) => planned,
        };
        let request = prepared.request();
        // One that cannot be understood was refused before.
        let resume = prepared.resume().cloned().unwrap_or_default();
        let document = request.query.as_ref().map_or(0, String::len);
        if let Err(errors) = sink.retain(planned.kept_bytes() + document) {
            return Opening::Done(Err(errors));
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
        Opening::Checking(Box::pin(async move {
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
                Opening::Done(opened) => opened,
                Opening::Checking(opening) => opening.await,
            }
        }))
    }

    /// Runs what has passed the checks, once the engine delivers its events, if there is one.
    fn run(
        self: &Rc<Self>,
        planned: PlannedOperation,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
        resume: Resume,
        sink: Rc<dyn ResponseSink>,
    ) -> Opening {
        let tenant = guard.as_ref().and_then(|guard| guard.tenant());
        let route = planned.route.clone().map(|route| match tenant {
            // The guard would keep the events of others back; so they are not even found.
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
        let passed = Passed {
            planned,
            guard,
            client,
            resume,
            place,
            sink,
        };
        let Some(interest) = interest else {
            return Opening::Done(self.start(passed, None));
        };
        if interest.is_ready() {
            return Opening::Done(self.start(passed, Some(interest)));
        }
        let opener = Rc::downgrade(self);
        Opening::Checking(Box::pin(async move {
            // Without it the subscription begins all the same: it is told of a gap once the engine
            // is there.
            interest.ready(INTEREST_TIME).await;
            let opener = opener.upgrade().ok_or_else(shutting_down)?;
            opener.start(passed, Some(interest))
        }))
    }

    /// Starts the actor of an operation.
    fn start(
        &self,
        passed: Passed,
        interest: Option<Interest>,
    ) -> Result<Opened, Vec<GraphQLError>> {
        let Passed {
            planned,
            guard,
            client,
            resume,
            place,
            sink,
        } = passed;
        let stream = place.as_ref().map(|(_, stream)| stream.clone());
        if let Some(stream) = &stream {
            sink.follow(stream.clone());
        }
        let is_subscription = planned.operation.is_some();
        let has_initial = planned.definition.has_initial;
        let start = if is_subscription {
            StartPosition::find(self.state.kept(), &resume, place.as_ref(), guard.as_ref())
        } else {
            StartPosition::Now { missed: false }
        };
        let source = self.source(planned, place, guard, client)?;
        let actor = match start {
            StartPosition::Replay(missed) => {
                let waiting = self.subscriptions.shard().register_stream();
                let lane = match &source {
                    Source::Events(_) => None,
                    Source::Group(group) => Some(self.subscriptions.lane_of_member(group)?),
                    Source::Lane(own) => Some(own.lane.clone()),
                };
                let subscriptions = self.subscriptions.clone();
                let live = RegisteringSource {
                    source,
                    subscriptions,
                };
                let replay = Replay::new(missed, Box::new(live));
                SubscriptionActor::new(sink, waiting, lane).with_replay(replay)
            }
            StartPosition::Now { missed } => {
                // Events already on their way are not delivered to this subscription.
                let stream = stream.as_ref();
                let (now, registration) = self.subscriptions.register_now(&source, stream, &sink);
                if is_subscription {
                    // With an initial value its position is known once it has that.
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

    /// Finds where an operation gets its results from.
    fn source(
        &self,
        planned: PlannedOperation,
        place: Option<(Route, Arc<Stream>)>,
        guard: Option<Arc<Guard>>,
        client: Arc<Client>,
    ) -> Result<Source, Vec<GraphQLError>> {
        let PlannedOperation {
            definition,
            operation,
            arguments,
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
                })
            }
            (plan, place) => {
                let info = SubscriptionInfo {
                    definition,
                    arguments: Mutex::new(Some(arguments)),
                    plan,
                    operation_name,
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
