//! Proves that what is published comes through a subscriber link.
//!
//! A connection may look alive, and deliver nothing.

use std::sync::Arc;
use std::time::Duration;

use bus::engine::Role;

use super::delivery::Delivery;
use super::fault::Fault;
use super::master::Master;
use super::shared::Shared;

/// Publishes a probe where no event has come for a while; returns when one does not come back.
pub(super) async fn prove(shared: &Shared, master: &Master, delivery: &Arc<Delivery>) -> Fault {
    let times = shared.config.times;
    loop {
        // A probe that helps nothing is sent more and more rarely.
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
            // That there is no link is told already.
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
