//! Subscribers with equal operation and arguments that share one resolver call for each event.
//!
//! A group has one lane for all workers of a manager. Its actor runs on the manager's own worker,
//! which outlives those of a server, and hands each result to the workers that host members.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use actix::{Actor, Addr};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use graphql::Plan;
use hashbrown::HashMap;
use parking_lot::Mutex;
use protocol::JsonObject;
use security::Guard;

use crate::actors::{ShardActor, SubscriptionActor};
use crate::config::SHARED_IN_FLIGHT;
use crate::index::Route;
use crate::lane::Lane;
use crate::messages::{DeliverShared, RunOnWorker, StopSubscription};
use crate::sink::ResponseSink;

/// What subscriptions have in common when one call serves them all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SharedKey {
    pub(crate) definition: usize,
    /// The coerced arguments, of which it is the text that counts.
    pub(crate) arguments: JsonObject,
    /// Where the events are found: an argument that is null may be given or left out.
    pub(crate) route: Route,
    pub(crate) plan: Arc<Plan>,
    /// The security view: who sees other events makes calls of its own.
    pub(crate) guard: Option<Arc<Guard>>,
}

/// The groups of one manager.
#[derive(Default)]
pub(crate) struct SharedGroups {
    groups: Mutex<ByKey>,
    /// By the ids of their groups. An actor ends with its address here.
    actors: Mutex<HashMap<u64, Addr<SubscriptionActor>>>,
    /// The manager's own worker.
    home: OnceLock<Addr<ShardActor>>,
}

#[derive(Default)]
struct ByKey(HashMap<SharedKey, Arc<SharedGroup>>);

impl ByKey {
    /// Takes a group off, but not a successor of the same key.
    fn remove_if(&mut self, group: &SharedGroup) {
        if self
            .0
            .get(&group.key)
            .is_some_and(|known| known.id == group.id)
        {
            self.0.remove(&group.key);
        }
    }
}

/// Subscribers that share one lane.
pub(crate) struct SharedGroup {
    id: u64,
    key: SharedKey,
    lane: Arc<Lane>,
    hosts: Mutex<Hosts>,
    /// Results on their way to a worker (count).
    in_flight: AtomicUsize,
    waker: AtomicWaker,
}

/// Where the members of a group are.
#[derive(Default)]
struct Hosts {
    /// Workers that host members, with their number (count).
    workers: Vec<(Addr<ShardActor>, usize)>,
    /// The last event whose result was sent to them.
    sent: u64,
}

/// What a group has for its members.
#[derive(Debug, Clone)]
pub(crate) enum SharedOutcome {
    /// A result, and the offset of its event.
    Next(Bytes, Option<u64>),
    /// The end, with a JSON array of errors.
    Error(Bytes),
    /// The end.
    Complete,
}

impl SharedGroups {
    /// Sets the worker that hosts the actors of groups.
    pub(crate) fn set_home(&self, home: Addr<ShardActor>) {
        // There is one for each start.
        self.home.set(home).ok();
    }

    /// Joins the group of `key`; the first member makes its lane. Returns the last event whose result
    /// was sent before.
    fn join(
        self: &Arc<Self>,
        key: SharedKey,
        worker: &Addr<ShardActor>,
        lane: impl FnOnce(&Addr<ShardActor>) -> Arc<Lane>,
    ) -> (Arc<SharedGroup>, u64) {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.0.get(&key) {
            return (group.clone(), group.add(worker));
        }
        static LAST: AtomicU64 = AtomicU64::new(0);
        let group = Arc::new(SharedGroup {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            key: key.clone(),
            lane: lane(self.home.get().unwrap_or(worker)),
            hosts: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        });
        let sent = group.add(worker);
        groups.0.insert(key, group.clone());
        let (groups, starting) = (self.clone(), group.clone());
        let (route, guard) = (group.key.route.clone(), group.key.guard.clone());
        // In line before every event that is published from now on.
        self.run_at_home(move |worker| {
            let registration =
                worker
                    .shard()
                    .register_uncounted(route, guard, starting.lane.clone());
            let sink = Rc::new(GroupSink {
                group: starting.clone(),
                groups: Arc::downgrade(&groups),
            });
            let actor = SubscriptionActor::new(sink, registration, Some(starting.lane.clone()));
            groups.actors.lock().insert(starting.id, actor.start());
        });
        (group, sent)
    }

    fn leave(self: &Arc<Self>, group: &Arc<SharedGroup>, worker: &Addr<ShardActor>) {
        let mut groups = self.groups.lock();
        if !group.remove(worker) {
            return;
        }
        groups.remove_if(group);
        drop(groups);
        let (groups, id) = (self.clone(), group.id);
        self.run_at_home(move |_| {
            if let Some(actor) = groups.actors.lock().remove(&id) {
                actor.do_send(StopSubscription);
            }
        });
    }

    fn run_at_home(&self, run: impl FnOnce(&Rc<crate::worker::Worker>) + Send + 'static) {
        if let Some(home) = self.home.get() {
            home.do_send(RunOnWorker(Box::new(run)));
        }
    }
}

impl SharedGroup {
    fn add(&self, worker: &Addr<ShardActor>) -> u64 {
        let mut hosts = self.hosts.lock();
        match hosts.workers.iter_mut().find(|(known, _)| known == worker) {
            Some((_, members)) => *members += 1,
            None => hosts.workers.push((worker.clone(), 1)),
        }
        hosts.sent
    }

    /// Takes one member off; true when it was the last.
    fn remove(&self, worker: &Addr<ShardActor>) -> bool {
        let workers = &mut self.hosts.lock().workers;
        if let Some((_, members)) = workers.iter_mut().find(|(known, _)| known == worker) {
            *members -= 1;
        }
        workers.retain(|(_, members)| *members > 0);
        workers.is_empty()
    }

    /// Whether every result up to an event has been handed to the members.
    fn has_sent(&self, offset: u64) -> bool {
        self.lane.is_past(offset) && self.in_flight.load(Ordering::Acquire) == 0
    }

    fn send(self: &Arc<Self>, outcome: &SharedOutcome) {
        let mut hosts = self.hosts.lock();
        if let SharedOutcome::Next(_, Some(offset)) = outcome {
            hosts.sent = *offset;
        }
        let workers: Vec<_> = hosts.workers.iter().map(|(w, _)| w.clone()).collect();
        drop(hosts);
        for worker in workers {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            worker.do_send(DeliverShared {
                group: self.id,
                outcome: outcome.clone(),
                _delivery: Delivery(self.clone()),
            });
        }
    }
}

/// One result on its way to one worker; dropped when it has arrived, or never will.
pub(crate) struct Delivery(Arc<SharedGroup>);

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.waker.wake();
    }
}

/// Takes the results of a group's lane.
struct GroupSink {
    group: Arc<SharedGroup>,
    groups: Weak<SharedGroups>,
}

impl GroupSink {
    /// The lane has ended by itself: who comes later makes a new group.
    fn end(&self, outcome: &SharedOutcome) {
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

    fn next_of(&self, response: &Bytes, offset: Option<u64>) {
        let next = SharedOutcome::Next(response.clone(), offset);
        self.group.send(&next);
    }

    fn error(&self, errors: &[u8]) {
        self.end(&SharedOutcome::Error(Bytes::copy_from_slice(errors)));
    }

    fn complete(&self) {
        self.end(&SharedOutcome::Complete);
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

/// A subscriber that becomes a member.
pub(crate) struct Joining {
    pub(crate) key: SharedKey,
    /// The last event before it subscribed.
    pub(crate) joined: u64,
    pub(crate) sink: Rc<dyn ResponseSink>,
}

struct Member {
    /// The last event before it subscribed.
    joined: u64,
    sink: Rc<dyn ResponseSink>,
    /// The offset of the last result that it was handed.
    received: Cell<u64>,
}

/// The members of groups that one worker hosts.
#[derive(Default)]
pub(crate) struct SharedMembers {
    members: RefCell<HashMap<u64, HashMap<u64, Rc<Member>>>>,
}

impl SharedMembers {
    /// Adds a member, which receives the results of later events.
    pub(crate) fn join(
        self: &Rc<Self>,
        groups: &Arc<SharedGroups>,
        worker: &Addr<ShardActor>,
        joining: Joining,
        lane: impl FnOnce(&Addr<ShardActor>) -> Arc<Lane>,
    ) -> Membership {
        let (group, sent) = groups.join(joining.key, worker, lane);
        static LAST: AtomicU64 = AtomicU64::new(0);
        let member = LAST.fetch_add(1, Ordering::Relaxed);
        let mut members = self.members.borrow_mut();
        let of_group = members.entry(group.id).or_default();
        let joined = Rc::new(Member {
            joined: joining.joined,
            sink: joining.sink,
            received: Cell::new(joining.joined),
        });
        of_group.insert(member, joined.clone());
        drop(members);
        Membership {
            members: self.clone(),
            groups: groups.clone(),
            worker: worker.clone(),
            group,
            member,
            joined,
            sent,
        }
    }

    /// Hands an outcome to the members of a group.
    pub(crate) fn deliver(&self, group: u64, outcome: &SharedOutcome) {
        // Sinks may reach back, so nothing is borrowed while they run.
        let members: Vec<_> = match self.members.borrow().get(&group) {
            Some(members) => members.values().cloned().collect(),
            None => return,
        };
        for member in members {
            if let SharedOutcome::Next(_, Some(offset)) = outcome {
                member.received.set(*offset);
            }
            match outcome {
                SharedOutcome::Next(response, offset)
                    if offset.is_none_or(|offset| offset > member.joined) =>
                {
                    member.sink.next_of(response, *offset);
                }
                SharedOutcome::Next(..) => {}
                SharedOutcome::Error(errors) => member.sink.error(errors),
                SharedOutcome::Complete => member.sink.complete(),
            }
        }
    }
}

/// Keeps a subscriber in its group.
pub(crate) struct Membership {
    members: Rc<SharedMembers>,
    groups: Arc<SharedGroups>,
    worker: Addr<ShardActor>,
    group: Arc<SharedGroup>,
    member: u64,
    joined: Rc<Member>,
    sent: u64,
}

impl Membership {
    /// The last event whose result was sent before it joined.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The offset of the last event that came to the group and is not done.
    pub(crate) fn last(&self) -> u64 {
        self.group.lane.last()
    }

    /// Whether it was handed every result up to an event.
    pub(crate) fn has_received(&self, offset: u64) -> bool {
        self.joined.received.get() >= offset || self.group.has_sent(offset)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.members.members.borrow_mut();
        if let Some(of_group) = members.get_mut(&self.group.id) {
            of_group.remove(&self.member);
            if of_group.is_empty() {
                members.remove(&self.group.id);
            }
        }
        drop(members);
        self.groups.leave(&self.group, &self.worker);
    }
}
