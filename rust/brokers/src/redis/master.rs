//! One master: its links, and what is known about it.
//!
//! Each role has its own connection: a page of history must not delay live events. Not here: which
//! partitions a master has (`masters`), connecting (`supervisor`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus::engine::Role;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::config::Address;
use super::link::Link;

/// A server that accepts writes: the only one, the one that sentinels name, or one of a cluster.
pub(super) struct Master {
    /// Identifies it among all masters of this process, including a later one at the same address.
    pub(super) number: u64,
    /// Its address; `None` if the sentinels are asked before each connection.
    pub(super) address: Option<Address>,
    links: [Slot; Role::COUNT],
    /// Notified when wants of its partitions have changed.
    pub(super) wants_changed: Notify,
    /// How many probes in a row have not come back.
    pub(super) probe_failures: Mutex<u32>,
    moves: Mutex<Moves>,
    has_left: watch::Sender<bool>,
}

/// From which servers partitions were moved to this master.
#[derive(Default)]
struct Moves {
    /// The run id of the server, from its newest link.
    run: Option<Arc<str>>,
    /// By partition: the run id of the master from which it was moved here.
    former: HashMap<u32, Arc<str>>,
}

impl Master {
    pub(super) fn new(address: Option<Address>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            links: Default::default(),
            wants_changed: Notify::new(),
            probe_failures: Mutex::default(),
            moves: Mutex::default(),
            has_left: watch::Sender::new(false),
        })
    }

    /// The place of the link of a role.
    pub(super) fn slot(&self, role: Role) -> &Slot {
        &self.links[role as usize]
    }

    /// Sets the run id of the server. A server with another run id may have older data, so the
    /// partitions that were moved here are forgotten.
    pub(super) fn has_run(&self, run: &str) {
        let mut moves = self.moves.lock();
        if moves.run.as_deref() != Some(run) {
            if moves.run.is_some() {
                moves.former.clear();
            }
            moves.run = Some(run.into());
        }
    }

    /// The run id of the server, from its newest link.
    pub(super) fn run(&self) -> Option<Arc<str>> {
        self.moves.lock().run.clone()
    }

    /// Notes that a partition was moved here, with its keys, from a master that still works.
    pub(super) fn moved_here(&self, partition: u32, from: Arc<str>) {
        self.moves.lock().former.insert(partition, from);
    }

    /// Forgets the moves of all other partitions.
    pub(super) fn keep_moves_of(&self, partitions: &BTreeSet<u32>) {
        let mut moves = self.moves.lock();
        moves
            .former
            .retain(|partition, _| partitions.contains(partition));
    }

    /// The run id of the master from which a partition was moved here.
    pub(super) fn former_run(&self, partition: u32) -> Option<Arc<str>> {
        self.moves.lock().former.get(&partition).cloned()
    }

    /// Ends its links: it has no partition any more.
    pub(super) fn leave(&self) {
        self.has_left.send_replace(true);
    }

    /// Waits for [`Self::leave`].
    pub(super) async fn left(&self) {
        let mut has_left = self.has_left.subscribe();
        let _ = has_left.wait_for(|has_left| *has_left).await;
    }
}

/// The link of a role, if there is one.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Arc<Link>>>);

impl Slot {
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.0.lock().clone()
    }

    /// Sets the link until the returned guard is dropped.
    pub(super) fn put(&self, link: &Arc<Link>) -> Placed<'_> {
        *self.0.lock() = Some(link.clone());
        Placed(self)
    }
}

/// Removes the link from its slot when it is dropped, also if the task is aborted.
pub(super) struct Placed<'a>(&'a Slot);

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.0.0.lock().take();
    }
}
