//! The state that the tasks of an engine with an outbox share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bus::engine::{Arrivals, Role};
use bus::{Offset, Position};
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;

use super::super::config::Config;
use super::super::control::Joined;
use super::super::fault::Fault;
use super::super::health::HealthBoard;
use super::super::shared::LinkPlace;
use super::super::wants::Wants;
use crate::ignored::Ignored;
use crate::running::InFlight;

/// How long events are kept where there is no history: nodes read them within that.
const WITHOUT_HISTORY: Duration = Duration::from_mins(1);

/// The state that the tasks of an engine share.
pub(super) struct OutboxShared {
    pub(super) config: Config,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: HealthBoard,
    pub(super) wants: Wants,
    /// The links for statements: of the publisher, and of the reader.
    pub(super) publisher: LinkPlace,
    pub(super) reader: LinkPlace,
    /// How many reads of new events have begun (count).
    reads: AtomicU64,
    /// What was read; `None`: there is no link.
    pub(super) progress: watch::Sender<Option<OutboxProgress>>,
    /// Notified when there may be new events.
    pub(super) look: Arc<Notify>,
    /// Notified when there may be messages of nodes.
    pub(super) messages: Arc<Notify>,
    /// The name of this node, and the receiver of its messages.
    pub(super) control: Joined,
    /// How many calls are in flight; `None` after the engine was closed.
    pub(super) in_flight: InFlight,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboxProgress {
    /// The newest event that was delivered, or passed over: no stream has wanted it.
    pub(super) read: Position,
    /// The number of the last read that has found all that there was.
    pub(super) complete: u64,
}

impl OutboxShared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            arrivals: OnceLock::new(),
            health: HealthBoard::default(),
            wants: Wants::default(),
            publisher: LinkPlace::default(),
            reader: LinkPlace::default(),
            reads: AtomicU64::new(0),
            progress: watch::Sender::new(None),
            look: Arc::default(),
            messages: Arc::default(),
            control: OnceLock::new(),
            in_flight: InFlight::default(),
        }
    }

    /// The receiver of events. Set before the tasks that use it are started.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    /// How long events are kept at least.
    pub(super) fn kept_for(&self) -> Duration {
        let history = self.config.history.as_ref();
        history.map_or(WITHOUT_HISTORY, |history| history.age)
    }

    /// Counts a read that begins. Returns its number.
    pub(super) fn begin_read(&self) -> u64 {
        self.reads.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The number that the next read will have.
    pub(super) fn next_read(&self) -> u64 {
        self.reads.load(Ordering::SeqCst) + 1
    }

    /// Returns the link of a role, or why there is none.
    pub(super) fn link(&self, role: Role) -> Result<Arc<Client>, Fault> {
        let slot = match role {
            Role::Publisher => &self.publisher,
            Role::Reader | Role::Subscriber => &self.reader,
        };
        slot.current().ok_or_else(|| self.health.fault(role))
    }
}

/// The offset of a row.
pub(super) fn offset(tx: i64, n: i32) -> Offset {
    Offset {
        major: tx.cast_unsigned(),
        minor: n.cast_unsigned(),
    }
}

/// The row at an offset, as SQL has it. A client may name an offset that no row can have.
pub(super) fn place(offset: Offset) -> (i64, i32) {
    let tx = i64::try_from(offset.major).unwrap_or(i64::MAX);
    let n = i32::try_from(offset.minor).unwrap_or(i32::MAX);
    (tx, n)
}
