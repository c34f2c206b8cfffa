//! Messages between nodes, on subjects.
//!
//! Not here: their content (`bus::cluster`), and revocations (`revocations`).

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{Control, ControlArrivals, ControlError, Pending, Role};
use bytes::Bytes;

use super::Nats;
use super::fault::Fault;
use super::revocations;
use super::shared::Joined;

impl Control for Nats {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        let names = &self.shared.names;
        let subjects = [names.control(None), names.control(Some(node))];
        // A node joins once.
        self.shared.control.set(Joined { subjects, arrivals }).ok();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let subject = shared.names.control(to);
        Box::pin(async move {
            let link = shared.link(Role::Publisher)?;
            let before = link.denials();
            let sent = link.client.publish(subject.clone(), message).await;
            sent.map_err(|error| Fault::of_publishing(error.kind()))?;
            link.round_trip().await?;
            match link.denial(&subject, before) {
                Some(denied) => Err(denied.into()),
                // NATS does not say how many have received it.
                None => Ok(None),
            }
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move { revocations::add(&shared, entry, lasts).await })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move { revocations::all(&shared).await })
    }
}
