//! The state of an engine, computed from the states of the links to its masters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrivals, EngineHealth, Health, Role};
use parking_lot::Mutex;

use super::fault::Fault;
use super::master::Master;
use super::masters::Masters;

/// The state of each link, by master and role.
#[derive(Debug)]
pub(super) struct LinkStates {
    /// Locked while a change is reported, so that changes are reported in order.
    states: Mutex<States>,
}

#[derive(Debug)]
struct States {
    /// By the numbers of the masters.
    masters: HashMap<u64, MasterState>,
    /// Why partitions have no master, and since when.
    cluster: Option<(Fault, Health)>,
    /// The reported state of each role: the worst of its links.
    reported: EngineHealth,
}

#[derive(Debug, Default)]
struct MasterState {
    health: EngineHealth,
    /// Why there is no link.
    faults: [Option<Fault>; Role::COUNT],
}

impl LinkStates {
    pub(super) fn new(masters: &Masters) -> Self {
        let states = masters.all().iter().map(|master| master.number);
        Self {
            states: Mutex::new(States {
                masters: states
                    .map(|number| (number, MasterState::default()))
                    .collect(),
                cluster: None,
                reported: EngineHealth::default(),
            }),
        }
    }

    /// The reported state of each role.
    pub(super) fn now(&self) -> EngineHealth {
        self.states.lock().reported.clone()
    }

    /// The state of the links of a role to one master.
    pub(super) fn of(&self, master: &Master, role: Role) -> Health {
        let states = self.states.lock();
        match (states.reported.of(role), states.masters.get(&master.number)) {
            (Health::Closed, _) => Health::Closed,
            (_, Some(state)) => state.health.of(role).clone(),
            (_, None) => Health::Starting,
        }
    }

    /// Why there is no link of a role to a master.
    pub(super) fn fault(&self, master: &Master, role: Role) -> Fault {
        let states = self.states.lock();
        let state = states.masters.get(&master.number);
        let fault = state.and_then(|state| state.faults[role as usize].clone());
        fault.unwrap_or_else(|| Fault::away("there is no link to Redis"))
    }

    /// Why a partition has no master.
    pub(super) fn no_master(&self) -> Fault {
        let states = self.states.lock();
        let fault = states.cluster.as_ref().map(|(fault, _)| fault.clone());
        fault.unwrap_or_else(|| Fault::away("it is not known yet which server has the partition"))
    }

    /// Sets a link to live.
    pub(super) fn live(&self, master: &Master, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.set(master, role, None, arrivals, |_| Health::Live);
    }

    /// Sets a link to silent: no event comes through it.
    pub(super) fn silent(&self, master: &Master, role: Role, arrivals: &Arc<dyn Arrivals>) {
        let since = Instant::now();
        self.set(master, role, None, arrivals, |_| Health::Silent { since });
    }

    /// Sets a link to away: it has ended, or could not be made.
    pub(super) fn away(
        &self,
        master: &Master,
        role: Role,
        fault: &Fault,
        arrivals: &Arc<dyn Arrivals>,
    ) {
        self.set(master, role, Some(fault), arrivals, |before| {
            away(before, fault)
        });
    }

    /// Removes the states of masters that have left, and adds new ones.
    pub(super) fn follow(&self, masters: &Masters, arrivals: &Arc<dyn Arrivals>) {
        let mut states = self.states.lock();
        let mut before = std::mem::take(&mut states.masters);
        let numbers = masters.all().iter().map(|master| master.number);
        states.masters = numbers
            .map(|number| (number, before.remove(&number).unwrap_or_default()))
            .collect();
        states.report(arrivals);
    }

    /// Sets why some partitions have no master; `None` if each has one.
    pub(super) fn cluster(&self, fault: Option<&Fault>, arrivals: &Arc<dyn Arrivals>) {
        let mut states = self.states.lock();
        states.cluster = fault.map(|fault| {
            let before = states.cluster.as_ref().map(|(_, health)| health);
            (fault.clone(), away(before.unwrap_or(&Health::Live), fault))
        });
        states.report(arrivals);
    }

    /// Sets all roles to closed.
    pub(super) fn closed(&self, arrivals: &Arc<dyn Arrivals>) {
        let mut states = self.states.lock();
        for role in Role::ALL {
            states.reported.set(role, Health::Closed);
            arrivals.health(role, Health::Closed);
        }
    }

    fn set(
        &self,
        master: &Master,
        role: Role,
        fault: Option<&Fault>,
        arrivals: &Arc<dyn Arrivals>,
        after: impl FnOnce(&Health) -> Health,
    ) {
        let mut states = self.states.lock();
        // The master may have left in the meantime.
        if let Some(state) = states.masters.get_mut(&master.number) {
            state.faults[role as usize] = fault.cloned();
            let health = after(state.health.of(role));
            state.health.set(role, health);
            states.report(arrivals);
        }
    }
}

impl States {
    /// Reports the roles whose worst state has changed.
    fn report(&mut self, arrivals: &Arc<dyn Arrivals>) {
        for role in Role::ALL {
            let of_masters = self.masters.values().map(|state| state.health.of(role));
            let of_cluster = self.cluster.iter().map(|(_, health)| health);
            let worst = of_cluster
                .chain(of_masters)
                .min_by_key(|health| health.rank());
            let worst = worst.cloned().unwrap_or(Health::Starting);
            let reported = self.reported.of(role);
            // A link may end after the engine was closed.
            if *reported != worst && *reported != Health::Closed {
                self.reported.set(role, worst.clone());
                arrivals.health(role, worst);
            }
        }
    }
}

fn away(before: &Health, fault: &Fault) -> Health {
    Health::Away {
        since: match before {
            Health::Away { since, .. } | Health::Silent { since } => *since,
            Health::Starting | Health::Live | Health::Closed => Instant::now(),
        },
        reason: fault.reason.clone(),
        is_configuration: fault.is_configuration(),
    }
}
