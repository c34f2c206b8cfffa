//! What the tasks of a source share, and what metrics and the log show of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bus::Epoch;
use bus::source::SourceStatus;
use parking_lot::Mutex;

use super::super::config::Config;
use super::super::fault::Fault;

/// What the tasks of a source share.
pub(super) struct State {
    pub(super) config: Config,
    pub(super) slot: Box<str>,
    status: Mutex<SourceStatus>,
    pub(super) events: AtomicU64,
    /// How far this node has published, also over several links.
    pub(super) published: Mutex<Option<Published>>,
    log: Mutex<SourceLog>,
}

/// How far everything was accepted by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) epoch: Epoch,
    pub(super) mark: Mark,
}

/// A place in the log, and within a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// All that was committed up to here.
    pub(super) end: u64,
    /// The place of the commit of a transaction of which a part follows; 0: none does.
    pub(super) commit: u64,
    /// How many changes of that transaction (count).
    pub(super) changes: u32,
}

/// What was logged, so that nothing is logged twice.
#[derive(Default)]
struct SourceLog {
    /// Why the source is away.
    fault: Option<String>,
    /// Who reads.
    reader: Option<String>,
}

impl State {
    pub(super) fn new(config: Config, slot: &str) -> Self {
        Self {
            config,
            slot: slot.into(),
            status: Mutex::default(),
            events: AtomicU64::new(0),
            published: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        SourceStatus {
            events: self.events.load(Relaxed),
            ..*self.status.lock()
        }
    }

    /// Another node reads.
    pub(super) fn waits_for(&self, reader: String) {
        let mut log = self.log.lock();
        if log.fault.take().is_some() {
            log_back(&self.slot);
        }
        if log.reader.as_ref() != Some(&reader) {
            tracing::debug!(
                name: "source.read_elsewhere",
                target: "fraiseql_subs",
                slot = &*self.slot,
                reader,
                "another node reads the log of PostgreSQL for the cluster"
            );
            log.reader = Some(reader);
        }
        let mut status = self.status.lock();
        status.is_live = true;
        status.is_reader = false;
    }

    /// This node reads from now on.
    pub(super) fn reads(&self) {
        let mut log = self.log.lock();
        if log.fault.take().is_some() {
            log_back(&self.slot);
        }
        log.reader = None;
        tracing::info!(
            name: "source.read_here",
            target: "fraiseql_subs",
            slot = &*self.slot,
            "this node reads the log of PostgreSQL for the cluster"
        );
        let mut status = self.status.lock();
        status.is_live = true;
        status.is_reader = true;
    }

    /// This node does not read any more.
    pub(super) fn ended(&self) {
        self.status.lock().is_reader = false;
    }

    /// This node neither reads, nor knows that another one does. Logged once for each reason.
    pub(super) fn away(&self, fault: &Fault) {
        let mut status = self.status.lock();
        status.is_live = false;
        status.is_reader = false;
        drop(status);
        let mut log = self.log.lock();
        log.reader = None;
        if log.fault.as_ref() == Some(&fault.reason) {
            return;
        }
        log.fault = Some(fault.reason.clone());
        let (slot, reason) = (&*self.slot, &*fault.reason);
        if fault.is_configuration() {
            tracing::error!(
                name: "source.refused",
                target: "fraiseql_subs",
                slot,
                reason,
                "the log of PostgreSQL cannot be read for the cluster: correct the configuration"
            );
        } else {
            tracing::warn!(
                name: "source.away",
                target: "fraiseql_subs",
                slot,
                reason,
                "the log of PostgreSQL is not read now: what is committed is kept, and published later"
            );
        }
    }

    /// How far the slot is behind, and confirmed.
    pub(super) fn is_behind(&self, lag_bytes: u64, confirmed: u64) {
        let mut status = self.status.lock();
        status.lag_bytes = lag_bytes;
        status.confirmed = confirmed;
    }

    /// Subscribers were told that events were lost.
    pub(super) fn has_lost(&self) {
        self.status.lock().losses += 1;
    }
}

fn log_back(slot: &str) {
    tracing::info!(name: "source.back", target: "fraiseql_subs", slot, "the log of PostgreSQL is read again");
}
