//! Publishes batches.

use bus::Position;
use bus::engine::{AttemptError, Outgoing, Role};
use redis::Value;

use super::fault::Fault;
use super::link::Link;
use super::reader;
use super::script::{BATCH, Script, positions};
use super::shared::Shared;

type Attempt = Result<Position, AttemptError>;

/// Limit of the events of one call (bytes). One event may be larger.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// Checks that all nodes use the same number of partitions, and warns if Redis may evict keys. In a
/// cluster only one master has that key, so `cluster` checks it.
pub(super) async fn check(shared: &Shared, link: &Link) -> Result<(), Fault> {
    if !shared.is_cluster()
        && let Some(fault) = disagreement(shared, link).await?
    {
        return Err(fault);
    }
    let eviction = &link.server.eviction;
    if eviction.starts_with("allkeys") || eviction.starts_with("volatile") {
        tracing::warn!(
            target: "fraiseql_subs",
            policy = eviction.as_str(),
            "Redis may drop keys of the bus when it reaches its maxmemory, and clients may then miss \
             events: set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

/// Returns how the number of partitions of this node differs from that of other nodes, as a fault.
pub(super) async fn disagreement(shared: &Shared, link: &Link) -> Result<Option<Fault>, Fault> {
    let partitions = shared.config.partitions.to_string();
    let mut command = redis::cmd("SET");
    command
        .arg(shared.names.layout())
        .arg(&partitions)
        .arg("NX")
        .arg("GET");
    let Value::BulkString(found) = link.ask(&command).await? else {
        return Ok(None);
    };
    if found == partitions.as_bytes() {
        return Ok(None);
    }
    let found = String::from_utf8_lossy(&found)
        .chars()
        .take(10)
        .collect::<String>();
    Ok(Some(Fault::configuration(format!(
        "other nodes use partitions={found} and this one partitions={partitions}: write the same \
         number in all, or another prefix"
    ))))
}

/// Publishes events of one partition, in this order.
pub(super) async fn publish(shared: &Shared, batch: &[Outgoing]) -> Vec<Attempt> {
    let mut results = Vec::with_capacity(batch.len());
    let Some(first) = batch.first() else {
        return results;
    };
    let partition = shared.names.partition(&first.stream) as usize;
    // One batch at a time: no event may overtake one that is sent again.
    let lock = shared.batch_locks[partition].lock();
    let Ok(_lock) = tokio::time::timeout(shared.config.times.answer, lock).await else {
        let reason = "the events before have not been published yet".to_owned();
        return vec![Err(AttemptError::NotSent(reason)); batch.len()];
    };
    let mut rest = calls_of(batch);
    while let Some(call) = rest.pop() {
        let (answer, was_sent) = attempt(shared, call).await;
        match answer {
            Ok(answers) => results.extend(answers),
            Err(fault) if call.len() > 1 && fault.may_be_of_one_stream() => {
                // The call had no effect. Halving it isolates the event that is the cause, so that the
                // others are published.
                let (first, second) = call.split_at(call.len() / 2);
                rest.push(second);
                rest.push(first);
            }
            Err(fault) => {
                results.extend(vec![Err(fault.attempt(was_sent)); call.len()]);
                if !fault.may_be_of_one_stream() {
                    // Further events must not be published before one that is tried again.
                    let attempt = match fault.attempt(false) {
                        AttemptError::Denied(reason) => AttemptError::Denied(reason),
                        AttemptError::Refused(reason)
                        | AttemptError::NotSent(reason)
                        | AttemptError::Unknown(reason)
                        | AttemptError::Busy(reason) => AttemptError::NotSent(reason),
                    };
                    results.resize(batch.len(), Err(attempt));
                    return results;
                }
            }
        }
    }
    results
}

/// Divides a batch into calls. Returns the last one first.
fn calls_of(batch: &[Outgoing]) -> Vec<&[Outgoing]> {
    let mut calls = Vec::new();
    let mut rest = batch;
    while !rest.is_empty() {
        let (call, after) = rest.split_at(call_size(rest));
        calls.push(call);
        rest = after;
    }
    calls.reverse();
    calls
}

fn call_size(events: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let size = events.iter().take(BATCH).take_while(|event| {
        bytes += event.envelope.len();
        bytes <= CALL_BYTES
    });
    size.count().max(1)
}

/// Makes one call. Returns its answer, and whether it was sent.
async fn attempt(shared: &Shared, events: &[Outgoing]) -> (Result<Vec<Attempt>, Fault>, bool) {
    let partition = shared.names.partition(&events[0].stream);
    let (master, link) = match shared.link(partition, Role::Publisher) {
        Ok(found) => found,
        Err(fault) => return (Err(fault), false),
    };
    let calls = reader::calls(shared, &master, &link);
    let answer = link
        .call(Script::Publish, |digest| calls.publish(digest, events))
        .await
        .and_then(positions);
    let answers = match answer {
        Ok(answers) if answers.len() == events.len() => answers,
        Ok(_) => {
            let reason = "Redis has sent answers for another number of events";
            return (Err(Fault::away(reason)), true);
        }
        Err(fault) => return (Err(fault), true),
    };
    let result =
        |answer: Result<_, String>| answer.map_err(|error| link.fault_of(&error).attempt(true));
    (Ok(answers.into_iter().map(result).collect()), true)
}
