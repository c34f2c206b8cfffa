//! Logs which links to an engine have failed and why, and when they work again.
//!
//! Writes one line for each link that fails and for each new reason, not for each attempt. The lines of
//! one outage are bounded. Not here: the state of a link (`engine`).

use std::time::{Duration, Instant};

use crate::engine::{EngineHealth, Health, Role};

/// Reasons that are logged in one outage (count), and as many again that concern the configuration.
const MAX_REASONS: usize = 8;

/// What was logged about the current outage.
#[derive(Debug, Default)]
pub(super) struct HealthLog {
    /// When the first link failed; `None` if all are live.
    since: Option<Instant>,
    /// Whether a failure of the role was logged.
    is_logged: [bool; Role::COUNT],
    reasons: Vec<Reason>,
}

/// Why a link does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) is_configuration: bool,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The links of these roles do not work.
    Away(Vec<Role>, Reason),
    /// The links of these roles work again, others do not.
    Partly(Vec<Role>),
    /// All links work again, after this time.
    Back(Duration),
}

impl HealthLog {
    /// Returns the lines to log for the current states.
    pub(super) fn update(&mut self, health: &EngineHealth, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut back = Vec::new();
        for role in Role::ALL {
            let is_logged = &mut self.is_logged[role as usize];
            if *is_logged && health.of(role).is_live() {
                *is_logged = false;
                back.push(role);
            }
        }
        if health.is_live() {
            self.reasons.clear();
            if let Some(since) = self.since.take()
                && !back.is_empty()
            {
                lines.push(Line::Back(now.saturating_duration_since(since)));
            }
            return lines;
        }
        if !back.is_empty() {
            lines.push(Line::Partly(back));
        }
        let away: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| since(health.of(*role)).is_some())
            .collect();
        if let Some(reason) = reason(health.worst()) {
            let is_new = away.iter().any(|role| !self.is_logged[*role as usize]);
            let is_other = self.is_other(&reason);
            if is_new || is_other {
                for role in &away {
                    self.is_logged[*role as usize] = true;
                }
                let first = away.iter().filter_map(|role| since(health.of(*role))).min();
                self.since = self.since.or(first);
                if is_other {
                    self.reasons.push(reason.clone());
                }
                lines.push(Line::Away(away, reason));
            }
        }
        lines
    }

    /// Whether a reason was not logged yet in this outage, and the bound allows it.
    fn is_other(&self, reason: &Reason) -> bool {
        let of_kind = |logged: &&Reason| logged.is_configuration == reason.is_configuration;
        let logged = self.reasons.iter().filter(of_kind).count();
        logged < MAX_REASONS && !self.reasons.contains(reason)
    }
}

impl Line {
    /// `has_clients`: whether this program delivers events, and does not only publish.
    pub(super) fn log(&self, has_clients: bool) {
        match self {
            Self::Away(roles, reason) if reason.is_configuration => tracing::error!(
                name: "bus.refused",
                target: "fraiseql_subs",
                reason = reason.text,
                links = names(roles),
                "the bus refuses this program: correct its configuration; {}",
                consequences(roles, has_clients)
            ),
            Self::Away(roles, reason) => tracing::warn!(
                name: "bus.away",
                target: "fraiseql_subs",
                reason = reason.text,
                links = names(roles),
                "the bus cannot be reached: {}; connecting is tried again until it succeeds",
                consequences(roles, has_clients)
            ),
            Self::Partly(roles) => tracing::info!(
                name: "bus.partly_back",
                target: "fraiseql_subs",
                links = names(roles),
                "some links to the bus are back, others are not"
            ),
            Self::Back(time) => tracing::info!(
                name: "bus.back",
                target: "fraiseql_subs",
                "the bus is back after {:.1} s: events are published{} again",
                time.as_secs_f64(),
                if has_clients { " and delivered" } else { "" }
            ),
        }
    }
}

fn since(health: &Health) -> Option<Instant> {
    match health {
        Health::Away { since, .. } | Health::Silent { since } => Some(*since),
        Health::Starting | Health::Live | Health::Closed => None,
    }
}

fn reason(health: &Health) -> Option<Reason> {
    let (text, is_configuration) = match health {
        Health::Away {
            reason,
            is_configuration,
            ..
        } => (reason.clone(), *is_configuration),
        Health::Silent { .. } => ("a published probe has not come back".to_owned(), false),
        Health::Starting | Health::Live | Health::Closed => return None,
    };
    Some(Reason {
        text,
        is_configuration,
    })
}

fn names(roles: &[Role]) -> String {
    let name = |role: &Role| match role {
        Role::Publisher => "publisher",
        Role::Reader => "reader",
        Role::Subscriber => "subscriber",
    };
    roles.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn consequences(roles: &[Role], has_clients: bool) -> &'static str {
    if !has_clients && roles.contains(&Role::Publisher) {
        "this program cannot publish events"
    } else if !has_clients {
        "this program can publish events all the same"
    } else if roles.contains(&Role::Subscriber) {
        "clients stay connected, but receive no events"
    } else if roles.contains(&Role::Publisher) {
        "clients receive events, but this process cannot publish any"
    } else {
        "clients receive events, but those that they have missed cannot be read"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(since: Instant, text: &str, is_configuration: bool) -> Health {
        Health::Away {
            since,
            reason: text.to_owned(),
            is_configuration,
        }
    }

    fn reason_of(text: &str, is_configuration: bool) -> Reason {
        Reason {
            text: text.to_owned(),
            is_configuration,
        }
    }

    fn all(health: &Health) -> EngineHealth {
        let mut all = EngineHealth::default();
        for role in Role::ALL {
            all.set(role, health.clone());
        }
        all
    }

    #[test]
    fn an_outage_is_logged_once_and_again_for_a_new_reason() {
        let now = Instant::now();
        let mut log = HealthLog::default();
        assert_eq!(log.update(&all(&Health::Starting), now), []);
        let refused = all(&away(now, "connection refused", false));
        let wrong = all(&away(now, "WRONGPASS", true));
        assert_eq!(
            log.update(&refused, now),
            [Line::Away(
                Role::ALL.to_vec(),
                reason_of("connection refused", false)
            )]
        );
        assert_eq!(log.update(&refused, now), []);
        assert_eq!(
            log.update(&wrong, now),
            [Line::Away(Role::ALL.to_vec(), reason_of("WRONGPASS", true))]
        );
        for _ in 0..3 {
            assert_eq!(log.update(&refused, now), []);
            assert_eq!(log.update(&wrong, now), []);
        }
        let later = now + Duration::from_secs(7);
        let back = [Line::Back(Duration::from_secs(7))];
        assert_eq!(log.update(&all(&Health::Live), later), back);
        assert_eq!(log.update(&all(&Health::Live), later), []);
        // A second outage is logged again.
        assert_eq!(log.update(&refused, later).len(), 1);
    }

    #[test]
    fn ever_new_reasons_are_bounded_and_do_not_hide_a_wrong_configuration() {
        let now = Instant::now();
        let mut log = HealthLog::default();
        let logged = (0..100)
            .map(|attempt| all(&away(now, &format!("reason {attempt}"), false)))
            .filter(|health| !log.update(health, now).is_empty())
            .count();
        assert_eq!(logged, MAX_REASONS);
        let wrong = all(&away(now, "WRONGPASS", true));
        assert_eq!(log.update(&wrong, now).len(), 1);
    }

    #[test]
    fn links_that_fail_and_links_that_are_back_are_named() {
        let now = Instant::now();
        let mut log = HealthLog::default();
        let mut health = all(&Health::Live);
        health.set(Role::Reader, away(now, "NOPERM", true));
        let noperm = || reason_of("NOPERM", true);
        let line = Line::Away(vec![Role::Reader], noperm());
        assert_eq!(log.update(&health, now), [line]);
        health.set(Role::Publisher, away(now, "refused", false));
        let both = Line::Away(vec![Role::Publisher, Role::Reader], noperm());
        assert_eq!(log.update(&health, now), [both]);
        health.set(Role::Publisher, Health::Live);
        let partly = Line::Partly(vec![Role::Publisher]);
        assert_eq!(log.update(&health, now), [partly]);
        health.set(Role::Reader, Health::Live);
        assert_eq!(log.update(&health, now), [Line::Back(Duration::ZERO)]);
    }

    #[test]
    fn closing_the_engine_is_not_an_outage() {
        let mut log = HealthLog::default();
        let now = Instant::now();
        log.update(&all(&away(now, "refused", false)), now);
        assert_eq!(log.update(&all(&Health::Closed), now), []);
    }
}
