//! Where a subscription gets its results from, and how it registers for them.
//!
//! Not here: what becomes of a request before (`operation`), who finds the subscriptions of an
//! event (`shard`).

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bus::{LocalPosition, Stream};
use graphql::{GraphQLError, Plan};
use parking_lot::Mutex;
use protocol::JsonObject;
use security::Guard;

use super::call::SubscriptionInfo;
use super::call_group::{
    CallGroupCommand, CallGroupKey, CallGroupMembers, CallGroups, Joining, WorkerAddress,
};
use super::lane::{Lane, LaneContext};
use super::replay::LiveSource;
use super::shard::{ProjectionKey, Registration, Shard};
use super::sink::ResponseSink;
use crate::catalog::Definition;
use crate::error::shutting_down;
use crate::metrics::Metrics;
use crate::routing::Route;

/// Where one subscription gets its results from.
pub(crate) enum Source {
    /// The events themselves, projected once for all subscriptions of equal key.
    Events(ProjectionKey),
    /// The calls of a group.
    Group(GroupSource),
    /// Calls of its own.
    Lane(LaneSource),
}

/// Calls that subscriptions with equal operation and arguments share.
pub(crate) struct GroupSource {
    pub(crate) definition: Arc<Definition>,
    pub(crate) arguments: JsonObject,
    pub(crate) plan: Arc<Plan>,
    pub(crate) route: Route,
    pub(crate) guard: Option<Arc<Guard>>,
    /// The stream of the route.
    pub(crate) stream: Arc<Stream>,
}

/// Calls that one subscription has for itself.
pub(crate) struct LaneSource {
    pub(crate) lane: Arc<Lane>,
    /// Where its events are found; `None`: no event reaches it.
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
            // Members may have different ones.
            operation_name: None,
            client: Arc::default(),
            host: OnceLock::new(),
        }
    }
}

/// A source, and where to register for it.
pub(crate) struct RegisteringSource {
    pub(crate) source: Source,
    pub(crate) subscriptions: Rc<Subscriptions>,
}

impl LiveSource for RegisteringSource {
    fn register(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Option<Registration> {
        self.subscriptions.register(&self.source, after, sink)
    }

    fn plan(&self) -> Option<&Arc<Plan>> {
        match &self.source {
            Source::Events(key) => Some(&key.plan),
            Source::Group(_) | Source::Lane(_) => None,
        }
    }
}

/// The subscriptions of one worker, and what it takes to add one.
pub(crate) struct Subscriptions {
    shard: Rc<Shard>,
    members: Rc<CallGroupMembers>,
    groups: Arc<CallGroups>,
    lanes: LaneContext,
    address: OnceCell<WorkerAddress>,
}

impl Subscriptions {
    /// A worker without subscriptions.
    pub(crate) fn new(groups: Arc<CallGroups>, lanes: LaneContext, metrics: Arc<Metrics>) -> Self {
        Self {
            shard: Rc::new(Shard::new(metrics)),
            members: Rc::default(),
            groups,
            lanes,
            address: OnceCell::new(),
        }
    }

    /// Sets where the worker takes what other threads send.
    pub(crate) fn set_address(&self, address: WorkerAddress) {
        // It is set once, when the worker starts.
        self.address.set(address).ok();
    }

    /// The subscriptions that events reach.
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Carries out what a call group asks of this worker.
    pub(crate) fn run(&self, command: CallGroupCommand) {
        command.run(&self.shard, &self.members);
    }

    /// Makes a lane whose actor will be on this worker.
    ///
    /// # Errors
    ///
    /// The worker has not started.
    pub(crate) fn lane(
        &self,
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
    ) -> Result<Arc<Lane>, Vec<GraphQLError>> {
        let home = self.address.get().ok_or_else(shutting_down)?;
        Ok(self.lane_on(home, info, stream))
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

    /// As [`Self::lane`], for a subscription that will be a member of a group: what it has missed
    /// is resolved for it alone.
    ///
    /// # Errors
    ///
    /// The worker has not started.
    pub(crate) fn lane_of_member(
        &self,
        source: &GroupSource,
    ) -> Result<Arc<Lane>, Vec<GraphQLError>> {
        self.lane(source.info(), Some(source.stream.clone()))
    }

    /// Registers a subscription for what `source` has after a sequence. `None`: it is too late for
    /// one of those results, as its group has sent it just now.
    pub(crate) fn register(
        &self,
        source: &Source,
        after: u64,
        sink: &Rc<dyn ResponseSink>,
    ) -> Option<Registration> {
        match source {
            Source::Events(key) => {
                let member = (after, sink.clone());
                Some(self.shard.register_passthrough(key.clone(), member))
            }
            Source::Group(source) => self.join(source, after, sink),
            Source::Lane(LaneSource { lane, route, guard }) => {
                let Some(route) = route.clone() else {
                    return Some(self.shard.register_stream());
                };
                lane.begin_after(after);
                let lane = lane.clone();
                Some(self.shard.register_lane(route, guard.clone(), lane))
            }
        }
    }

    /// As [`Self::register`], for what is published from now on. Returns the last event before.
    pub(crate) fn register_now(
        &self,
        source: &Source,
        stream: Option<&Arc<Stream>>,
        sink: &Rc<dyn ResponseSink>,
    ) -> (Option<LocalPosition>, Registration) {
        loop {
            let now = stream.map(|stream| stream.last());
            let after = now.map_or(0, |now| now.sequence);
            if let Some(registration) = self.register(source, after, sink) {
                return (now, registration);
            }
        }
    }

    /// Makes a subscription a member of the group that shares its calls.
    fn join(
        &self,
        source: &GroupSource,
        joined: u64,
        sink: &Rc<dyn ResponseSink>,
    ) -> Option<Registration> {
        let address = self.address.get()?;
        let joining = Joining {
            key: source.key(),
            joined,
            sink: sink.clone(),
        };
        let membership = self.members.join(&self.groups, address, joining, |home| {
            self.lane_on(home, source.info(), Some(source.stream.clone()))
        });
        // The results of an event before are on their way, and not to here.
        (membership.sent() <= joined).then(|| self.shard.register_member(Box::new(membership)))
    }
}
