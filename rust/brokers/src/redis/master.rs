//! One master: its links, and what is known of it.
//!
//! Each role has a connection of its own: a page of history must not stand before live events. Not here:
//! which partitions a master has (`masters`), connecting (`supervisor`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus::engine::Role;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::config::Address;
use super::link::Link;

/// A server that takes writes: the only one, the one that sentinels name, or one of a cluster.
pub(super) struct Master {
    /// Tells it from other masters of this process, also from a later one at the same address.
    pub(super) number: u64,
    /// Where it is; `None`: that is asked for before each connection.
    pub(super) address: Option<Address>,
    links: [Slot; Role::COUNT],
    /// Woken when wants of its partitions have changed.
    pub(super) wants_changed: Notify,
    /// How many probes in a row have not come back.
    pub(super) probe_failures: Mutex<u32>,
    moves: Mutex<Moves>,
    has_left: watch::Sender<bool>,
}

/// Where partitions came from.
#[derive(Default)]
struct Moves {
    /// The run that the newest link has shown.
    run: Option<Arc<str>>,
    /// The run of the master from which a partition was moved here, by partition.
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

    /// Where the link of a role is found.
    pub(super) fn slot(&self, role: Role) -> &Slot {
        &self.links[role as usize]
    }

    /// A link has shown the run of the server. Another run than before may have older data: what was
    /// known of partitions that were moved here does not hold for it.
    pub(super) fn has_run(&self, run: &str) {
        let mut moves = self.moves.lock();
        if moves.run.as_deref() != Some(run) {
            if moves.run.is_some() {
                moves.former.clear();
            }
            moves.run = Some(run.into());
        }
    }

    /// The run that the newest link has shown.
    pub(super) fn run(&self) -> Option<Arc<str>> {
        self.moves.lock().run.clone()
    }

    /// A partition was moved here, with its keys, from a master that goes on.
    pub(super) fn moved_here(&self, partition: u32, from: Arc<str>) {
        self.moves.lock().former.insert(partition, from);
    }

    /// Only these partitions are here.
    pub(super) fn keep_moves_of(&self, partitions: &BTreeSet<u32>) {
        let mut moves = self.moves.lock();
        moves
            .former
            .retain(|partition, _| partitions.contains(partition));
    }

    /// The run of the master from which a partition was moved here.
    pub(super) fn former_run(&self, partition: u32) -> Option<Arc<str>> {
        self.moves.lock().former.get(&partition).cloned()
    }

    /// It has no partition any more: its links end.
    pub(super) fn leave(&self) {
        self.has_left.send_replace(true);
    }

    /// Waits until it has no partition any more.
    pub(super) async fn left(&self) {
        let mut has_left = self.has_left.subscribe();
        let _ = has_left.wait_for(|has_left| *has_left).await;
    }
}

/// Where the link of a role is found while there is one.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Arc<Link>>>);

impl Slot {
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.0.lock().clone()
    }

    /// Puts a link there for as long as what is returned is kept.
    pub(super) fn put(&self, link: &Arc<Link>) -> Placed<'_> {
        *self.0.lock() = Some(link.clone());
        Placed(self)
    }
}

/// A link in its slot. Takes it out when it is dropped, also where the task is aborted.
pub(super) struct Placed<'a>(&'a Slot);

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.0.0.lock().take();
    }
}
