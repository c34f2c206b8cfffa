//! The state of the links.

use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrivals, EngineHealth, Health, Role};
use parking_lot::Mutex;

use super::fault::Fault;

/// The state of the link of each role.
#[derive(Debug, Default)]
pub(super) struct HealthBoard {
    /// Locked while a change is reported, so that changes are reported in order.
    states: Mutex<States>,
}

#[derive(Debug, Default)]
struct States {
    reported: EngineHealth,
    /// Why there is no link.
    faults: [Option<Fault>; Role::COUNT],
}

impl HealthBoard {
    pub(super) fn now(&self) -> EngineHealth {
        self.states.lock().reported.clone()
    }

    /// Why there is no link of a role.
    pub(super) fn fault(&self, role: Role) -> Fault {
        let fault = self.states.lock().faults[role as usize].clone();
        fault.unwrap_or_else(|| Fault::away("there is no link to PostgreSQL"))
    }

    /// Sets a link to live.
    pub(super) fn live(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, None, arrivals, |_| Health::Live);
    }

    /// Sets a link to silent: what was committed does not arrive.
    pub(super) fn silent(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, None, arrivals, |before| match before {
            Health::Silent { since } => Health::Silent { since: *since },
            _ => Health::Silent {
                since: Instant::now(),
            },
        });
    }

    /// Sets a link to away: it has ended, or could not be made.
    pub(super) fn away(&self, role: Role, fault: &Fault, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, Some(fault), arrivals, |before| Health::Away {
            since: match before {
                Health::Away { since, .. } | Health::Silent { since } => *since,
                Health::Starting | Health::Live | Health::Closed => Instant::now(),
            },
            reason: fault.reason.clone(),
            is_configuration: fault.is_configuration(),
        });
    }

    /// Sets all roles to closed.
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
        let before = states.reported.of(role);
        // A link may end after the engine was closed.
        if *before == Health::Closed {
            return;
        }
        let health = after(before);
        let has_changed = *before != health;
        states.faults[role as usize] = fault.cloned();
        if has_changed {
            states.reported.set(role, health.clone());
            arrivals.health(role, health);
        }
    }
}
