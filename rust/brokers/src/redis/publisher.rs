//! Publishes batches.

use bus::Position;
use bus::engine::{AttemptError, Outgoing};
use redis::Value;

use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::reader;
use super::script::{BATCH, Script, positions};
use super::shared::Shared;
use super::slot::Role;

type Attempt = Result<Position, AttemptError>;

/// The most bytes of one call; one event may be larger.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// Checks what all nodes must agree on, and warns of what Redis may forget.
pub(super) async fn check(shared: &Shared, link: &Link) -> Result<(), Fault> {
    let partitions = shared.config.partitions.to_string();
    let mut command = redis::cmd("SET");
    command
        .arg(shared.names.layout())
        .arg(&partitions)
        .arg("NX")
        .arg("GET");
    if let Value::BulkString(found) = link.ask(&command).await?
        && found != partitions.as_bytes()
    {
        let found = String::from_utf8_lossy(&found)
            .chars()
            .take(10)
            .collect::<String>();
        return Err(Fault::configuration(format!(
            "other nodes use partitions={found} and this one partitions={partitions}: write the same \
             number in all, or another prefix"
        )));
    }
    let eviction = &link.server.eviction;
    if eviction.starts_with("allkeys") || eviction.starts_with("volatile") {
        tracing::warn!(
            target: "fraiseql_subs",
            policy = eviction.as_str(),
            "Redis may drop keys of the bus when it has reached its maxmemory: clients are then told \
             that they have missed events; set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

/// Publishes events of one partition, in this order.
pub(super) async fn publish(shared: &Shared, batch: &[Outgoing]) -> Vec<Attempt> {
    let mut results = Vec::with_capacity(batch.len());
    let Some(first) = batch.first() else {
        return results;
    };
    let partition = shared.names.partition(&first.stream) as usize;
    // One batch after the other: an event that is sent again must not be overtaken.
    let turn = shared.turns[partition].lock();
    let Ok(_turn) = tokio::time::timeout(shared.config.times.answer, turn).await else {
        let reason = "the events before have not been published yet".to_owned();
        return vec![Err(AttemptError::NotSent(reason)); batch.len()];
    };
    let mut rest = batch;
    while !rest.is_empty() {
        let (call, after) = rest.split_at(call_size(rest));
        let (answer, was_sent) = attempt(shared, call).await;
        match answer {
            Ok(answers) => results.extend(answers),
            Err(fault) => {
                results.extend(vec![Err(fault.attempt(was_sent)); call.len()]);
                if fault.kind != FaultKind::Refused {
                    // What follows would come before what is tried again.
                    let attempt = match fault.attempt(false) {
                        AttemptError::Refused(reason) => AttemptError::Refused(reason),
                        AttemptError::NotSent(reason)
                        | AttemptError::Unknown(reason)
                        | AttemptError::Busy(reason) => AttemptError::NotSent(reason),
                    };
                    results.extend(vec![Err(attempt); after.len()]);
                    return results;
                }
            }
        }
        rest = after;
    }
    results
}

fn call_size(events: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let size = events.iter().take(BATCH).take_while(|event| {
        bytes += event.envelope.len();
        bytes <= CALL_BYTES
    });
    size.count().max(1)
}

/// One call; whether it was sent is told beside its answer.
async fn attempt(shared: &Shared, events: &[Outgoing]) -> (Result<Vec<Attempt>, Fault>, bool) {
    let longest = shared.config.max_event_bytes;
    let (fitting, is_fitting): (Vec<_>, Vec<_>) = {
        let is_fitting: Vec<bool> = events
            .iter()
            .map(|event| event.envelope.len() <= longest)
            .collect();
        let fitting = events.iter().zip(&is_fitting).filter(|(_, fits)| **fits);
        (
            fitting.map(|(event, _)| event.clone()).collect(),
            is_fitting,
        )
    };
    let mut answers = Vec::new();
    if !fitting.is_empty() {
        let Some(link) = shared.slot(Role::Publisher).current() else {
            return (Err(shared.health.fault()), false);
        };
        let calls = reader::calls(shared, &link);
        let answer = link
            .call(Script::Publish, |digest| calls.publish(digest, &fitting))
            .await
            .and_then(positions);
        answers = match answer {
            Ok(answers) if answers.len() == fitting.len() => answers,
            Ok(_) => {
                let reason = "Redis has answered for another number of events";
                return (Err(Fault::away(reason)), true);
            }
            Err(fault) => return (Err(fault), true),
        };
    }
    let mut answers = answers.into_iter();
    let results = is_fitting.into_iter().map(|fits| {
        if !fits {
            let reason = format!("it is larger than {longest} bytes");
            return Err(AttemptError::Refused(reason));
        }
        match answers.next() {
            Some(Ok(position)) => Ok(position),
            Some(Err(error)) => Err(Fault::of_text(&error).attempt(true)),
            None => Err(AttemptError::Unknown("there was no answer".to_owned())),
        }
    });
    (Ok(results.collect()), true)
}
