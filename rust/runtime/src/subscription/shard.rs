//! The shard of a worker: registers subscriptions, groups equal ones, and delivers events to them.
//!
//! Used on one thread, so it needs no lock. Not here: the actor that receives events from other
//! threads (`worker::shard_actor`).

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use bus::{Event, Gap, StreamItem};
use bytes::Bytes;
use graphql::Plan;
use hashbrown::HashMap;
use security::{Guard, Subject};

use super::lane::Lane;
use super::passage::Passages;
use super::sink::ResponseSink;
use crate::metrics::Metrics;
use crate::routing::{Route, RoutingIndex, WorkerChannels};

/// Lanes that are scheduled together (count), so that calls start while further lanes are looked at.
const SCHEDULED: usize = 64;

/// Identifies a projection group: passthrough subscriptions with equal keys have results that are
/// equal byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProjectionKey {
    /// Index of the definition.
    pub definition: usize,
    /// The route of the events.
    pub route: Route,
    /// Projects an event to a response.
    pub plan: Arc<Plan>,
    /// Subscriptions that may see different events are in different groups.
    pub guard: Option<Arc<Guard>>,
}

/// Subscriptions that share one projection per event.
struct ProjectionGroup {
    key: ProjectionKey,
    members: RefCell<HashMap<u64, ProjectionMember>>,
}

struct ProjectionMember {
    /// Exclusive lower bound: events up to this sequence are skipped.
    after: u64,
    sink: Rc<dyn ResponseSink>,
}

#[derive(Clone)]
enum Target {
    Group(Rc<ProjectionGroup>),
    Lane(Arc<Lane>, Option<Arc<Guard>>),
}

impl Target {
    fn address(&self) -> *const () {
        match self {
            Self::Group(group) => Rc::as_ptr(group).cast(),
            Self::Lane(lane, _) => Arc::as_ptr(lane).cast(),
        }
    }

    fn admits(&self, event: &Event) -> bool {
        let guard = match self {
            Self::Group(group) => &group.key.guard,
            Self::Lane(_, guard) => guard,
        };
        admits(guard.as_deref(), event)
    }
}

/// The membership of a subscription in a call group. Dropping it leaves the group.
pub(crate) trait Membership {
    /// The sequence of the last event of the group whose outcome was not sent yet; 0 when there is
    /// none.
    fn last(&self) -> u64;
    /// Whether the member has received every result up to a sequence.
    fn has_received(&self, sequence: u64) -> bool;
}

/// Whether a guard admits an event. Without a guard, every event is admitted.
pub(crate) fn admits(guard: Option<&Guard>, event: &Event) -> bool {
    guard.is_none_or(|guard| {
        let subject = Subject {
            channel: &event.channel,
            tenant_id: event.tenant_id.as_deref(),
            data: &event.data,
        };
        guard.admit(subject).is_ok()
    })
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// All subscriptions of one worker.
pub(crate) struct Shard {
    state: RefCell<ShardState>,
    passages: Rc<Passages>,
    metrics: Arc<Metrics>,
}

struct ShardState {
    index: RoutingIndex<Target>,
    groups: HashMap<ProjectionKey, Rc<ProjectionGroup>>,
    next_member: u64,
    found: Vec<Target>,
    projected: Vec<u8>,
}

impl Shard {
    /// Creates the shard of a worker, without subscriptions.
    #[must_use]
    pub(crate) fn new(worker: WorkerChannels, metrics: Arc<Metrics>) -> Self {
        Self {
            state: RefCell::new(ShardState {
                index: RoutingIndex::new(worker),
                groups: HashMap::new(),
                next_member: 0,
                found: Vec::new(),
                projected: Vec::new(),
            }),
            passages: Rc::default(),
            metrics,
        }
    }

    /// The ways from lanes to their sinks.
    pub(crate) fn passages(&self) -> &Rc<Passages> {
        &self.passages
    }

    /// Delivers the events of `route` that the guard admits to `lane`, until the registration is
    /// dropped.
    pub(crate) fn register_lane(
        self: &Rc<Self>,
        route: Route,
        guard: Option<Arc<Guard>>,
        lane: Arc<Lane>,
    ) -> Registration {
        let target = Target::Lane(lane, guard);
        self.state.borrow_mut().index.insert(&route, &target);
        self.registration(Registered::Lane(Box::new((route, target))))
    }

    /// As [`Self::register_lane`], for the lane of a call group. It is not counted as a
    /// subscription: its members are.
    pub(crate) fn register_uncounted(
        self: &Rc<Self>,
        route: Route,
        guard: Option<Arc<Guard>>,
        lane: Arc<Lane>,
    ) -> Registration {
        self.metrics.subscriptions.add(-1);
        let mut registration = self.register_lane(route, guard, lane);
        registration.is_counted = false;
        registration
    }

    /// Counts a member of a call group until the registration is dropped. The group receives the
    /// events.
    pub(crate) fn register_member(
        self: &Rc<Self>,
        membership: Box<dyn Membership>,
    ) -> Registration {
        self.registration(Registered::Member(membership))
    }

    /// Counts a subscription that receives no events, until the registration is dropped.
    pub(crate) fn register_stream(self: &Rc<Self>) -> Registration {
        self.registration(Registered::Nowhere)
    }

    /// Sends the events of `key` after a sequence to a sink, until the registration is dropped.
    /// Each event is projected once for all subscriptions with an equal key.
    pub(crate) fn register_passthrough(
        self: &Rc<Self>,
        key: ProjectionKey,
        (after, sink): (u64, Rc<dyn ResponseSink>),
    ) -> Registration {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let group = state.groups.entry_ref(&key).or_insert_with(|| {
            let group = Rc::new(ProjectionGroup {
                key: key.clone(),
                members: RefCell::default(),
            });
            state
                .index
                .insert(&group.key.route, &Target::Group(group.clone()));
            self.metrics.groups.add(1);
            group
        });
        let member = state.next_member;
        state.next_member += 1;
        let joined = ProjectionMember { after, sink };
        group.members.borrow_mut().insert(member, joined);
        let group = group.clone();
        self.registration(Registered::Group { group, member })
    }

    fn registration(self: &Rc<Self>, place: Registered) -> Registration {
        self.metrics.subscriptions.add(1);
        Registration {
            shard: self.clone(),
            place,
            is_counted: true,
        }
    }

    fn remove(&self, place: &Registered) {
        let mut state = self.state.borrow_mut();
        match place {
            Registered::Lane(lane) => state.index.remove(&lane.0, &lane.1),
            Registered::Member(_) | Registered::Nowhere => {}
            Registered::Group { group, member } => {
                group.members.borrow_mut().remove(member);
                if group.members.borrow().is_empty() && state.groups.remove(&group.key).is_some() {
                    let target = Target::Group(group.clone());
                    state.index.remove(&group.key.route, &target);
                    self.metrics.groups.add(-1);
                }
            }
        }
    }

    /// Delivers an event or a gap to the subscriptions that it concerns.
    pub(crate) fn deliver(&self, item: &StreamItem) {
        match item {
            StreamItem::Event(event) => self.deliver_event(event),
            StreamItem::Gap(gap) => self.deliver_gap(gap),
        }
    }

    /// Tells every subscription of a stream that events are missing.
    fn deliver_gap(&self, gap: &Gap) {
        let mut found = Vec::new();
        self.state
            .borrow()
            .index
            .all_of(gap.stream.key(), &mut found);
        for target in found {
            match target {
                Target::Lane(lane, _) => lane.push_gap(gap.at),
                Target::Group(group) => {
                    let members = group.members.borrow();
                    for member in members.values().filter(|m| m.after < gap.at.sequence) {
                        member.sink.announce_position(Some(gap.at), true);
                    }
                }
            }
        }
    }

    /// Delivers an event to every subscription that it matches.
    fn deliver_event(&self, event: &Arc<Event>) {
        let mut state = self.state.borrow_mut();
        let mut found = std::mem::take(&mut state.found);
        let mut projected = std::mem::take(&mut state.projected);
        state.index.matches(event, &mut found);
        // A sink may register or remove subscriptions: the state is not borrowed while sinks run.
        drop(state);
        if !found.is_empty() {
            self.metrics.events_matched.add(1);
            self.metrics.delivered(event);
        }
        let mut denied = 0;
        let mut scheduled = Vec::new();
        for target in found.drain(..) {
            if !target.admits(event) {
                denied += 1;
                continue;
            }
            match target {
                Target::Lane(lane, _) => {
                    if lane.push(event.clone()) {
                        scheduled.push(lane);
                    }
                    if scheduled.len() == SCHEDULED {
                        Lane::schedule_all(std::mem::take(&mut scheduled));
                    }
                }
                Target::Group(group) => {
                    projected.clear();
                    let faults = group.key.plan.project(event.data.root(), &mut projected);
                    self.metrics.report(group.key.plan.field(), &faults, event);
                    self.metrics.group_projections.add(1);
                    let response = Bytes::copy_from_slice(&projected);
                    let members = group.members.borrow();
                    for member in members.values().filter(|m| m.after < event.at.sequence) {
                        member.sink.next_of(&response, Some(event.at));
                    }
                }
            }
        }
        Lane::schedule_all(scheduled);
        if denied > 0 {
            self.metrics.events_denied.add(denied);
        }
        let mut state = self.state.borrow_mut();
        state.found = found;
        state.projected = projected;
    }
}

enum Registered {
    Lane(Box<(Route, Target)>),
    Group {
        group: Rc<ProjectionGroup>,
        member: u64,
    },
    Member(Box<dyn Membership>),
    Nowhere,
}

/// Keeps a subscription in the shard. After it is dropped, the subscription receives no event.
#[must_use]
pub struct Registration {
    shard: Rc<Shard>,
    place: Registered,
    is_counted: bool,
}

impl Registration {
    /// The ways from lanes to their sinks, on its worker.
    pub(super) fn passages(&self) -> &Rc<Passages> {
        self.shard.passages()
    }

    /// Its membership, if it is a member of a call group.
    pub(crate) fn membership(&self) -> Option<&dyn Membership> {
        match &self.place {
            Registered::Member(membership) => Some(&**membership),
            Registered::Lane(_) | Registered::Group { .. } | Registered::Nowhere => None,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.is_counted {
            self.shard.metrics.subscriptions.add(-1);
        }
        self.shard.remove(&self.place);
    }
}

#[cfg(test)]
pub(crate) mod tests;
