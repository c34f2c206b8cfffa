//! The state of an engine, from the states of its links.

use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrivals, Health};
use parking_lot::Mutex;

use super::fault::Fault;
use super::slot::Role;

/// The states of the links, and what was told of them.
#[derive(Debug)]
pub(super) struct HealthBoard {
    states: Mutex<States>,
    /// What was told last. Held while it is told, so that changes are told in order.
    told: Mutex<Health>,
}

#[derive(Debug)]
struct States {
    links: [LinkState; Role::COUNT],
    is_closed: bool,
}

#[derive(Debug, Clone)]
enum LinkState {
    Starting,
    Live,
    Silent(Instant),
    Away { since: Instant, fault: Fault },
}

impl HealthBoard {
    pub(super) fn new() -> Self {
        Self {
            states: Mutex::new(States {
                links: [const { LinkState::Starting }; Role::COUNT],
                is_closed: false,
            }),
            told: Mutex::new(Health::Starting),
        }
    }

    /// The state now.
    pub(super) fn now(&self) -> Health {
        self.states.lock().health()
    }

    /// A link does its work.
    pub(super) fn live(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.states.lock().links[role as usize] = LinkState::Live;
        self.tell(arrivals);
    }

    /// No event comes through a link.
    pub(super) fn silent(&self, role: Role, arrivals: &Arc<dyn Arrivals>) {
        self.states.lock().links[role as usize] = LinkState::Silent(Instant::now());
        self.tell(arrivals);
    }

    /// A link has ended, or could not be made.
    pub(super) fn away(&self, role: Role, fault: &Fault, arrivals: &Arc<dyn Arrivals>) {
        {
            let mut states = self.states.lock();
            let link = &mut states.links[role as usize];
            let since = match link {
                LinkState::Away { since, .. } | LinkState::Silent(since) => *since,
                LinkState::Starting | LinkState::Live => Instant::now(),
            };
            let fault = fault.clone();
            *link = LinkState::Away { since, fault };
        }
        self.tell(arrivals);
    }

    /// The engine was closed.
    pub(super) fn closed(&self, arrivals: Option<&Arc<dyn Arrivals>>) {
        self.states.lock().is_closed = true;
        if let Some(arrivals) = arrivals {
            self.tell(arrivals);
        }
    }

    fn tell(&self, arrivals: &Arc<dyn Arrivals>) {
        let mut told = self.told.lock();
        let health = self.now();
        if *told != health {
            *told = health.clone();
            arrivals.health(health);
        }
    }
}

impl States {
    /// The state of the worst link; of two that are away, the one that was away first, but a wrong
    /// configuration before all else.
    fn health(&self) -> Health {
        if self.is_closed {
            return Health::Closed;
        }
        let away = self.links.iter().filter_map(|link| match link {
            LinkState::Away { since, fault } => Some((since, fault)),
            _ => None,
        });
        if let Some((since, fault)) =
            away.min_by_key(|(since, fault)| (!fault.is_configuration(), **since))
        {
            return Health::Away {
                since: *since,
                reason: fault.reason.clone(),
                is_configuration: fault.is_configuration(),
            };
        }
        if self
            .links
            .iter()
            .any(|link| matches!(link, LinkState::Starting))
        {
            return Health::Starting;
        }
        let silent = self.links.iter().find_map(|link| match link {
            LinkState::Silent(since) => Some(*since),
            _ => None,
        });
        match silent {
            Some(since) => Health::Silent { since },
            None => Health::Live,
        }
    }
}
