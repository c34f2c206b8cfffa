//! Which records of level DEBUG Python's loggers write, so that the others are never made.
//!
//! Asked of Python once a second, as threads that emit events do not take the GIL.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::time::Duration;

use pyo3::prelude::*;
use runtime::CONNECTIONS;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

use crate::bridge::Bridge;

/// Time after which a level that the application has changed takes effect.
const REFRESH: Duration = Duration::from_secs(1);

/// The logger of the records that help to find mistakes of the application.
const MAIN: &str = "fraiseql_subs";

/// Whether the loggers write records of level DEBUG.
pub(super) static LEVELS: Levels = Levels {
    main: AtomicBool::new(false),
    connections: AtomicBool::new(false),
};

pub(super) struct Levels {
    main: AtomicBool,
    connections: AtomicBool,
}

impl Levels {
    /// Whether a record is made.
    pub(super) fn admit(&self, metadata: &Metadata<'_>) -> bool {
        let (level, target) = (*metadata.level(), metadata.target());
        if level <= Level::WARN {
            return true;
        }
        let is_debugged = match target {
            MAIN => &self.main,
            CONNECTIONS => &self.connections,
            _ => return false,
        };
        level == Level::INFO || (level == Level::DEBUG && is_debugged.load(Relaxed))
    }

    /// Returns the lowest level of which a record may be made.
    pub(super) fn lowest(&self) -> LevelFilter {
        let is_debugged = self.main.load(Relaxed) || self.connections.load(Relaxed);
        if is_debugged {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        }
    }

    /// Sets which loggers write records of level DEBUG.
    pub(super) fn set(&self, main: bool, connections: bool) {
        let was_main = self.main.swap(main, AcqRel);
        let was_connections = self.connections.swap(connections, AcqRel);
        if (was_main, was_connections) != (main, connections) {
            // Each place in the code remembers whether it is enabled.
            tracing::callsite::rebuild_interest_cache();
        }
    }
}

/// Asks Python's loggers for their levels.
pub(super) fn refresh(py: Python<'_>) -> PyResult<()> {
    let module = py.import("fraiseql_subs._logging")?;
    let (main, connections) = module
        .call_method1("are_debugged", ((MAIN, CONNECTIONS),))?
        .extract()?;
    LEVELS.set(main, connections);
    Ok(())
}

/// Asks for the levels again and again on the event loop of a manager, until the manager ends.
pub(crate) fn watch(bridge: &Arc<Bridge>) -> impl Future<Output = ()> + Send + 'static {
    let bridge = Arc::downgrade(bridge);
    let is_asked = Arc::new(AtomicBool::new(false));
    async move {
        loop {
            tokio::time::sleep(REFRESH).await;
            let Some(bridge) = bridge.upgrade().filter(|bridge| !bridge.is_closed()) else {
                return;
            };
            // The event loop may be blocked, or not run.
            if !is_asked.swap(true, AcqRel) {
                let is_asked = is_asked.clone();
                bridge.push(Box::new(move |py| {
                    is_asked.store(false, Release);
                    refresh(py).unwrap_or_else(|error| error.write_unraisable(py, None));
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Event, Subscriber, span};

    use super::*;

    /// Counts the fields that it has evaluated.
    struct Asks(&'static Levels);

    impl Subscriber for Asks {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.0.admit(metadata)
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {}

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_record_that_no_logger_writes_is_not_made() {
        static LEVELS: Levels = Levels {
            main: AtomicBool::new(false),
            connections: AtomicBool::new(false),
        };
        let made = std::cell::Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            "text"
        };
        let write = || tracing::debug!(target: CONNECTIONS, text = make(), "opened");
        tracing::subscriber::with_default(Asks(&LEVELS), || {
            write();
            assert_eq!(made.get(), 0);
            LEVELS.set(true, false);
            write();
            assert_eq!(made.get(), 0);
            LEVELS.set(false, true);
            write();
            assert_eq!(made.get(), 1);
            LEVELS.set(false, false);
            write();
            assert_eq!(made.get(), 1);
        });
    }
}
