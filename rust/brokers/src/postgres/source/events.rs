//! What the log has, as events to publish.
//!
//! The id by which the engine recognizes an event is made of the place of its commit, the time of its
//! commit and the number of the change in its transaction. A reader that reads the same again makes the
//! same id, on each node. Two transactions at the same place of two timelines differ in their time.
//! The id that users have given is part of the envelope, and stays the id of the event.

use std::time::Instant;

use bus::engine::Outgoing;
use bus::source::{Lost, SourceTarget};
use bus::{Envelope, StreamKey};
use bytes::Bytes;

use super::super::any_stream::MissingOfAny;
use super::super::dropped::{Dropped, Reason};
use super::super::fault::Fault;
use super::super::log::{PREFIX, TRACE_PREFIX};
use super::super::pgoutput::Change;
use super::super::skipped::{self, Skipped};
use super::super::tables::{Lacking, Row, RowChange, RowFault, Table, Tables, Types};
use super::super::wants::StreamName;
use super::super::wire::Frame;
use super::state::Mark;

/// What was read of the log.
pub(super) struct LogEvents {
    system: u64,
    by_tenant: bool,
    /// Limit of the engine (bytes).
    max_event_bytes: usize,
    /// Published before, by this node: not published again.
    published: Mark,
    /// What was read. Its end is before the transaction that is being read.
    read: Mark,
    /// When the transaction was committed.
    at: u64,
    pub(super) tables: Tables,
    /// Events that were read and not taken.
    events: Vec<Outgoing>,
    /// What is lost, in the place where it is missing.
    losses: Vec<Lost>,
    /// What cannot be read at all.
    missing: MissingOfAny,
    dropped: Dropped,
}

impl LogEvents {
    pub(super) fn new(
        system: u64,
        published: Mark,
        tables: &[Table],
        types: Types,
        target: &SourceTarget,
    ) -> Self {
        Self {
            system,
            by_tenant: target.by_tenant,
            max_event_bytes: target.engine.capabilities().max_event_bytes,
            published,
            read: Mark {
                end: published.end,
                ..Mark::default()
            },
            at: 0,
            tables: Tables::new(tables, types),
            events: Vec::new(),
            losses: Vec::new(),
            missing: MissingOfAny::default(),
            dropped: Dropped::default(),
        }
    }

    /// Reads a message. Returns whether the server wants a reply.
    pub(super) fn take(&mut self, frame: Frame) -> Result<bool, Fault> {
        match frame {
            Frame::Progress { end, wants_reply } => {
                if self.read.commit == 0 {
                    self.read.end = self.read.end.max(end);
                }
                return Ok(wants_reply);
            }
            Frame::TooLarge(head) => self.too_large(&head),
            Frame::Data(data) => self.change(Change::read(data)?),
        }
        Ok(false)
    }

    /// Takes the events that were read, and what was read with them.
    pub(super) fn taken(&mut self) -> (Vec<Outgoing>, Mark) {
        (std::mem::take(&mut self.events), self.read)
    }

    /// Takes what is lost after the events of [`Self::taken`]. Nothing is to be read before it is told.
    pub(super) fn losses(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.losses)
    }

    /// Takes a loss that had to wait, when it is due.
    pub(super) fn due_loss(&mut self) -> Option<Lost> {
        self.missing.is_due(Instant::now()).then_some(Lost::Events)
    }

    /// Whether a loss waits until it is due.
    pub(super) fn owes_loss(&self) -> bool {
        self.missing.is_owed()
    }

    pub(super) fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    /// The events that were read and not taken (bytes).
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.envelope.len()).sum()
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Begin { commit, at, .. } => {
                self.at = at;
                self.read.commit = commit;
                self.read.changes = 0;
                self.tables.begin();
            }
            Change::Commit { end } => {
                self.read = Mark {
                    end: end.max(self.read.end),
                    ..Mark::default()
                };
            }
            Change::Message {
                is_transactional: true,
                prefix,
                content,
                ..
            } => {
                let id = self.next();
                match (&*prefix, id) {
                    (PREFIX, Some(id)) => self.message(id, content),
                    // Also of changes that were published before: others follow.
                    (TRACE_PREFIX, _) => self.tables.traced(&content),
                    _ => {}
                }
            }
            Change::Message {
                end,
                prefix,
                content,
                ..
            } if &*prefix == PREFIX => {
                let id = format!("{:x}-{end:x}", self.system);
                self.message(id, content);
            }
            Change::Relation(relation) => self.tables.define(relation),
            Change::Insert { table, new } => {
                let (new, old) = (Some(new), None);
                self.row(table, RowChange::Insert, |change| Row { change, new, old });
            }
            Change::Update { table, old, new } => {
                let new = Some(new);
                self.row(table, RowChange::Update, |change| Row { change, new, old });
            }
            Change::Delete { table, old } => {
                let (new, old) = (None, Some(old));
                self.row(table, RowChange::Delete, |change| Row { change, new, old });
            }
            Change::Truncate { tables } => {
                let is_new = self.next().is_some();
                if is_new && tables.into_iter().any(|table| self.tables.has(table)) {
                    // The rows are gone without an event for each, and may have been of any channel.
                    self.losses.push(Lost::Events);
                }
            }
            Change::Message { .. } | Change::Other => {}
        }
    }

    /// Counts a change of the transaction. Returns its id; `None`: it was published before. Each change
    /// counts, whatever is made of it, so that a change has the same number on all nodes.
    fn next(&mut self) -> Option<String> {
        let (Mark { commit, .. }, number) = (self.read, self.read.changes);
        self.read.changes = number.saturating_add(1);
        let is_published = commit == self.published.commit && number < self.published.changes;
        let id = || format!("{:x}-{commit:x}-{:x}-{number:x}", self.system, self.at);
        (!is_published).then(id)
    }

    fn message(&mut self, id: String, envelope: Bytes) {
        let read = Envelope::read(&envelope, false).map(|read| {
            let stream = self.stream(read.tenant, read.channel.unwrap_or_default());
            (stream, read.check_data())
        });
        match read {
            Ok((stream, Ok(()))) => self.event(0, id, stream, envelope),
            Ok((stream, Err(error))) => {
                self.log_dropped(0, Reason::Unreadable, &error.to_string());
                self.losses.push(Lost::EventsOf(stream));
            }
            Err(error) => {
                // It may be of a later version, and says no stream.
                self.log_dropped(0, Reason::Unreadable, &error.to_string());
                if self.missing.add(Instant::now()) {
                    self.losses.push(Lost::Events);
                }
            }
        }
    }

    fn stream(&self, tenant: Option<&str>, channel: &str) -> StreamKey {
        let tenant = tenant.filter(|_| self.by_tenant);
        StreamName { tenant, channel }.key()
    }

    fn row(&mut self, table: u32, change: RowChange, row: impl FnOnce(RowChange) -> Row) {
        let Some(id) = self.next() else {
            return;
        };
        let events = self
            .tables
            .events(table, &row(change), self.by_tenant, |name| Some(name.key()));
        for event in events {
            match event {
                // A row may be the event of several channels.
                Ok((stream, envelope)) => {
                    let id = format!("{id}-{:x}", hash(&stream));
                    self.event(table, id, stream, envelope);
                }
                Err(RowFault { lacking, problem }) => {
                    self.log_dropped(table, (&lacking).into(), &problem);
                    match lacking {
                        Lacking::Nobody => {}
                        Lacking::Stream(stream) => self.losses.push(Lost::EventsOf(stream)),
                        Lacking::AnyOfTable => self.losses.push(Lost::Events),
                    }
                }
            }
        }
    }

    /// `table`: 0 for an event that was published.
    fn event(&mut self, table: u32, id: String, stream: StreamKey, envelope: Bytes) {
        if envelope.len() > self.max_event_bytes {
            self.log_dropped(table, Reason::TooLarge, &self.too_large_of(table));
            self.losses.push(Lost::EventsOf(stream));
            return;
        }
        self.events.push(Outgoing {
            stream,
            id: id.into(),
            envelope,
        });
    }

    /// A message that was skipped.
    fn too_large(&mut self, head: &Bytes) {
        let (table, lost) = match Skipped::read(head) {
            Skipped::Foreign { is_transactional } => {
                if is_transactional {
                    self.next();
                }
                return;
            }
            Skipped::Row(table) => {
                let is_meant = self.next().is_some() && self.tables.has(table);
                (table, is_meant.then_some(Lost::Events))
            }
            Skipped::Event {
                is_transactional,
                head,
                ..
            } => {
                let is_new = !is_transactional || self.next().is_some();
                let lost = skipped::stream_of(&head).map_or(Lost::Events, |(tenant, channel)| {
                    Lost::EventsOf(self.stream(tenant, channel))
                });
                (0, is_new.then_some(lost))
            }
            Skipped::Unknown => (0, self.next().map(|_| Lost::Events)),
        };
        if let Some(lost) = lost {
            self.log_dropped(table, Reason::TooLarge, &self.too_large_of(table));
            self.losses.push(lost);
        }
    }

    fn too_large_of(&self, table: u32) -> String {
        match self.tables.name(table) {
            Some(name) => format!("a row of {name} is larger than max_event_bytes of the bus"),
            None => "it is larger than max_event_bytes of the bus".to_owned(),
        }
    }

    pub(super) fn log_dropped(&mut self, table: u32, reason: Reason, problem: &str) {
        let throttle = self.dropped.throttle(table, reason);
        if let Some(suppressed) = throttle.admit(Instant::now()) {
            tracing::warn!(
                name: "event.unreadable",
                target: "fraiseql_subs",
                problem,
                suppressed,
                "an event in the log of PostgreSQL reaches no subscriber; further ones are logged once a minute"
            );
        }
    }
}

/// The same number for a stream in all programs (FNV-1a).
fn hash(stream: &StreamKey) -> u64 {
    let tenant = stream.tenant.as_deref().unwrap_or_default();
    let bytes = tenant.bytes().chain([0]).chain(stream.channel.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
