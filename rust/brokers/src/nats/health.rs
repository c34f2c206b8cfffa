//! The state of the links of each role.

use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrivals, EngineHealth, Health, Role};
use parking_lot::Mutex;

use super::fault::Fault;

/// The state of the links of each role.
#[derive(Debug, Default)]
pub(super) struct LinkStates(Mutex<EngineHealth>);

impl LinkStates {
    pub(super) fn now(&self) -> EngineHealth {
        self.0.lock().clone()
    }

    /// Why there is no link of a role.
    pub(super) fn fault(&self, role: Role) -> Fault {
        match self.0.lock().of(role) {
            Health::Away {
                reason,
                is_configuration: true,
                ..
            } => Fault::configuration(reason.clone()),
            Health::Away { reason, .. } => Fault::away(reason.clone()),
            Health::Closed => Fault::away("the engine is closed"),
            Health::Starting | Health::Live | Health::Silent { .. } => {
                Fault::away("there is no link to NATS yet")
            }
        }
    }

    pub(super) fn live(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, arrivals, |_| Health::Live);
    }

    pub(super) fn away(&self, role: Role, fault: &Fault, arrivals: &Arc<dyn Arrivals>) {
        self.set(role, arrivals, |before| Health::Away {
            since: match before {
                Health::Away { since, .. } | Health::Silent { since } => *since,
                Health::Starting | Health::Live | Health::Closed => Instant::now(),
            },
            reason: fault.reason.clone(),
            is_configuration: fault.is_configuration(),
        });
    }

    pub(super) fn closed(&self, arrivals: &Arc<dyn Arrivals>) {
        for role in Role::ALL {
            self.set(role, arrivals, |_| Health::Closed);
        }
    }

    /// Locked while a change is reported, so that changes are reported in order.
    fn set(&self, role: Role, arrivals: &Arc<dyn Arrivals>, after: impl FnOnce(&Health) -> Health) {
        let mut states = self.0.lock();
        let before = states.of(role);
        let now = after(before);
        // A link may end after the engine was closed.
        if *before != now && *before != Health::Closed {
            states.set(role, now.clone());
            arrivals.health(role, now);
        }
    }
}
