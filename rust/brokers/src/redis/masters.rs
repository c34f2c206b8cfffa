//! Which master has which partition.
//!
//! A single server, or the one that sentinels name, is one master with all partitions. Not here: asking
//! a cluster (`cluster`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::{Config, Topology};
use super::master::Master;
use super::names::Names;
use super::view::View;

/// The masters at one moment.
pub(super) struct Masters {
    all: Vec<Arc<Master>>,
    /// The master of each partition; `None` if it has none now.
    of: Vec<Option<Arc<Master>>>,
}

impl Masters {
    /// The masters before any server was asked.
    pub(super) fn new(config: &Config) -> Self {
        let one = match &config.topology {
            Topology::Single(address) => Some(Master::new(Some(address.clone()))),
            Topology::Sentinel { .. } => Some(Master::new(None)),
            Topology::Cluster { .. } => None,
        };
        Self {
            of: vec![one.clone(); config.partitions as usize],
            all: one.into_iter().collect(),
        }
    }

    /// The masters after a cluster has answered. Masters that are still there keep their links; those
    /// without a partition leave.
    pub(super) fn follow(&self, view: &View, names: &Names) -> Self {
        let mut all: Vec<Arc<Master>> = Vec::new();
        let of: Vec<_> = (0..self.of.len() as u32)
            .map(|partition| {
                let address = view.master_of(names.slot(partition))?;
                let is_there = |master: &&Arc<Master>| master.address.as_ref() == Some(address);
                if let Some(master) = all.iter().find(is_there) {
                    return Some(master.clone());
                }
                let known = self.all.iter().find(is_there).cloned();
                let master = known.unwrap_or_else(|| Master::new(Some(address.clone())));
                all.push(master.clone());
                Some(master)
            })
            .collect();
        let next = Self { all, of };
        self.note_moves(&next, view);
        for master in &self.all {
            if !next.has(master) {
                master.leave();
            }
        }
        next
    }

    /// Notes which partitions came from a master that still works: the cluster has moved them with
    /// their keys. A master that has lost all its slots may have been replaced by a replica with older
    /// data.
    fn note_moves(&self, next: &Self, view: &View) {
        for master in &next.all {
            master.keep_moves_of(&next.partitions_of(master));
        }
        for (partition, (before, after)) in self.of.iter().zip(&next.of).enumerate() {
            if let (Some(before), Some(after)) = (before, after)
                && before.number != after.number
                && before
                    .address
                    .as_ref()
                    .is_some_and(|address| view.has_slots(address))
                && let Some(run) = before.run()
            {
                after.moved_here(partition as u32, run);
            }
        }
    }

    /// All masters that have a partition.
    pub(super) fn all(&self) -> &[Arc<Master>] {
        &self.all
    }

    pub(super) fn has(&self, master: &Master) -> bool {
        self.all.iter().any(|one| one.number == master.number)
    }

    /// The master of a partition.
    pub(super) fn of(&self, partition: u32) -> Option<&Arc<Master>> {
        self.of.get(partition as usize)?.as_ref()
    }

    pub(super) fn partitions_of(&self, master: &Master) -> BTreeSet<u32> {
        let is_its =
            |of: &Option<Arc<Master>>| of.as_ref().is_some_and(|of| of.number == master.number);
        (0..)
            .zip(&self.of)
            .filter(|(_, of)| is_its(of))
            .map(|(partition, _)| partition)
            .collect()
    }

    /// The number of partitions without a master.
    pub(super) fn without_master(&self) -> usize {
        self.of.iter().filter(|of| of.is_none()).count()
    }

    /// Whether each partition has the same master.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let number = |of: &Option<Arc<Master>>| of.as_ref().map(|master| master.number);
        self.of.iter().map(number).eq(other.of.iter().map(number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Address;
    use super::*;

    fn address(port: u16) -> Address {
        Address::Tcp("h".to_owned(), port)
    }

    fn view(parts: &[(u16, std::ops::RangeInclusive<u16>)]) -> View {
        View::new(
            parts
                .iter()
                .map(|(port, slots)| (address(*port), slots.clone())),
        )
    }

    fn masters() -> (Masters, Names) {
        let mut config = Config::from_url("redis+cluster://h?partitions=4").unwrap();
        config.prefix = "fs1".to_owned();
        (Masters::new(&config), Names::new("fs1", 4))
    }

    #[test]
    fn partitions_are_spread_over_the_masters_and_links_stay() {
        let (none, names) = masters();
        assert_eq!((none.all().len(), none.without_master()), (0, 4));
        let first = none.follow(&view(&[(1, 0..=8191), (2, 8192..=16383)]), &names);
        assert_eq!((first.all().len(), first.without_master()), (2, 0));
        for master in first.all() {
            assert_eq!(first.partitions_of(master).len(), 2);
        }
        let again = first.follow(&view(&[(2, 8192..=16383), (1, 0..=8191)]), &names);
        assert!(again.is_same(&first));
        let less = first.follow(&view(&[(1, 0..=4095)]), &names);
        assert_eq!((less.all().len(), less.without_master()), (1, 3));
        assert!(!less.is_same(&first));
    }

    #[test]
    fn a_partition_that_was_moved_keeps_the_run_of_its_former_master() {
        let (none, names) = masters();
        let first = none.follow(&view(&[(1, 0..=8191), (2, 8192..=16383)]), &names);
        for master in first.all() {
            master.has_run(if master.address == Some(address(1)) {
                "one"
            } else {
                "two"
            });
        }
        let moved = first.follow(&view(&[(1, 0..=4095), (2, 4096..=16383)]), &names);
        let two = moved.of(1).unwrap();
        assert_eq!(two.former_run(1).as_deref(), Some("one"));
        assert_eq!(two.former_run(2), None);
        // It is known until the partition leaves, or the server has another run id.
        let again = moved.follow(&view(&[(1, 0..=4095), (2, 4096..=16383)]), &names);
        assert_eq!(again.of(1).unwrap().former_run(1).as_deref(), Some("one"));
        two.has_run("two");
        assert_eq!(two.former_run(1).as_deref(), Some("one"));
        two.has_run("restarted");
        assert_eq!(two.former_run(1), None);
    }

    #[test]
    fn a_partition_of_a_replaced_master_has_no_former_run() {
        let (none, names) = masters();
        let first = none.follow(&view(&[(1, 0..=8191), (2, 8192..=16383)]), &names);
        for master in first.all() {
            master.has_run("some");
        }
        let failed_over = first.follow(&view(&[(3, 0..=8191), (2, 8192..=16383)]), &names);
        let three = failed_over.of(0).unwrap();
        assert_eq!((three.former_run(0), three.former_run(1)), (None, None));
    }
}
