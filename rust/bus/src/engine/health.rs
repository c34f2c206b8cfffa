//! The state of the links to an engine.
//!
//! Each [`Role`] has its own state: whether publishers must wait depends on the links that publish
//! alone. [`EngineHealth`] holds the states of all roles, for the log and for metrics.

use std::time::Instant;

/// The purpose of a link to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It reads history and the newest positions.
    Reader,
    /// It receives the events of wanted streams.
    Subscriber,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; Self::COUNT] = [Self::Publisher, Self::Reader, Self::Subscriber];
    /// The number of roles.
    pub const COUNT: usize = 3;
}

/// The state of the links of one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// The first link is being made.
    #[default]
    Starting,
    /// The links work.
    Live,
    /// A link exists, but no event or probe comes through it.
    Silent {
        /// Since when.
        since: Instant,
    },
    /// There is no link.
    Away {
        /// Since when.
        since: Instant,
        /// The cause, for the log. Contains no password.
        reason: String,
        /// Whether only a change of the configuration helps, for example because a password was
        /// refused.
        is_configuration: bool,
    },
    /// The engine was closed.
    Closed,
}

impl Health {
    /// Whether the links work.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// Orders states, the worst first: closed; away because of the configuration; away; starting;
    /// silent; live. Equal states are ordered by when they began.
    #[must_use]
    pub fn rank(&self) -> (u8, Option<Instant>) {
        match self {
            Self::Closed => (0, None),
            Self::Away {
                is_configuration: true,
                since,
                ..
            } => (1, Some(*since)),
            Self::Away { since, .. } => (2, Some(*since)),
            Self::Starting => (3, None),
            Self::Silent { since } => (4, Some(*since)),
            Self::Live => (5, None),
        }
    }
}

/// The state of the links of each role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineHealth([Health; Role::COUNT]);

impl EngineHealth {
    /// The state of the links of a role.
    #[must_use]
    pub fn of(&self, role: Role) -> &Health {
        &self.0[role as usize]
    }

    /// Sets the state of the links of a role.
    pub fn set(&mut self, role: Role, health: Health) {
        self.0[role as usize] = health;
    }

    /// The worst of the states, by [`Health::rank`].
    #[must_use]
    pub fn worst(&self) -> &Health {
        let [first, others @ ..] = &self.0;
        others.iter().fold(first, |worst, health| {
            if health.rank() < worst.rank() {
                health
            } else {
                worst
            }
        })
    }

    /// Whether the links of every role work.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.worst().is_live()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn away(since: Instant, is_configuration: bool) -> Health {
        Health::Away {
            since,
            reason: "test".to_owned(),
            is_configuration,
        }
    }

    #[test]
    fn the_worst_role_is_reported_and_each_keeps_its_own_state() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut health = EngineHealth::default();
        assert_eq!(*health.worst(), Health::Starting);
        for role in Role::ALL {
            health.set(role, Health::Live);
        }
        assert!(health.is_live());
        health.set(Role::Subscriber, Health::Silent { since: now });
        assert_eq!(*health.worst(), Health::Silent { since: now });
        health.set(Role::Subscriber, away(later, false));
        health.set(Role::Publisher, away(now, false));
        assert_eq!(*health.worst(), away(now, false));
        health.set(Role::Reader, away(later, true));
        assert_eq!(*health.worst(), away(later, true));
        assert_eq!(*health.of(Role::Publisher), away(now, false));
        assert!(!health.is_live());
    }
}
