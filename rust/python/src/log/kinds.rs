//! Counts records by kind: how many may be written, and how many were not.
//!
//! A kind is a place in the code, together with the check that denied. So the number of kinds is
//! bounded and independent of clients, and a flood of one kind does not hide others.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Bucket;
use security::Rate;
use tracing::callsite::Identifier;
use tracing::{Event, Level};

use super::record::{Check, LIBRARY_FAULT, Record};

/// Records of one kind that are written at once (count).
pub(crate) const RECORDS_AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Records of one kind that are written in each second after that (count).
pub(crate) const RECORDS_PER_SECOND: u32 = 10;

/// How many times more records of level DEBUG are written: someone has asked for them.
const DEBUG_FACTOR: NonZeroU32 = NonZeroU32::new(10).unwrap();

pub(super) static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::default);

type Key = (Identifier, Option<Check>);

#[derive(Default)]
pub(super) struct Kinds(Mutex<Vec<(Key, Limited)>>);

struct Limited {
    kind: Kind,
    bucket: Bucket,
}

/// The count of unwritten records of one kind.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) level: &'static str,
    pub(super) target: &'static str,
    pub(super) name: &'static str,
    pub(super) message: String,
    pub(super) check: Option<Box<str>>,
    /// Records whose count was not written yet.
    pub(super) suppressed: u64,
}

impl Kinds {
    /// Whether another record of this kind may be written; otherwise counts it.
    pub(super) fn take(
        &self,
        event: &Event<'_>,
        check: Option<&Check>,
        text: Option<&'static str>,
    ) -> bool {
        self.of(event, check, text, |limited| {
            let is_written = limited.bucket.take_now().is_ok();
            limited.kind.suppressed += u64::from(!is_written);
            is_written
        })
    }

    /// Counts a record that is not written.
    pub(super) fn count(
        &self,
        event: &Event<'_>,
        check: Option<&Check>,
        text: Option<&'static str>,
    ) {
        self.of(event, check, text, |limited| limited.kind.suppressed += 1);
    }

    /// Whether there is a count that was not written yet.
    pub(super) fn has_suppressed(&self) -> bool {
        let kinds = self.0.lock();
        kinds.iter().any(|(_, limited)| limited.kind.suppressed > 0)
    }

    /// Removes and returns the counts of at most `limit` kinds, to write them.
    pub(super) fn take_suppressed(&self, limit: usize) -> Vec<Kind> {
        let mut kinds = self.0.lock();
        let suppressed = kinds.iter_mut().map(|(_, limited)| &mut limited.kind);
        let suppressed = suppressed.filter(|kind| kind.suppressed > 0).take(limit);
        suppressed
            .map(|kind| {
                let told = kind.clone();
                kind.suppressed = 0;
                told
            })
            .collect()
    }

    fn of<T>(
        &self,
        event: &Event<'_>,
        check: Option<&Check>,
        text: Option<&'static str>,
        act: impl FnOnce(&mut Limited) -> T,
    ) -> T {
        let metadata = event.metadata();
        let place = metadata.callsite();
        let position = |kinds: &[(Key, Limited)]| {
            kinds.iter().position(|((known, of), _)| {
                *known == place && of.as_ref().map(|of| &*of.0) == check.map(|check| &*check.0)
            })
        };
        let is_known = position(&self.0.lock()).is_some();
        // Formatting may run other code, which may log: the lock must not be held.
        let message = match text {
            _ if is_known => String::new(),
            Some(text) => text.to_owned(),
            None => Record::of(event).message,
        };
        let mut kinds = self.0.lock();
        let known = position(&kinds).unwrap_or_else(|| {
            let kind = Kind {
                level: text.map_or(*metadata.level(), |_| Level::WARN).as_str(),
                target: metadata.target(),
                name: text.map_or(metadata.name(), |_| LIBRARY_FAULT),
                message,
                check: check.map(|check| check.0.clone()),
                suppressed: 0,
            };
            let is_debug = *metadata.level() == Level::DEBUG;
            let factor = if is_debug {
                DEBUG_FACTOR
            } else {
                NonZeroU32::MIN
            };
            let bucket = Bucket::new(Rate {
                count: RECORDS_AT_ONCE.saturating_mul(factor),
                period: Duration::from_secs(1) * RECORDS_AT_ONCE.get() / RECORDS_PER_SECOND,
            });
            kinds.push(((place, check.cloned()), Limited { kind, bucket }));
            kinds.len() - 1
        });
        act(&mut kinds[known].1)
    }
}
