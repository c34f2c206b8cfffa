//! Messages between nodes, in the log as events are.
//!
//! Not here: their content (`bus::cluster`).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bus::engine::{Control, ControlArrivals, ControlError, Pending, Role};
use bytes::{BufMut, Bytes, BytesMut};

use super::Postgres;
use super::revocations;

/// The prefix of messages between nodes.
pub(super) const PREFIX: &str = "fs1.control";

/// The name of this node, and the receiver of its messages, once it has joined.
pub(super) type Joined = OnceLock<(Box<str>, Arc<dyn ControlArrivals>)>;

impl Control for Postgres {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        // A node joins once.
        self.shared.control.set((node.into(), arrivals)).ok();
        self.shared.wants.changed.notify_one();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let written = address(to, &message);
        Box::pin(async move {
            let written = written?;
            let call = "SELECT fraiseql_subs.send_message($1)";
            let link = shared.link(Role::Publisher);
            revocations::ask(link, shared.config.times.answer, call, &[&&written[..]]).await?;
            Ok(None)
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = shared.link(Role::Publisher);
            revocations::revoke(link, shared.config.times.answer, &entry, lasts).await
        })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = shared.link(Role::Reader);
            revocations::current(link, shared.config.times.answer).await
        })
    }
}

/// Writes a message and the node that it is for.
pub(super) fn address(to: Option<&str>, message: &Bytes) -> Result<BytesMut, ControlError> {
    let to = to.unwrap_or_default();
    let Ok(length) = u8::try_from(to.len()) else {
        let reason = format!("the name of the node {to:?} is too long");
        return Err(ControlError::Refused(reason));
    };
    let mut written = BytesMut::with_capacity(1 + to.len() + message.len());
    written.put_u8(length);
    written.put(to.as_bytes());
    written.extend_from_slice(message);
    Ok(written)
}

/// Delivers a message if it is for this node.
pub(super) fn deliver(node: &Joined, content: &Bytes) {
    let Some((node, arrivals)) = node.get() else {
        return;
    };
    let Some((&length, rest)) = content.split_first() else {
        return;
    };
    let Some((to, message)) = rest.split_at_checked(length.into()) else {
        return;
    };
    if to.is_empty() || to == node.as_bytes() {
        arrivals.message(content.slice_ref(message));
    }
}
