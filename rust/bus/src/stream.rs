//! The streams that offsets count: each channel, and under tenant isolation each tenant's part of it.
//!
//! An id that a client sees is `<epoch>-<offset>`. The offset counts the events of the stream alone,
//! and the epoch is a keyed hash of the stream, so an id tells nothing of other streams, of the
//! process or of its start, and an id of another stream or another start is known to be one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// Streams that may be known before those that nothing refers to are forgotten (count).
const MIN_KNOWN: usize = 1024;

/// One channel, or the part of it that is one tenant's.
#[derive(Debug)]
pub struct Stream {
    name: Arc<str>,
    epoch: Arc<str>,
    /// The event that was accepted last; 0 before the first.
    last: AtomicU64,
    /// The last event that the history has lost; 0: none.
    lost: AtomicU64,
}

impl Stream {
    /// A stream without events.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, epoch: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            epoch: epoch.into(),
            last: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Distinguishes it from all other streams of the manager.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its offsets belong to.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The offset of the event that was accepted last; 0 before the first.
    #[must_use]
    pub fn last_offset(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Takes the next offset. Who takes it holds the lock that orders events.
    pub(crate) fn next_offset(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Written under the lock of the history alone.
    pub(crate) fn set_lost(&self, offset: u64) {
        self.lost.store(offset, Relaxed);
    }

    /// The id of an offset.
    #[must_use]
    pub fn id(&self, offset: u64) -> String {
        format!("{}-{offset}", self.epoch)
    }

    /// The offset that [`Self::id`] has given this id; `None`: it never has.
    #[must_use]
    pub fn offset_of(&self, id: &str) -> Option<u64> {
        let offset = id.strip_prefix(self.epoch())?.strip_prefix('-')?;
        let offset = offset.parse().ok()?;
        // One offset has one spelling.
        (offset <= self.last_offset() && self.id(offset) == id).then_some(offset)
    }
}

/// The streams of one start of a manager.
#[derive(Debug)]
pub struct Streams {
    key: [u8; 16],
    by_tenant: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    streams: HashMap<Arc<str>, Arc<Stream>>,
    /// Counts the sweeps that have forgotten streams with events. It is part of the epoch of each
    /// stream that is made later: the offsets of one that was forgotten begin anew, with other ids.
    generation: u64,
    /// How many may be known before some are forgotten (count).
    limit: usize,
}

impl Streams {
    /// No streams yet. `key` is random, and never used again; `by_tenant`: whether each tenant on a
    /// channel has a stream of its own.
    #[must_use]
    pub fn new(key: [u8; 16], by_tenant: bool) -> Self {
        Self {
            key,
            by_tenant,
            known: Mutex::default(),
        }
    }

    /// The stream of a channel, and of a tenant where each has its own. It keeps its offsets for as
    /// long as anything refers to it.
    #[must_use]
    pub fn of(&self, channel: &str, tenant: Option<&str>) -> Arc<Stream> {
        let name = self.name(channel, tenant);
        let mut known = self.known.lock();
        if let Some(stream) = known.streams.get(&*name) {
            return stream.clone();
        }
        if known.streams.len() >= known.limit {
            known.forget();
        }
        let epoch = self.epoch(known.generation, &name);
        let stream = Arc::new(Stream::new(&*name, epoch));
        known.streams.insert(stream.name.clone(), stream.clone());
        stream
    }

    /// Forgets the streams that nothing refers to.
    pub fn sweep(&self) {
        self.known.lock().forget();
    }

    /// A name that no other pair has.
    fn name<'c>(&self, channel: &'c str, tenant: Option<&str>) -> Cow<'c, str> {
        match tenant {
            _ if !self.by_tenant => channel.into(),
            Some(tenant) => format!("{}:{tenant}{channel}", tenant.len()).into(),
            None => format!("{UNREAD}{channel}").into(),
        }
    }

    fn epoch(&self, generation: u64, name: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(generation.to_le_bytes());
        hash.update(name);
        let hash = hash.finalize();
        hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
    }
}

/// Begins the names of streams that no subscription receives, under tenant isolation.
const UNREAD: char = ':';

impl Known {
    /// Who has an id of a stream without events finds it again: the next record of it is equal.
    fn forget(&mut self) {
        let mut has_forgotten = false;
        self.streams.retain(|name, stream| {
            let is_held = Arc::strong_count(stream) > 1;
            has_forgotten |= !is_held && stream.last_offset() > 0 && !name.starts_with(UNREAD);
            is_held
        });
        self.generation += u64::from(has_forgotten);
        self.limit = MIN_KNOWN.max(self.streams.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_counts_its_own_events() {
        let streams = Streams::new([7; 16], true);
        let (a, b) = (streams.of("c", Some("a")), streams.of("c", Some("b")));
        assert_eq!((a.next_offset(), a.next_offset()), (1, 2));
        assert_eq!(b.last_offset(), 0);
        assert_eq!(streams.of("c", Some("a")).last_offset(), 2);
        let shared = Streams::new([7; 16], false);
        shared.of("c", Some("a")).next_offset();
        assert_eq!(shared.of("c", Some("b")).last_offset(), 1);
    }

    #[test]
    fn an_id_is_known_by_the_stream_and_the_start_that_gave_it() {
        let streams = Streams::new([7; 16], true);
        let stream = streams.of("c", Some("a"));
        stream.next_offset();
        let id = stream.id(1);
        assert_eq!(stream.offset_of(&id), Some(1));
        assert_eq!(stream.offset_of(&stream.id(0)), Some(0));
        // Of another tenant, of another channel, of another start.
        for other in [
            streams.of("c", Some("b")),
            streams.of("d", Some("a")),
            streams.of("c", None),
            Streams::new([8; 16], true).of("c", Some("a")),
        ] {
            other.next_offset();
            assert_eq!(other.offset_of(&id), None);
        }
        for forged in [
            stream.id(2),
            stream.id(u64::MAX),
            format!("{}-+1", stream.epoch()),
            format!("{}-01", stream.epoch()),
            format!("{}--1", stream.epoch()),
            format!("{}-", stream.epoch()),
            format!("{}-99999999999999999999", stream.epoch()),
            format!("{}1", stream.epoch()),
            stream.epoch().to_owned(),
            id.to_uppercase() + "x",
            String::new(),
            "-1".to_owned(),
        ] {
            assert_eq!(stream.offset_of(&forged), None, "{forged}");
        }
    }

    #[test]
    fn no_two_pairs_of_tenant_and_channel_are_one_stream() {
        let streams = Streams::new([7; 16], true);
        let pairs = [
            ("bc", Some("a")),
            ("c", Some("ab")),
            ("1:ac", None),
            ("\0c", Some("a")),
            ("c", Some("a\0")),
            ("c", Some("")),
            ("c", None),
            (":c", None),
        ];
        for (channel, tenant) in pairs {
            let stream = streams.of(channel, tenant);
            assert_eq!(stream.next_offset(), 1, "{channel:?} {tenant:?}");
        }
    }

    #[test]
    fn what_is_forgotten_has_other_ids_and_what_never_had_events_has_its_own_again() {
        let streams = Streams::new([7; 16], false);
        let silent = streams.of("silent", None).id(0);
        streams.sweep();
        assert_eq!(streams.of("silent", None).offset_of(&silent), Some(0));
        let held = streams.of("held", None);
        held.next_offset();
        let id = {
            let stream = streams.of("loud", None);
            stream.next_offset();
            stream.id(1)
        };
        streams.sweep();
        let again = streams.of("loud", None);
        assert_eq!(again.next_offset(), 1);
        assert_eq!(again.offset_of(&id), None);
        assert_eq!(streams.of("held", None).last_offset(), 1);
    }

    #[test]
    fn streams_that_nothing_refers_to_do_not_pile_up() {
        let streams = Streams::new([7; 16], false);
        for n in 0..20_000 {
            streams.of(&n.to_string(), None).next_offset();
        }
        assert!(streams.known.lock().streams.len() <= MIN_KNOWN);
    }
}
