//! The state of an engine, from the states of its links.

use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrivals, EngineHealth, Health, Role};
use parking_lot::Mutex;

use super::fault::Fault;

/// The states of the links, by their roles.
#[derive(Debug)]
pub(super) struct HealthBoard {
    /// Held while a change is told, so that changes are told in order.
    states: Mutex<States>,
}

#[derive(Debug)]
struct States {
    health: EngineHealth,
    /// Why there is no link.
    faults: [Option<Fault>; Role::COUNT],
}

impl HealthBoard {
    pub(super) fn new() -> Self {
        Self {
            states: Mutex::new(States {
                health: EngineHealth::default(),
                faults: Default::default(),
            }),
        }
    }

    /// The states now.
    pub(super) fn now(&self) -> EngineHealth {
        self.states.lock().health.clone()
    }

    /// Why there is no link of a role.
    pub(super) fn fault(&self, role: Role) -> Fault {
        let fault = self.states.lock().faults[role as usize].clone();
        fault.unwrap_or_else(|| Fault::away("there is no link to Redis"))
    }

    /// A link does its work.
    pub(super) fn live(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, None, arrivals, |_| Health::Live);
    }

    /// No event comes through a link.
    pub(super) fn silent(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        let since = Instant::now();
        self.set(role, None, arrivals, |_| Health::Silent { since });
    }

    /// A link has ended, or could not be made.
    pub(super) fn away(&self, role: Role, fault: &Fault, arrivals: &Arc<dyn Arrivals>) {
        let away = |before: &Health| Health::Away {
            since: match before {
                Health::Away { since, .. } | Health::Silent { since } => *since,
                Health::Starting | Health::Live | Health::Closed => Instant::now(),
            },
            reason: fault.reason.clone(),
            is_configuration: fault.is_configuration(),
        };
        self.set(role, Some(fault), arrivals, away);
    }

    /// The engine was closed.
    pub(super) fn closed(&self, arrivals: &Arc<dyn Arrivals>) {
        for role in Role::ALL {
            self.set(role, None, arrivals, |_| Health::Closed);
        }
    }

    fn set(
        &self,
        role: Role,
        fault: Option<&Fault>,
        arrivals: &Arc<dyn Arrivals>,
        after: impl FnOnce(&Health) -> Health,
    ) {
        let mut states = self.states.lock();
        states.faults[role as usize] = fault.cloned();
        let before = states.health.of(role);
        let health = after(before);
        // A link may end after the engine was closed.
        if *before != health && *before != Health::Closed {
            states.health.set(role, health.clone());
            arrivals.health(role, health);
        }
    }
}
