//! Publishes batches.

use std::convert::Infallible;

use bus::Position;
use bus::engine::{AttemptError, Outgoing, Role};
use redis::Value;

use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::reader;
use super::script::{BATCH, Script, positions, refused_commands};
use super::shared::Shared;

type Attempt = Result<Position, AttemptError>;

/// Limit of the events of one call (bytes). One event may be larger.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// Checks that the user may run all commands and that this node has the settings of the others, and
/// warns if Redis may evict keys. `partition`: one that the master has.
pub(super) async fn check(shared: &Shared, link: &Link, partition: u32) -> Result<(), Fault> {
    check_permissions(shared, link, partition).await?;
    // In a cluster only one master has the key of the settings, so `cluster` checks it.
    if !shared.is_cluster()
        && let Some(fault) = disagreement(shared, link).await?
    {
        return Err(fault);
    }
    let eviction = &link.server.eviction;
    if eviction.starts_with("allkeys") || eviction.starts_with("volatile") {
        tracing::warn!(
            name: "bus.may_evict",
            target: "fraiseql_subs",
            policy = eviction.as_str(),
            "Redis may drop keys of the bus when it reaches its maxmemory, and clients may then miss \
             events: set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

async fn check_permissions(shared: &Shared, link: &Link, partition: u32) -> Result<(), Fault> {
    let key = shared.names.unused(partition);
    let has_history = u8::from(shared.config.history.is_some());
    let answer = link.call(Script::Permissions, |digest| {
        let mut call = redis::cmd("EVALSHA");
        call.arg(digest).arg(1).arg(&key).arg(has_history);
        Ok(call)
    });
    let answer = match answer.await {
        // A user who may use some keys alone may not use this one, so nothing can be checked.
        Err(fault) if fault.kind == FaultKind::Forbidden => return Ok(()),
        answer => answer?,
    };
    match refused_commands(answer)?.as_slice() {
        [] => Ok(()),
        refused => Err(Fault::configuration(format!(
            "Redis refuses commands of the bus to the user: grant it {}",
            refused.join(", ")
        ))),
    }
}

/// Stores the settings that all nodes share again from time to time, in case Redis has lost them.
/// Otherwise a program with other settings would not be refused. Never returns.
pub(super) async fn keep_settings(shared: &Shared, link: &Link) -> Infallible {
    let mut is_logged = false;
    loop {
        tokio::time::sleep(shared.config.times.settings_after).await;
        match disagreement(shared, link).await {
            Ok(Some(fault)) if !is_logged => {
                is_logged = true;
                tracing::error!(
                    name: "bus.settings_lost",
                    target: "fraiseql_subs",
                    reason = fault.reason,
                    key = shared.names.layout(),
                    "Redis had lost the settings of the bus, and a program with other settings has \
                     started: correct that program, and delete the key"
                );
            }
            Ok(None) => is_logged = false,
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// Returns how the settings of this node differ from those of the others, as a fault: the number of
/// partitions, and whether each tenant has its own streams. The value of the key is the number,
/// followed by ` by tenant` in the second case.
pub(super) async fn disagreement(shared: &Shared, link: &Link) -> Result<Option<Fault>, Fault> {
    let config = &shared.config;
    let key = shared.names.layout();
    let own = match config.by_tenant {
        true => format!("{} by tenant", config.partitions),
        false => config.partitions.to_string(),
    };
    let mut command = redis::cmd("SET");
    command.arg(&key).arg(&own).arg("NX").arg("GET");
    let Value::BulkString(found) = link.ask(&command).await? else {
        return Ok(None);
    };
    if found == own.as_bytes() {
        return Ok(None);
    }
    let found = String::from_utf8_lossy(&found);
    let (others, kind) = found.split_once(' ').unwrap_or((&found, ""));
    let own = config.partitions;
    let reason = if others == own.to_string() {
        let (others, this) = match kind {
            "" => ("do not isolate tenants", "does"),
            _ => ("isolate tenants", "does not"),
        };
        format!(
            "other programs on this bus {others}, and this one {this}: set the same tenant= in all, or \
             another prefix. After a change in all of them, delete the key {key}"
        )
    } else {
        let others = others.chars().take(10).collect::<String>();
        format!(
            "other nodes use partitions={others} and this one partitions={own}: write the same number in \
             all, or another prefix. After a change in all of them, delete the key {key}"
        )
    };
    Ok(Some(Fault::configuration(reason)))
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
