//! Streams: assigns positions to the events of each channel; under tenant isolation, of each tenant
//! on a channel.
//!
//! The id that a client sees is `<epoch>-<offset>`. The offset counts the events of one stream. On
//! the memory bus the epoch is a keyed hash of the stream's name. So an id reveals nothing about
//! other streams, the process or the time of its start, and an id of another stream or another
//! start is recognized. Not here: the order of events that an engine delivers (`sequencer`).

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{Epoch, LocalPosition, Position, Received, StreamKey};

/// Unreferenced streams are removed only when there are at least this many streams (count).
const MIN_KNOWN: usize = 1024;

/// The sequence before the first event of a stream that an engine numbers. Events that are read
/// from the engine's history for a client that resumes have lower ones.
const FIRST_OF_ENGINE: u64 = 1 << 32;

/// The events of one channel, or of one tenant on it: assigns their positions.
#[derive(Debug)]
pub struct Stream {
    key: StreamKey,
    name: Arc<str>,
    state: Mutex<StreamState>,
}

#[derive(Debug, Clone, Copy)]
struct StreamState {
    /// The position of the last accepted event; before the first one, the position that it follows.
    last: LocalPosition,
    /// From here on, offsets and sequences count the same events.
    base: LocalPosition,
    /// The last event that the history does not keep any more; `base` if it keeps all.
    lost: LocalPosition,
    /// Whether each event since `base` has the offset after that of the one before.
    is_dense: bool,
}

/// What a stream knows of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its sequence.
    At(u64),
    /// It is between events that this process has received: `after` is a sequence that is not later
    /// than the last event up to it.
    Between { after: u64 },
}

impl Stream {
    /// Creates a stream with an epoch, which an engine may change. Its first event has the sequence
    /// after `first` and the offset 1.
    fn new(key: StreamKey, name: Arc<str>, epoch: Epoch, first: u64) -> Self {
        let begin = LocalPosition {
            sequence: first,
            position: Position::new(epoch, 0),
            received: Received::default(),
        };
        let state = StreamState {
            last: begin,
            base: begin,
            lost: begin,
            is_dense: true,
        };
        Self {
            key,
            name,
            state: Mutex::new(state),
        }
    }

    /// The key by which engines know the stream.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The name of the stream, unique within the manager.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the position of the last accepted event; before the first one, the position that it
    /// follows.
    #[must_use]
    pub fn last(&self) -> LocalPosition {
        self.state.lock().last
    }

    /// Assigns the next position. The caller holds the lock that orders events.
    pub(crate) fn advance(&self) -> LocalPosition {
        let mut state = self.state.lock();
        let LocalPosition {
            sequence, position, ..
        } = state.last;
        state.last = LocalPosition {
            sequence: sequence + 1,
            position: Position {
                offset: position.offset.next(),
                ..position
            },
            received: Received::now(),
        };
        state.last
    }

    /// Accepts the position that an engine has assigned to the next event.
    pub(crate) fn accept(&self, position: Position) -> LocalPosition {
        let mut state = self.state.lock();
        let sequence = state.last.sequence + 1;
        state.is_dense &= position.offset == state.last.position.offset.next();
        state.last = LocalPosition {
            sequence,
            position,
            received: Received::now(),
        };
        state.last
    }

    /// Continues after a position, which may be of another epoch. Events between the last one and
    /// this position may be missing, and earlier events are treated as lost.
    pub(crate) fn restart(&self, position: Position) -> LocalPosition {
        let mut state = self.state.lock();
        let sequence = state.last.sequence + 1;
        let begin = LocalPosition {
            sequence,
            position,
            received: Received::default(),
        };
        *state = StreamState {
            last: begin,
            base: begin,
            lost: begin,
            is_dense: true,
        };
        begin
    }

    /// Notes that events are missing after the last one that the engine does not have either. Positions
    /// up to the last one are found no more: nobody can go on from there without missing something.
    pub(crate) fn lose(&self) -> LocalPosition {
        let mut state = self.state.lock();
        let LocalPosition {
            sequence, position, ..
        } = state.last;
        let gap = LocalPosition {
            sequence: sequence + 1,
            position,
            received: Received::default(),
        };
        let base = LocalPosition {
            sequence: sequence + 2,
            position: Position {
                offset: position.offset.next(),
                ..position
            },
            received: Received::default(),
        };
        *state = StreamState {
            last: gap,
            base,
            lost: gap,
            is_dense: true,
        };
        gap
    }

    /// The sequence of the last event that the history does not keep any more.
    pub(crate) fn lost(&self) -> u64 {
        self.state.lock().lost.sequence
    }

    /// Notes the last event that the history does not keep any more. The caller holds the lock of
    /// the history.
    pub(crate) fn set_lost(&self, lost: LocalPosition) {
        let mut state = self.state.lock();
        // Ignores an event from before a restart of the stream.
        if lost.sequence > state.lost.sequence {
            state.lost = lost;
        }
    }

    /// Finds a position. `None`: this process has not received it, or it is of another epoch.
    pub(crate) fn find(&self, position: Position) -> Option<Known> {
        let StreamState {
            last,
            base,
            lost,
            is_dense,
        } = *self.state.lock();
        let (first, now) = (base.position.offset, last.position.offset);
        let is_within = (first..=now).contains(&position.offset);
        if !is_within || position.epoch != last.position.epoch {
            return None;
        }
        Some(match position.offset {
            _ if is_dense => Known::At(base.sequence + (position.offset.major - first.major)),
            offset if offset == now => Known::At(last.sequence),
            offset if offset == lost.position.offset => Known::At(lost.sequence),
            offset if offset == first => Known::At(base.sequence),
            offset if offset >= lost.position.offset => Known::Between {
                after: lost.sequence,
            },
            _ => Known::Between {
                after: base.sequence,
            },
        })
    }
}

/// The streams of a manager, from its start to its end.
#[derive(Debug)]
pub struct Streams {
    key: [u8; 16],
    by_tenant: bool,
    /// The sequence before that of a stream's first event.
    first: u64,
    known: Mutex<KnownStreams>,
}

#[derive(Debug, Default)]
struct KnownStreams {
    streams: HashMap<Arc<str>, Arc<Stream>>,
    /// Counts the sweeps that removed streams with events. It is part of the epoch of each stream
    /// that is created later. A stream that is created again counts from 1, and its ids differ from
    /// the old ones.
    generation: u64,
    /// Unreferenced streams are removed when there are this many streams (count).
    limit: usize,
}

impl Streams {
    /// Creates an empty set. `key`: random, used for one start only. `by_tenant`: whether each
    /// tenant on a channel has its own stream.
    #[must_use]
    pub fn new(key: [u8; 16], by_tenant: bool) -> Self {
        Self {
            key,
            by_tenant,
            first: 0,
            known: Mutex::default(),
        }
    }

    /// Prepares the streams for positions that an engine assigns.
    #[must_use]
    pub fn of_engine(mut self) -> Self {
        self.first = FIRST_OF_ENGINE;
        self
    }

    /// Returns the stream of a channel and, under tenant isolation, of a tenant. Its offsets go on
    /// as long as the stream is referenced.
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
        let key = self.key(channel, tenant);
        let stream = Arc::new(Stream::new(key, (*name).into(), epoch, self.first));
        known.streams.insert(stream.name.clone(), stream.clone());
        stream
    }

    /// Returns the key by which engines know the stream of a channel and a tenant.
    #[must_use]
    pub fn key(&self, channel: &str, tenant: Option<&str>) -> StreamKey {
        StreamKey {
            tenant: tenant.filter(|_| self.by_tenant).map(Into::into),
            channel: channel.into(),
        }
    }

    /// Removes the streams that are not referenced.
    pub fn sweep(&self) {
        self.known.lock().forget();
    }

    /// Returns a name that is unique for each pair of channel and tenant.
    fn name<'c>(&self, channel: &'c str, tenant: Option<&str>) -> Cow<'c, str> {
        match tenant {
            _ if !self.by_tenant => channel.into(),
            Some(tenant) => format!("{}:{tenant}{channel}", tenant.len()).into(),
            None => format!("{UNREAD}{channel}").into(),
        }
    }

    fn epoch(&self, generation: u64, name: &str) -> Epoch {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(generation.to_le_bytes());
        hash.update(name);
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&hash.finalize()[..8]);
        Epoch(u64::from_be_bytes(epoch))
    }
}

/// Begins the name of a stream without a tenant, under tenant isolation. No subscription receives
/// its events.
const UNREAD: char = ':';

impl KnownStreams {
    /// Removes unreferenced streams. `generation` changes only if one of them had events that a
    /// subscription can receive. Otherwise the streams are created again with the same epochs, so
    /// their ids stay valid.
    fn forget(&mut self) {
        let mut has_forgotten = false;
        self.streams.retain(|name, stream| {
            let is_held = Arc::strong_count(stream) > 1;
            let has_events = stream.last() != stream.state.lock().base;
            has_forgotten |= !is_held && has_events && !name.starts_with(UNREAD);
            is_held
        });
        self.generation += u64::from(has_forgotten);
        self.limit = MIN_KNOWN.max(self.streams.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(at: LocalPosition) -> u64 {
        at.position.offset.major
    }

    /// Returns the id of an offset, in the epoch of the stream.
    fn id(stream: &Stream, offset: u64) -> String {
        Position::new(stream.last().position.epoch, offset).to_string()
    }

    fn offset_of(stream: &Stream, id: &str) -> Option<u64> {
        match stream.find(id.parse().ok()?)? {
            Known::At(sequence) => Some(sequence),
            Known::Between { .. } => None,
        }
    }

    #[test]
    fn each_stream_counts_its_own_events() {
        let streams = Streams::new([7; 16], true);
        let (a, b) = (streams.of("c", Some("a")), streams.of("c", Some("b")));
        assert_eq!((offset(a.advance()), offset(a.advance())), (1, 2));
        assert_eq!(offset(b.last()), 0);
        assert_eq!(offset(streams.of("c", Some("a")).last()), 2);
        let shared = Streams::new([7; 16], false);
        shared.of("c", Some("a")).advance();
        assert_eq!(offset(shared.of("c", Some("b")).last()), 1);
    }

    #[test]
    fn an_id_is_known_by_the_stream_and_the_start_that_gave_it() {
        let streams = Streams::new([7; 16], true);
        let stream = streams.of("c", Some("a"));
        stream.advance();
        let first = id(&stream, 1);
        let epoch = stream.last().position.epoch;
        assert_eq!(offset_of(&stream, &first), Some(1));
        assert_eq!(offset_of(&stream, &id(&stream, 0)), Some(0));
        // Another tenant, another channel, no tenant, another start.
        for other in [
            streams.of("c", Some("b")),
            streams.of("d", Some("a")),
            streams.of("c", None),
            Streams::new([8; 16], true).of("c", Some("a")),
        ] {
            other.advance();
            assert_eq!(offset_of(&other, &first), None);
        }
        for forged in [
            id(&stream, 2),
            id(&stream, u64::MAX),
            format!("{epoch}-+1"),
            format!("{epoch}-01"),
            format!("{epoch}--1"),
            format!("{epoch}-"),
            format!("{epoch}-99999999999999999999"),
            format!("{epoch}1"),
            epoch.to_string(),
            first + "x",
            String::new(),
            "-1".to_owned(),
        ] {
            assert_eq!(offset_of(&stream, &forged), None, "{forged}");
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
            assert_eq!(offset(stream.advance()), 1, "{channel:?} {tenant:?}");
        }
    }

    #[test]
    fn a_removed_stream_has_new_ids_unless_it_had_no_events() {
        let streams = Streams::new([7; 16], false);
        let silent = id(&streams.of("silent", None), 0);
        streams.sweep();
        assert_eq!(offset_of(&streams.of("silent", None), &silent), Some(0));
        let held = streams.of("held", None);
        held.advance();
        let lost = {
            let stream = streams.of("loud", None);
            stream.advance();
            id(&stream, 1)
        };
        streams.sweep();
        let again = streams.of("loud", None);
        assert_eq!(offset(again.advance()), 1);
        assert_eq!(offset_of(&again, &lost), None);
        assert_eq!(offset(streams.of("held", None).last()), 1);
    }

    #[test]
    fn streams_that_nothing_refers_to_do_not_pile_up() {
        let streams = Streams::new([7; 16], false);
        for n in 0..20_000 {
            streams.of(&n.to_string(), None).advance();
        }
        assert!(streams.known.lock().streams.len() <= MIN_KNOWN);
    }
}
