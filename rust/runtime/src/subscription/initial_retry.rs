//! When an initial value that has failed is made again.
//!
//! Not here: which events follow it (`lane`), and which failures are final (the host).

use std::time::Duration;

use actix::{ActorContext, AsyncContext, SpawnHandle};

/// The longest pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(1500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The failures of an initial value since it was last made.
#[derive(Default)]
pub(super) struct InitialRetry {
    failures: u32,
    timer: Option<SpawnHandle>,
}

impl InitialRetry {
    /// Whether the client lacks the initial value. What it receives has no id then: with one it would resume
    /// after it, and never have the value.
    pub(super) fn is_due(&self) -> bool {
        self.failures > 0
    }

    /// Notes a failure, and has the value made again after a pause.
    pub(super) fn failed<A>(&mut self, ctx: &mut A::Context, again: fn(&mut A))
    where
        A: actix::Actor,
        A::Context: AsyncContext<A> + ActorContext,
    {
        self.cancel::<A>(ctx);
        self.failures = self.failures.saturating_add(1);
        let timer = ctx.run_later(pause(self.failures), move |actor, _| again(actor));
        self.timer = Some(timer);
    }

    /// Notes that the value was made.
    pub(super) fn succeeded<A>(&mut self, ctx: &mut A::Context)
    where
        A: actix::Actor,
        A::Context: AsyncContext<A> + ActorContext,
    {
        self.cancel::<A>(ctx);
        self.failures = 0;
    }

    fn cancel<A>(&mut self, ctx: &mut A::Context)
    where
        A: actix::Actor,
        A::Context: AsyncContext<A>,
    {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
    }
}

/// Returns the pause after so many failures. It is random, as many subscriptions fail together.
fn pause(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(1).min(10);
    let longest = FIRST_PAUSE.saturating_mul(1 << doubled).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + 0.5 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        for (failures, longest) in [
            (1, 1500),
            (2, 3000),
            (5, 24_000),
            (6, 30_000),
            (u32::MAX, 30_000),
        ] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..100).map(|_| pause(failures)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| (longest / 2..=longest).contains(pause))
            );
            assert!(pauses.iter().any(|pause| pause != &pauses[0]));
        }
    }
}
