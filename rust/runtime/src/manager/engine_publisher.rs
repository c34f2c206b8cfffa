//! Publishes to an engine without a manager: it has no actors and no subscriptions, and one thread.
//!
//! Not here: what the link does (`bus::EngineLink`), Python (`python`).

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bus::{BatchError, BusError, Draft, EngineLink, Intake, Receipt, Streams};
use parking_lot::Mutex;
use security::TenantIsolation;

use super::link_thread::LinkThread;
use crate::catalog::TenantNotices;
use crate::error::RuntimeError;
use crate::random::random_key;
use crate::state::{EngineConfig, TenantStamp};

/// Publishes to an engine.
pub struct EnginePublisher {
    link: Arc<EngineLink>,
    /// Checks drafts as a manager does; nothing is queued in it.
    checks: Arc<Intake>,
    notices: Mutex<TenantNotices>,
    /// `None`: it is closed.
    thread: Mutex<Option<LinkThread>>,
}

impl EnginePublisher {
    /// Starts the thread of the link. `tenant`: the tenant isolation of the nodes that receive the
    /// events.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Thread`] when the operating system refuses the thread.
    pub fn start(
        config: EngineConfig,
        tenant: Option<TenantIsolation>,
    ) -> Result<Self, RuntimeError> {
        // The key is not used: the engine numbers the events.
        let key = random_key().unwrap_or_default();
        let notices = TenantNotices::of_publisher(tenant.is_some());
        let streams = Arc::new(Streams::new(key, tenant.is_some()).of_engine());
        let mut checks = Intake::new(streams.clone(), 1);
        if let Some(tenant) = tenant {
            checks = checks.with_stamp(Box::new(TenantStamp(tenant)));
        }
        let checks = Arc::new(checks);
        let link = EngineLink::new(config.engine, &config.link, streams, checks.clone());
        let link = Arc::new(link.without_clients());
        let thread = LinkThread::start(link.clone(), None)?;
        Ok(Self {
            link,
            checks,
            notices: Mutex::new(notices),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Checks events, and sets their tenants.
    ///
    /// # Errors
    ///
    /// An event is malformed.
    pub fn check(&self, drafts: &mut [Draft]) -> Result<(), BatchError> {
        BatchError::check_each(drafts, |draft| {
            self.checks.check(draft)?;
            let mut notices = self.notices.lock();
            notices.look_at(&draft.channel, draft.tenant_id.is_some());
            Ok(())
        })
    }

    /// Publishes events in this order. `done` is called once, on the thread of the link.
    ///
    /// # Errors
    ///
    /// Nothing is sent: an event is malformed or too large, or the publisher is closed.
    pub fn publish(
        &self,
        mut drafts: Vec<Draft>,
        done: impl FnOnce(Result<Vec<Receipt>, BusError>) + Send + 'static,
    ) -> Result<(), BatchError> {
        self.check(&mut drafts)?;
        let thread = self.thread.lock();
        let thread = thread.as_ref().ok_or(BusError::Closed)?;
        let publishing = self.link.publish(drafts)?;
        thread.spawn(async move { done(publishing.await) });
        Ok(())
    }

    /// Waits at most `drain` until the engine has answered all publishing, then ends the thread.
    pub fn close(&self, drain: Duration) {
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        let (done, closed) = mpsc::sync_channel(1);
        let closing = self.link.close(drain);
        thread.spawn(async move {
            closing.await;
            // The receiver may have waited long enough.
            done.send(()).ok();
        });
        // One second more than the drain, in which the links end.
        let _is_late = closed.recv_timeout(drain + Duration::from_secs(1));
    }
}
