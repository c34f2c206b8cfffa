//! Whether clients should be sent to this process.

use std::time::Duration;

/// Whether clients should be sent to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They should.
    Ready,
    /// It drains, or is about to, and lets no client in then.
    Draining,
    /// It cannot reach its engine, and that counts. Clients are let in, and keep their connections.
    BusAway,
}

impl Readiness {
    /// `away_for`: how long the engine cannot be reached. It counts if the caller asks for it, or after
    /// a time that the application has set.
    #[must_use]
    pub(crate) fn of(
        is_leaving: bool,
        away_for: Option<Duration>,
        with_bus: bool,
        unready_after: Option<Duration>,
    ) -> Self {
        let counts = |away_for: Duration| {
            with_bus || unready_after.is_some_and(|longest| away_for >= longest)
        };
        match away_for {
            _ if is_leaving => Self::Draining,
            Some(away_for) if counts(away_for) => Self::BusAway,
            Some(_) | None => Self::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_engine_that_is_away_counts_for_those_who_want_it() {
        let away = Some(SECOND);
        let of = |away, with_bus, after| Readiness::of(false, away, with_bus, after);
        assert_eq!(of(away, false, None), Readiness::Ready);
        assert_eq!(of(away, true, None), Readiness::BusAway);
        assert_eq!(of(away, false, Some(2 * SECOND)), Readiness::Ready);
        assert_eq!(of(away, false, Some(SECOND)), Readiness::BusAway);
        assert_eq!(of(None, true, Some(Duration::ZERO)), Readiness::Ready);
    }

    #[test]
    fn a_drain_is_told_first() {
        let draining = Readiness::of(true, Some(SECOND), true, None);
        assert_eq!(draining, Readiness::Draining);
    }
}
