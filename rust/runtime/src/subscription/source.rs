//! The sources of results, and how a subscription registers with its source.
//!
//! Not here: how a request is opened (`operation`), and how events are delivered (`shard`).

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bus::{LocalPosition, Stream};
use graphql::{GraphQLError, Plan};
use parking_lot::Mutex;
use protocol::{JsonObject, OperationKind};
use security::Guard;

use super::call::SubscriptionInfo;
use super::call_group::{
    CallGroupCommand, CallGroupKey, CallGroupMembers, CallGroups, GroupMembership, WorkerAddress,
};
use super::lane::{Lane, LaneContext};
use super::replay::LiveSource;
use super::shard::{ProjectionKey, Registration, Shard};
use super::sink::ResponseSink;
use crate::catalog::Definition;
use crate::error::shutting_down;
use crate::metrics::Metrics;
use crate::routing::{ChannelHold, Route, WorkerChannels};

/// The source of a subscription's results.
pub(crate) enum Source {
    /// The events themselves, projected once for all subscriptions with an equal key.
    Events(ProjectionKey),
    /// The resolver calls of a call group.
    Group(GroupSource),
    /// Resolver calls for this subscription alone.
    Lane(LaneSource),
}

/// Resolver calls that subscriptions with equal operation and arguments share.
pub(crate) struct GroupSource {
    pub(crate) definition: Arc<Definition>,
    pub(crate) arguments: JsonObject,
    pub(crate) plan: Arc<Plan>,
    pub(crate) route: Route,
    pub(crate) guard: Option<Arc<Guard>>,
    /// The stream of the route.
    pub(crate) stream: Arc<Stream>,
    /// The worker of the subscription.
    pub(crate) worker: WorkerAddress,
}

/// Resolver calls for one subscription.
pub(crate) struct LaneSource {
    pub(crate) lane: Arc<Lane>,
    /// The route of its events; `None`: it receives no events.
    pub(crate) route: Option<Route>,
    pub(crate) guard: Option<Arc<Guard>>,
}

impl GroupSource {
    fn key(&self) -> CallGroupKey {
        CallGroupKey {
            definition: self.definition.index,
            arguments: self.arguments.clone(),
            route: self.route.clone(),
            plan: self.plan.clone(),
            guard: self.guard.clone(),
        }
    }

    fn info(&self) -> SubscriptionInfo {
        SubscriptionInfo {
            definition: self.definition.clone(),
            arguments: Mutex::new(Some(self.arguments.clone())),
            plan: Some(self.plan.clone()),
            operation_kind: Some(OperationKind::Subscription),
            // Members may have different names.
            operation_name: None,
            operation: None,
            client: Arc::default(),
            host: OnceLock::new(),
        }
    }
}

/// A source, and the worker on which to register with it.
pub(crate) struct RegisteringSource {
    pub(crate) source: Source,
    pub(crate) subscriptions: Rc<Subscriptions>,
    /// Sends the events of its channel to the worker before it is registered; `None`: it receives no
    /// events. Held until the source is dropped.
    pub(crate) _hold: Option<ChannelHold>,
}

impl LiveSource for RegisteringSource {
    fn register(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Registration {
        self.subscriptions.register(&self.source, after, sink)
    }

    fn plan(&self) -> Option<&Arc<Plan>> {
        match &self.source {
            Source::Events(key) => Some(&key.plan),
            Source::Group(_) | Source::Lane(_) => None,
        }
    }
}

/// The subscriptions of one worker.
pub(crate) struct Subscriptions {
    channels: WorkerChannels,
    shard: Rc<Shard>,
    members: Rc<CallGroupMembers>,
    groups: Arc<CallGroups>,
    lanes: LaneContext,
    address: OnceCell<WorkerAddress>,
}

impl Subscriptions {
    /// Creates an empty set.
    pub(crate) fn new(
        channels: WorkerChannels,
        groups: Arc<CallGroups>,
        lanes: LaneContext,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            shard: Rc::new(Shard::new(channels.clone(), metrics)),
            channels,
            members: Rc::default(),
            groups,
            lanes,
            address: OnceCell::new(),
        }
    }

    /// Sets the address of the worker for messages from other threads.
    pub(crate) fn set_address(&self, address: WorkerAddress) {
        // It is set once, when the worker starts.
        self.address.set(address).ok();
    }

    /// The channels of the worker. A subscription holds its own before it looks at a position of its
    /// stream, so that it receives every later event.
    pub(crate) fn channels(&self) -> &WorkerChannels {
        &self.channels
    }

    /// The shard, which delivers events to these subscriptions.
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Executes a command of a call group on this worker.
    pub(crate) fn run(&self, command: CallGroupCommand) {
        command.run(&self.shard, &self.members);
    }

    /// Creates a lane whose actor will run on this worker.
    ///
    /// # Errors
    ///
    /// The worker has not started.
    pub(crate) fn lane(
        &self,
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
    ) -> Result<Arc<Lane>, Vec<GraphQLError>> {
        Ok(self.lane_on(self.address()?, info, stream))
    }

    /// The address of this worker.
    ///
    /// # Errors
    ///
    /// The worker has not started.
    pub(crate) fn address(&self) -> Result<&WorkerAddress, Vec<GraphQLError>> {
        self.address.get().ok_or_else(shutting_down)
    }

    fn lane_on(
        &self,
        home: &WorkerAddress,
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
    ) -> Arc<Lane> {
        let wakes = home.wakes.clone();
        Arc::new(Lane::new(info, stream, &self.lanes, wakes))
    }

    /// As [`Self::lane`], for a subscription that will be a member of a call group. The events that
    /// it has missed are resolved for it alone.
    pub(crate) fn lane_of_member(&self, source: &GroupSource) -> Arc<Lane> {
        self.lane_on(&source.worker, source.info(), Some(source.stream.clone()))
    }

    /// Registers a subscription for the results of events after a sequence.
    pub(crate) fn register(
        &self,
        source: &Source,
        after: u64,
        sink: &Rc<dyn ResponseSink>,
    ) -> Registration {
        match source {
            Source::Events(key) => {
                let member = (after, sink.clone());
                self.shard.register_passthrough(key.clone(), member)
            }
            Source::Group(source) => {
                let membership = self.join(source, sink);
                membership.begin_after(after);
                self.shard.register_member(Box::new(membership))
            }
            Source::Lane(LaneSource { lane, route, guard }) => {
                let Some(route) = route.clone() else {
                    return self.shard.register_stream();
                };
                lane.begin_after(after);
                let lane = lane.clone();
                self.shard.register_lane(route, guard.clone(), lane)
            }
        }
    }

    /// As [`Self::register`], for events that are published from now on. Also returns the position
    /// of the last event before.
    pub(crate) fn register_now(
        &self,
        source: &Source,
        stream: Option<&Arc<Stream>>,
        sink: &Rc<dyn ResponseSink>,
    ) -> (Option<LocalPosition>, Registration) {
        let position = || stream.map(|stream| stream.last());
        let sequence = |at: Option<LocalPosition>| at.map_or(0, |at| at.sequence);
        if let Source::Group(source) = source {
            // In this order: another thread may run the group, which receives the events that are
            // published after the subscription has joined it.
            let membership = self.join(source, sink);
            let now = position();
            membership.begin_after(sequence(now));
            return (now, self.shard.register_member(Box::new(membership)));
        }
        let now = position();
        let registration = self.register(source, sequence(now), sink);
        if let (Source::Lane(own), Some(now)) = (source, now) {
            own.lane.begin_at(now);
        }
        (now, registration)
    }

    /// Adds a subscription to its call group.
    fn join(&self, source: &GroupSource, sink: &Rc<dyn ResponseSink>) -> GroupMembership {
        let (key, worker) = (source.key(), &source.worker);
        self.members
            .join(&self.groups, worker, key, sink.clone(), |home| {
                self.lane_on(home, source.info(), Some(source.stream.clone()))
            })
    }
}
