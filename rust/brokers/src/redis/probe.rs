//! Checks that published messages arrive through a subscriber link.
//!
//! A connection may seem open and still deliver nothing.

use std::sync::Arc;
use std::time::Duration;

use bus::engine::Role;

use super::delivery::Delivery;
use super::fault::Fault;
use super::master::Master;
use super::shared::Shared;

/// Publishes a probe when no event has arrived for a while. Returns when a probe does not come back.
pub(super) async fn check_delivery(
    shared: &Shared,
    master: &Master,
    delivery: &Arc<Delivery>,
) -> Fault {
    let times = shared.config.times;
    loop {
        // Probes that do not come back are sent at growing intervals.
        let failures = *master.probe_failures.lock();
        let patience = times
            .probe_after
            .saturating_mul(2_u32.saturating_pow(failures.min(16)))
            .min(times.probe_limit.max(times.probe_after))
            .mul_f64(0.8 + fastrand::f64() * 0.4);
        let silent = delivery.activity.silent_for();
        if let Some(rest) = patience.checked_sub(silent).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest).await;
            continue;
        }
        let pause = times.probe_answer.min(Duration::from_secs(1));
        let publisher = master.slot(Role::Publisher).current();
        let (Some(publisher), Some(channel)) = (publisher, delivery.probe()) else {
            // A missing link or channel is reported elsewhere.
            tokio::time::sleep(pause).await;
            continue;
        };
        let number = fastrand::u64(1..);
        let mut answers = delivery.answer.subscribe();
        let mut command = redis::cmd(shared.config.publish_command());
        command.arg(&*channel).arg(number);
        if publisher.ask(&command).await.is_err() {
            tokio::time::sleep(pause).await;
            continue;
        }
        let answer = answers.wait_for(|answer| *answer == number);
        if tokio::time::timeout(times.probe_answer, answer)
            .await
            .is_ok()
        {
            *master.probe_failures.lock() = 0;
            continue;
        }
        *master.probe_failures.lock() += 1;
        shared
            .health
            .silent(master, Role::Subscriber, shared.arrivals());
        let seconds = times.probe_answer.as_secs_f64();
        return Fault::away(format!(
            "a probe was published and has not come back within {seconds} seconds: publishing and \
             subscribing may have led to two servers"
        ));
    }
}
