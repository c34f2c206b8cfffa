//! Call groups: subscriptions with equal operation and arguments share one resolver call per event.
//!
//! A group has one lane for all workers of a manager. Its actor runs on the manager's own worker,
//! because the workers of a server may end earlier. It sends each result to the workers that have
//! members; each worker hands it to its members. Not here: how calls are made (`lane`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use actix::{Actor, Addr, Message, Recipient};
use bus::LocalPosition;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use graphql::Plan;
use hashbrown::HashMap;
use parking_lot::Mutex;
use protocol::JsonObject;
use security::Guard;

use super::actor::{StopSubscription, SubscriptionActor};
use super::lane::Lane;
use super::shard::{Membership, Shard};
use super::sink::ResponseSink;
use super::wakes::WokenWorker;
use crate::config::SHARED_IN_FLIGHT;
use crate::routing::{ChannelHold, Route, WorkerChannels};

/// Command of a group to a worker. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum CallGroupCommand {
    /// Start the actor of a new group. Sender: its first member, to the manager's own worker.
    Start(StartGroup),
    /// Stop the actor of a group that lost its last member.
    /// Sender: that member, to the manager's own worker.
    Stop(StopGroup),
    /// Hand an outcome to the members on the worker.
    /// Sender: the group, which has at most [`SHARED_IN_FLIGHT`] of them under way.
    Deliver(Delivery),
}

impl CallGroupCommand {
    /// Executes the command, on the worker of `shard` and `members`.
    pub(crate) fn run(self, shard: &Rc<Shard>, members: &CallGroupMembers) {
        match self {
            Self::Start(start) => start.run(shard),
            Self::Stop(stop) => stop.run(),
            Self::Deliver(delivery) => members.deliver(delivery.group.id, &delivery.outcome),
        }
    }
}

/// Command: start the actor of a group.
pub(crate) struct StartGroup {
    groups: Arc<CallGroups>,
    group: Arc<CallGroup>,
    /// Sends the events of its channel to the manager's own worker before the group is registered
    /// there.
    hold: Option<ChannelHold>,
}

impl StartGroup {
    fn run(self, shard: &Rc<Shard>) {
        let Self {
            groups,
            group,
            hold,
        } = self;
        let (route, guard, lane) = (
            group.key.route.clone(),
            group.key.guard.clone(),
            group.lane.clone(),
        );
        let registration = shard.register_uncounted(route, guard, lane.clone());
        drop(hold);
        let sink = Rc::new(GroupSink {
            group: group.clone(),
            groups: Arc::downgrade(&groups),
        });
        let actor = SubscriptionActor::new(sink, registration, Some(lane));
        groups.actors.lock().insert(group.id, actor.start());
    }
}

/// Command: stop the actor of a group.
pub(crate) struct StopGroup {
    groups: Arc<CallGroups>,
    id: u64,
}

impl StopGroup {
    fn run(self) {
        if let Some(actor) = self.groups.actors.lock().remove(&self.id) {
            actor.do_send(StopSubscription);
        }
    }
}

/// Where other threads send messages for the subscriptions of a worker.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WorkerAddress {
    pub(crate) channels: WorkerChannels,
    pub(crate) groups: Recipient<CallGroupCommand>,
    pub(crate) wakes: WokenWorker,
}

/// Identifies a group: subscriptions with equal keys share their calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallGroupKey {
    pub(crate) definition: usize,
    /// The coerced arguments, compared as JSON text.
    pub(crate) arguments: JsonObject,
    /// The route of the events. Equal arguments may have different routes: a filter can distinguish
    /// an argument that is null from one that is absent.
    pub(crate) route: Route,
    pub(crate) plan: Arc<Plan>,
    /// Subscriptions that may see different events are in different groups.
    pub(crate) guard: Option<Arc<Guard>>,
}

/// The groups of one manager.
#[derive(Default)]
pub(crate) struct CallGroups {
    groups: Mutex<GroupsByKey>,
    /// By the ids of their groups. An actor stops when its address is removed from here.
    actors: Mutex<HashMap<u64, Addr<SubscriptionActor>>>,
    /// The manager's own worker.
    home: OnceLock<WorkerAddress>,
}

#[derive(Default)]
struct GroupsByKey(HashMap<CallGroupKey, Arc<CallGroup>>);

impl GroupsByKey {
    /// Removes this group, but not a later one with the same key.
    fn remove_if(&mut self, group: &CallGroup) {
        if self
            .0
            .get(&group.key)
            .is_some_and(|known| known.id == group.id)
        {
            self.0.remove(&group.key);
        }
    }
}

/// Subscriptions that share one lane.
pub(crate) struct CallGroup {
    id: u64,
    key: CallGroupKey,
    lane: Arc<Lane>,
    hosts: Mutex<GroupWorkers>,
    /// Results that were sent to a worker and have not been handed to members yet (count).
    in_flight: AtomicUsize,
    waker: AtomicWaker,
}

/// The workers that have members of a group.
#[derive(Default)]
struct GroupWorkers {
    /// Each worker, and how many members it has (count).
    workers: Vec<(WorkerAddress, usize)>,
}

/// What a group sends to its members.
#[derive(Debug, Clone)]
pub(crate) enum CallGroupOutcome {
    /// A result, and the position of its event.
    Next(Bytes, Option<LocalPosition>),
    /// Events are missing before the next result.
    Gap(LocalPosition),
    /// The group has ended with these errors: a JSON array.
    Error(Bytes),
    /// The group has ended.
    Complete,
}

impl CallGroupOutcome {
    /// The position of its event, if it has one.
    fn at(&self) -> Option<LocalPosition> {
        match self {
            Self::Next(_, at) => *at,
            Self::Gap(at) => Some(*at),
            Self::Error(_) | Self::Complete => None,
        }
    }
}

impl CallGroups {
    /// Sets the worker that hosts the actors of groups.
    pub(crate) fn set_home(&self, home: WorkerAddress) {
        // It is set once, when the manager starts.
        self.home.set(home).ok();
    }

    /// Adds a member to the group of `key`, and creates the group for the first one.
    fn join(
        self: &Arc<Self>,
        key: CallGroupKey,
        worker: &WorkerAddress,
        lane: impl FnOnce(&WorkerAddress) -> Arc<Lane>,
    ) -> Arc<CallGroup> {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.0.get(&key) {
            group.add(worker);
            return group.clone();
        }
        static LAST: AtomicU64 = AtomicU64::new(0);
        let group = Arc::new(CallGroup {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            key: key.clone(),
            lane: lane(self.home.get().unwrap_or(worker)),
            hosts: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        });
        group.add(worker);
        groups.0.insert(key, group.clone());
        // The command is queued before every event that is published from now on, so the group
        // receives them all.
        let channel = group.key.route.channel();
        self.send_home(CallGroupCommand::Start(StartGroup {
            groups: self.clone(),
            hold: self.home.get().map(|home| home.channels.hold(channel)),
            group: group.clone(),
        }));
        group
    }

    fn leave(self: &Arc<Self>, group: &Arc<CallGroup>, worker: &WorkerAddress) {
        let mut groups = self.groups.lock();
        if !group.remove(worker) {
            return;
        }
        groups.remove_if(group);
        drop(groups);
        self.send_home(CallGroupCommand::Stop(StopGroup {
            groups: self.clone(),
            id: group.id,
        }));
    }

    fn send_home(&self, command: CallGroupCommand) {
        if let Some(home) = self.home.get() {
            home.groups.do_send(command);
        }
    }
}

impl CallGroup {
    fn add(&self, worker: &WorkerAddress) {
        let workers = &mut self.hosts.lock().workers;
        match workers.iter_mut().find(|(known, _)| known == worker) {
            Some((_, members)) => *members += 1,
            None => workers.push((worker.clone(), 1)),
        }
    }

    /// Removes one member. Returns true when it was the last.
    fn remove(&self, worker: &WorkerAddress) -> bool {
        let workers = &mut self.hosts.lock().workers;
        if let Some((_, members)) = workers.iter_mut().find(|(known, _)| known == worker) {
            *members -= 1;
        }
        workers.retain(|(_, members)| *members > 0);
        workers.is_empty()
    }

    /// Whether all results up to a sequence were handed to the members.
    fn has_sent(&self, sequence: u64) -> bool {
        self.lane.is_past(sequence) && self.in_flight.load(Ordering::Acquire) == 0
    }

    fn send(self: &Arc<Self>, outcome: &CallGroupOutcome) {
        let hosts = self.hosts.lock();
        let workers: Vec<_> = hosts.workers.iter().map(|(w, _)| w.clone()).collect();
        drop(hosts);
        for worker in workers {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            worker.groups.do_send(CallGroupCommand::Deliver(Delivery {
                group: self.clone(),
                outcome: outcome.clone(),
            }));
        }
    }
}

/// One result that is sent to one worker. Dropped when it was handed to the members, or when the
/// worker has ended.
pub(crate) struct Delivery {
    group: Arc<CallGroup>,
    outcome: CallGroupOutcome,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.group.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.group.waker.wake();
    }
}

/// Sends the results of a group's lane to the workers.
struct GroupSink {
    group: Arc<CallGroup>,
    groups: Weak<CallGroups>,
}

impl GroupSink {
    /// Handles the end of the lane. A later subscription with the same key creates a new group.
    fn end(&self, outcome: &CallGroupOutcome) {
        if let Some(groups) = self.groups.upgrade() {
            groups.groups.lock().remove_if(&self.group);
            groups.actors.lock().remove(&self.group.id);
        }
        self.group.send(outcome);
    }
}

impl ResponseSink for GroupSink {
    fn next(&self, response: &Bytes) {
        self.next_of(response, None);
    }

    fn next_of(&self, response: &Bytes, at: Option<LocalPosition>) {
        let next = CallGroupOutcome::Next(response.clone(), at);
        self.group.send(&next);
    }

    fn announce_position(&self, at: Option<LocalPosition>, missed: bool) {
        // Each member announces the position at which it begins itself. Only gaps concern all.
        if let Some(at) = at.filter(|_| missed) {
            self.group.send(&CallGroupOutcome::Gap(at));
        }
    }

    fn error(&self, errors: &[u8]) {
        self.end(&CallGroupOutcome::Error(Bytes::copy_from_slice(errors)));
    }

    fn complete(&self) {
        self.end(&CallGroupOutcome::Complete);
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.group.waker.register(cx.waker());
        if self.group.in_flight.load(Ordering::Acquire) < SHARED_IN_FLIGHT {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

struct Member {
    /// It receives the results of the events after this sequence.
    begin: Cell<u64>,
    sink: Rc<dyn ResponseSink>,
    /// The sequence of the last result that was handed to it.
    received: Cell<u64>,
}

/// The members of groups on one worker.
#[derive(Default)]
pub(crate) struct CallGroupMembers {
    members: RefCell<HashMap<u64, HashMap<u64, Rc<Member>>>>,
}

impl CallGroupMembers {
    /// Adds a member, before [`GroupMembership::begin_after`]. The group has each event that is recorded
    /// in the history, or published, after this call.
    pub(crate) fn join(
        self: &Rc<Self>,
        groups: &Arc<CallGroups>,
        worker: &WorkerAddress,
        key: CallGroupKey,
        sink: Rc<dyn ResponseSink>,
        lane: impl FnOnce(&WorkerAddress) -> Arc<Lane>,
    ) -> GroupMembership {
        let group = groups.join(key, worker, lane);
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let member = Rc::new(Member {
            begin: Cell::new(0),
            sink,
            received: Cell::new(0),
        });
        let mut members = self.members.borrow_mut();
        let of_group = members.entry(group.id).or_default();
        of_group.insert(id, member.clone());
        drop(members);
        GroupMembership {
            members: self.clone(),
            groups: groups.clone(),
            worker: worker.clone(),
            group,
            id,
            member,
        }
    }

    /// Hands an outcome to the members of a group.
    fn deliver(&self, group: u64, outcome: &CallGroupOutcome) {
        // A sink may add or remove members, so `members` is not borrowed while sinks run.
        let members: Vec<_> = match self.members.borrow().get(&group) {
            Some(members) => members.values().cloned().collect(),
            None => return,
        };
        for member in members {
            if let Some(at) = outcome.at() {
                member.received.set(at.sequence);
            }
            let is_new = outcome
                .at()
                .is_none_or(|at| at.sequence > member.begin.get());
            match outcome {
                CallGroupOutcome::Next(..) | CallGroupOutcome::Gap(_) if !is_new => {}
                CallGroupOutcome::Next(response, at) => member.sink.next_of(response, *at),
                CallGroupOutcome::Gap(at) => member.sink.announce_position(Some(*at), true),
                CallGroupOutcome::Error(errors) => member.sink.error(errors),
                CallGroupOutcome::Complete => member.sink.complete(),
            }
        }
    }
}

/// Keeps a subscription in its group until it is dropped.
pub(crate) struct GroupMembership {
    members: Rc<CallGroupMembers>,
    groups: Arc<CallGroups>,
    worker: WorkerAddress,
    group: Arc<CallGroup>,
    id: u64,
    member: Rc<Member>,
}

impl GroupMembership {
    /// Has the member receive the results of the events after a sequence, in the step in which it joined.
    pub(crate) fn begin_after(&self, sequence: u64) {
        self.member.begin.set(sequence);
        self.member.received.set(sequence);
    }
}

impl Membership for GroupMembership {
    fn last(&self) -> u64 {
        self.group.lane.last()
    }

    fn has_received(&self, sequence: u64) -> bool {
        self.member.received.get() >= sequence || self.group.has_sent(sequence)
    }
}

impl Drop for GroupMembership {
    fn drop(&mut self) {
        let mut members = self.members.members.borrow_mut();
        if let Some(of_group) = members.get_mut(&self.group.id) {
            of_group.remove(&self.id);
            if of_group.is_empty() {
                members.remove(&self.group.id);
            }
        }
        drop(members);
        self.groups.leave(&self.group, &self.worker);
    }
}
