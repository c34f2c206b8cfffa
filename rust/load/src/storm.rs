//! Many clients that connect at once, as after a restart of the server.
//!
//! They have a thread and a loop of their own, so that the clients that measure live delivery do
//! not wait for them.

use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::client::Record;
use crate::driver::ConnectionDriver;
use crate::error::LoadError;
use crate::plan::{Plan, Role};
use crate::processes::thread_cpu;
use crate::tracker::{Audience, DeliveryTracker};

/// Longest wait of one turn.
const WAIT: Duration = Duration::from_millis(100);

/// Time in which the tickets of TLS arrive, after the last connection is acknowledged.
const TICKETS: Duration = Duration::from_millis(250);

/// What came of a storm.
pub(crate) struct Outcome {
    /// Time from the first connection to the last first result.
    pub(crate) time: Duration,
    /// Clients that received a result (count).
    pub(crate) arrived: u32,
    pub(crate) arrivals: Arrivals,
    /// CPU time of the thread.
    pub(crate) cpu: Duration,
    pub(crate) errors: Vec<String>,
}

/// Connects all clients once and disconnects them, so that they have sessions of TLS to resume.
pub(crate) fn prepare(plan: &Plan, interrupted: &mut dyn FnMut() -> bool) -> Result<(), LoadError> {
    if plan.tls.is_none() || !plan.options.resume {
        return Ok(());
    }
    let connections = plan.options.connections;
    let patience = Duration::from_secs_f64(plan.options.patience);
    let mut driver = driver(plan, interrupted)?;
    let (mut left, mut since) = (connections, Instant::now());
    while left > 0 || since.elapsed() < TICKETS {
        driver.turn(WAIT)?;
        let now = driver.unacknowledged();
        if now != left {
            (left, since) = (now, Instant::now());
        }
        if driver.record.has_errors() || since.elapsed() > patience {
            let reason = driver.record.errors().into_iter().next();
            return Err(LoadError::SetUp {
                ready: connections - now,
                connections,
                reason: reason.unwrap_or_else(|| format!("nothing happened for {patience:?}")),
            });
        }
    }
    driver.reset();
    Ok(())
}

/// Connects all clients at once; ends when each has a result or an error, or none arrives any more.
pub(crate) fn run(
    plan: &Plan,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Outcome, LoadError> {
    let connections = u64::from(plan.options.connections);
    let patience = Duration::from_secs_f64(plan.options.patience);
    let mut driver = driver(plan, interrupted)?.all_at_once();
    let (start, cpu) = (Instant::now(), thread_cpu());
    let (mut progress, mut since) = (0, start);
    loop {
        driver.turn(WAIT)?;
        let arrivals = &driver.record.arrivals;
        let arrived = arrivals.first_results.len();
        let now = arrived + arrivals.acknowledged.len();
        if now != progress {
            (progress, since) = (now, Instant::now());
        }
        let is_over = arrived + u64::from(driver.counts.ended) >= connections;
        if is_over || since.elapsed() > patience {
            break;
        }
    }
    let time = since - start;
    let arrived = driver.record.arrivals.first_results.len();
    let mut errors = driver.record.errors();
    let missing = connections - arrived;
    if missing > 0 {
        errors.push(format!(
            "{missing} of {connections} connections of the storm received no result"
        ));
    }
    Ok(Outcome {
        time,
        arrived: arrived as u32,
        cpu: thread_cpu().saturating_sub(cpu),
        errors,
        arrivals: std::mem::replace(&mut driver.record.arrivals, Arrivals::new()),
    })
}

fn driver<'a>(
    plan: &'a Plan,
    interrupted: &'a mut dyn FnMut() -> bool,
) -> Result<ConnectionDriver<'a>, LoadError> {
    let options = &plan.options;
    let roles = vec![Role::Storming; options.connections as usize];
    let all = options.connections as usize * options.subscriptions as usize;
    let audiences = std::iter::repeat_n(Audience::Unchecked, all);
    let record = Record::new(
        DeliveryTracker::new(audiences),
        options.init_payload.as_deref(),
    );
    ConnectionDriver::new(plan, roles, record, interrupted)
}
