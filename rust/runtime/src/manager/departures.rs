//! When a drain closes each connection: their order and their times.
//!
//! The clients whose way back takes longest are first, the others in a random order. The times have
//! a bound for each second and a random part. Not here: who closes the connections (`Registry`).

use std::cmp::Reverse;
use std::time::Duration;

use crate::connection::ClientPath;

/// The most connections that are closed in one second unless it is set (count). A few clients do not
/// hold up a developer, and many do not come back at once.
const CLOSES_PER_SECOND: f64 = 20.0;

/// Random part of the time between two closes.
const JITTER: f64 = 0.5;

/// Part of the bound that is used: clients take different times to come back, so they arrive closer
/// together than they left. With 0.8, 10,000 clients that came back at once exceeded it by a hundredth.
const USED: f64 = 0.75;

/// Part of the drain that is kept for those that are closed last: results that are under way.
const RESERVE: u32 = 10;

/// Longest reserve.
const MAX_RESERVE: Duration = Duration::from_secs(1);

/// How a manager drains.
#[derive(Debug, Clone, Copy)]
pub struct DrainOptions {
    /// Time that running operations have to end.
    pub limit: Duration,
    /// How long clients are let in before, while readiness sends them elsewhere.
    pub ready_delay: Duration,
    /// The most connections that are closed in one second, unless `limit` is too short for that;
    /// `None`: the default.
    pub closes_per_second: Option<f64>,
}

/// The closes of a drain.
#[derive(Debug)]
pub(crate) struct Departures<C> {
    /// Who leaves, and how long after the begin, in this order.
    pub(crate) times: Vec<(C, Duration)>,
    /// Time in which all of them would leave by the bound.
    needed: Duration,
    /// The bound, if it was set, and cannot be kept.
    broken: Option<f64>,
}

impl<C> Departures<C> {
    /// Plans when clients leave within a drain.
    pub(crate) fn plan(clients: Vec<(C, ClientPath)>, drain: &DrainOptions) -> Self {
        let gaps = clients.len().saturating_sub(1);
        let places = u32::try_from(gaps).unwrap_or(u32::MAX);
        let reserve = (drain.limit / RESERVE).min(MAX_RESERVE);
        let window = drain.limit.saturating_sub(reserve);
        let bound = drain.closes_per_second.unwrap_or(CLOSES_PER_SECOND);
        let paced = step_of(bound);
        let step = paced.min(window / places.max(1));
        let is_broken = step < paced && gaps > 0;
        let times = shuffled(clients).into_iter().enumerate();
        let times = times.map(|(place, (client, random))| {
            let fraction = f64::from(random) / f64::from(u32::MAX);
            let steps = (place as f64 - JITTER * fraction).max(0.0);
            (client, step.mul_f64(steps))
        });
        Self {
            times: times.collect(),
            needed: paced.saturating_mul(places),
            broken: drain.closes_per_second.filter(|_| is_broken),
        }
    }

    /// Returns the time until the last one leaves.
    pub(crate) fn duration(&self) -> Duration {
        self.times.last().map(|last| last.1).unwrap_or_default()
    }

    /// Logs how fast several connections are closed.
    pub(crate) fn tell(&self) {
        let (count, seconds) = (self.times.len(), self.duration().as_secs_f64());
        if count < 2 || seconds == 0.0 {
            return;
        }
        let rate = (count - 1) as f64 / seconds;
        tracing::info!(
            name: "drain.closes",
            target: "fraiseql_subs",
            "draining: {count} connections are closed within {seconds:.1} s, about {rate:.1} a second"
        );
        if let Some(bound) = self.broken {
            let needed = self.needed.as_secs_f64() * f64::from(RESERVE) / f64::from(RESERVE - 1);
            tracing::warn!(
                name: "drain.too_short",
                target: "fraiseql_subs",
                "draining: the drain is too short to close {count} connections at no more than closes_per_second={bound}: set it to {needed:.0} s, or allow more in a second"
            );
        }
    }
}

/// Returns the average time between two closes with which no second, and not even one that is longer
/// by the unused part, has more than `bound` of them.
fn step_of(bound: f64) -> Duration {
    // `n` successive gaps take at least `n - JITTER` steps.
    let step = if bound < 1.0 {
        1.0 / (bound * (1.0 - JITTER))
    } else {
        1.0 / (bound.floor() - JITTER)
    };
    Duration::try_from_secs_f64(step / USED).unwrap_or(Duration::MAX)
}

/// Orders clients by their paths, the longest first, and otherwise at random. Returns each with a
/// random number.
fn shuffled<C>(clients: Vec<(C, ClientPath)>) -> Vec<(C, u32)> {
    let mut random = vec![0; 8 * clients.len()];
    // Without random bits they leave as they came, at an even pace.
    getrandom::fill(&mut random).ok();
    let numbers = random.as_chunks::<4>().0.as_chunks::<2>().0;
    let mut clients: Vec<_> = clients.into_iter().zip(numbers).collect();
    clients.sort_by_key(|((_, path), [key, _])| (Reverse(*path), *key));
    let clients = clients.into_iter();
    clients
        .map(|((client, _), [_, jitter])| (client, u32::from_le_bytes(*jitter)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(count: usize, seconds: u32, closes_per_second: Option<f64>) -> Departures<usize> {
        let clients = (0..count).map(|client| (client, ClientPath::Short));
        let options = DrainOptions {
            limit: SECOND * seconds,
            ready_delay: Duration::ZERO,
            closes_per_second,
        };
        Departures::plan(clients.collect(), &options)
    }

    /// Returns the most closes in any second, and a little more.
    fn most_in_a_second(plan: &Departures<usize>) -> usize {
        let times: Vec<_> = plan.times.iter().map(|(_, time)| *time).collect();
        let from = |begin: &Duration| {
            let later = times.iter().skip_while(|time| *time < begin);
            let end = *begin + SECOND.div_f64(USED);
            later.take_while(|time| **time < end).count()
        };
        times.iter().map(from).max().unwrap_or_default()
    }

    #[test]
    fn clients_that_need_long_to_come_back_leave_first() {
        let (near, far) = (ClientPath::Long(SECOND / 4), ClientPath::Long(SECOND));
        let clients = [
            ("short", ClientPath::Short),
            ("near", near),
            ("behind", ClientPath::Behind),
            ("far", far),
        ];
        let options = DrainOptions {
            limit: SECOND * 60,
            ready_delay: Duration::ZERO,
            closes_per_second: None,
        };
        let plan = Departures::plan(clients.into(), &options);
        let order: Vec<_> = plan.times.iter().map(|(client, _)| *client).collect();
        assert_eq!(order, ["behind", "far", "near", "short"]);
        assert!(plan.times.is_sorted_by_key(|(_, time)| *time));
    }

    #[test]
    fn no_second_has_more_closes_than_its_bound() {
        for bound in [1.0, 1.5, 2.0, 20.0, 37.9, 200.0] {
            let plan = plan(1000, 24 * 3600, Some(bound));
            assert!(most_in_a_second(&plan) <= bound as usize, "{bound}");
            assert_eq!(plan.broken, None);
        }
        assert!(most_in_a_second(&plan(1000, 3600, None)) <= 20);
        let slow = plan(3, 3600, Some(0.01)).times;
        assert!(slow[1].1 >= SECOND * 100 && slow[2].1 >= slow[1].1 + SECOND * 100);
    }

    #[test]
    fn the_pace_is_close_to_its_bound() {
        let time = plan(1000, 3600, Some(100.0)).duration();
        assert!(time < 14 * SECOND, "{time:?}");
    }

    #[test]
    fn a_drain_that_is_too_short_is_used_but_for_its_reserve() {
        let plan = plan(10_000, 10, Some(20.0));
        let time = plan.duration();
        assert!(SECOND * 8 < time && time <= SECOND * 9, "{time:?}");
        assert_eq!(plan.broken, Some(20.0));
        // Evenly: 4/3 of 9 seconds, and at most a close more for the random part.
        assert!(most_in_a_second(&plan) <= 10_000 * 4 / 27 + 2);
    }

    #[test]
    fn the_default_pace_is_not_broken() {
        assert_eq!(plan(10_000, 10, None).broken, None);
    }

    #[test]
    fn the_first_leaves_at_once_and_without_time_all_do() {
        assert_eq!(plan(2, 10, None).times[0].1, Duration::ZERO);
        assert_eq!(plan(100, 0, Some(1.0)).duration(), Duration::ZERO);
        assert_eq!(plan(0, 10, None).duration(), Duration::ZERO);
    }

    #[test]
    fn times_and_order_are_random() {
        let (one, other) = (plan(1000, 60, None).times, plan(1000, 60, None).times);
        let order = |times: &[(usize, Duration)]| -> Vec<_> {
            times.iter().map(|(client, _)| *client).collect()
        };
        assert_ne!(order(&one), order(&other));
        assert!(one.iter().zip(&other).any(|(one, other)| one.1 != other.1));
    }
}
