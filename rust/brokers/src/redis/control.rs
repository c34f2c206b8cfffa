//! Messages between nodes, by pub/sub, and revocations, in a sorted set.
//!
//! Not here: their content (`bus::cluster`).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bus::engine::{Control, ControlArrivals, ControlError, MAX_REVOCATIONS, Pending, Role};
use bytes::Bytes;
use redis::Value;

use super::Redis;
use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::script::Script;
use super::shared::Shared;

/// The channels of a node; empty before it joins.
#[derive(Default)]
pub(super) struct ControlChannels(OnceLock<Joined>);

struct Joined {
    /// The channel of all nodes, and the channel of this node.
    channels: [Arc<str>; 2],
    arrivals: Arc<dyn ControlArrivals>,
}

impl ControlChannels {
    /// The partition of the channels and the revocations: in a cluster one master has them all.
    pub(super) const PARTITION: u32 = 0;

    /// Whether a channel is one of them.
    pub(super) fn has(&self, channel: &str) -> bool {
        self.names().iter().any(|name| **name == *channel)
    }

    /// The channels to subscribe to; empty before the node joins.
    pub(super) fn names(&self) -> &[Arc<str>] {
        self.0.get().map_or(&[], |joined| &joined.channels)
    }

    /// Reports that the channels are subscribed.
    pub(super) fn subscribed(&self) {
        if let Some(joined) = self.0.get() {
            joined.arrivals.joined();
        }
    }

    /// Delivers a message if its channel is one of these, otherwise returns it.
    pub(super) fn deliver(&self, channel: &str, payload: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.0.get() {
            Some(joined) if self.has(channel) => {
                joined.arrivals.message(payload.into());
                Ok(())
            }
            _ => Err(payload),
        }
    }
}

impl Control for Redis {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        let names = &self.shared.names;
        let channel = |node| names.control(ControlChannels::PARTITION, node).into();
        let channels = [channel(None), channel(Some(node))];
        // A node joins once.
        let joined = Joined { channels, arrivals };
        self.shared.control.0.set(joined).ok();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let channel = shared.names.control(ControlChannels::PARTITION, to);
        Box::pin(async move {
            let link = link(&shared, Role::Publisher)?;
            let mut command = redis::cmd(shared.config.publish_command());
            command.arg(channel).arg(&message[..]);
            match link.ask(&command).await.map_err(control_error)? {
                Value::Int(count) => Ok(u64::try_from(count).ok()),
                _ => Err(control_error(unexpected())),
            }
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = link(&shared, Role::Publisher)?;
            let key = shared.names.revocations(ControlChannels::PARTITION);
            let answer = link.call(Script::Revoke, |digest| {
                let mut call = redis::cmd("EVALSHA");
                call.arg(digest).arg(1).arg(&key);
                // Redis accepts up to 2^63 milliseconds.
                let milliseconds = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
                call.arg(&entry[..]).arg(milliseconds).arg(MAX_REVOCATIONS);
                Ok(call)
            });
            match answer.await.map_err(control_error)? {
                Value::Int(1) => Ok(()),
                Value::Int(0) => Err(ControlError::Full),
                _ => Err(control_error(unexpected())),
            }
        })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = link(&shared, Role::Reader)?;
            let key = shared.names.revocations(ControlChannels::PARTITION);
            let answer = link.call(Script::Revocations, |digest| {
                let mut call = redis::cmd("EVALSHA");
                call.arg(digest).arg(1).arg(&key);
                Ok(call)
            });
            let answer = answer.await.map_err(control_error)?;
            entries(answer).ok_or_else(|| control_error(unexpected()))
        })
    }
}

fn entries(answer: Value) -> Option<Vec<(Bytes, Duration)>> {
    let Value::Array(found) = answer else {
        return None;
    };
    let mut entries = Vec::with_capacity(found.len() / 2);
    let mut found = found.into_iter();
    while let Some(entry) = found.next() {
        let (Value::BulkString(entry), Value::BulkString(left)) = (entry, found.next()?) else {
            return None;
        };
        let left = std::str::from_utf8(&left).ok()?.parse().ok()?;
        entries.push((entry.into(), Duration::from_millis(left)));
    }
    Some(entries)
}

fn link(shared: &Shared, role: Role) -> Result<Arc<Link>, ControlError> {
    // The health of the engine reports why there is no link.
    let (_, link) = shared
        .link(ControlChannels::PARTITION, role)
        .map_err(|fault| ControlError::Unavailable(fault.reason))?;
    Ok(link)
}

fn control_error(fault: Fault) -> ControlError {
    match fault.kind {
        FaultKind::Configuration
        | FaultKind::Login
        | FaultKind::NoCommand
        | FaultKind::Forbidden
        | FaultKind::Refused => ControlError::Refused(fault.reason),
        FaultKind::Away
        | FaultKind::Busy
        | FaultKind::Elsewhere
        | FaultKind::Moved
        | FaultKind::NoScript => ControlError::Unavailable(fault.reason),
    }
}

fn unexpected() -> Fault {
    Fault::away("Redis has sent an answer that its scripts do not return")
}
