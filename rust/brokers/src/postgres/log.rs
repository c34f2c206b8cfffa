//! Decodes the log: what was committed becomes events, which are kept, and delivered to wanted streams.

use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Arrival, Scope};
use bus::{Envelope, Epoch, Offset, Position, StreamKey};
use bytes::Bytes;

use super::any_stream::MissingOfAny;
use super::control;
use super::dropped::{Dropped, Reason};
use super::fault::Fault;
use super::pgoutput::Change;
use super::shared::{Progress, Shared};
use super::skipped::{self, Skipped};
use super::slot::StartedSlot;
use super::tables::{Lacking, Row, RowChange, RowFault, Tables};
use super::wants::StreamName;
use super::wire::{Frame, Wire};

/// The prefix of events in the log.
pub(super) const PREFIX: &str = "fs1";
/// The prefix of a message that says which span changes the rows that follow in its transaction.
pub(super) const TRACE_PREFIX: &str = "fraiseql_subs.traceparent";

/// What was read of the log.
pub(super) struct Log {
    shared: Arc<Shared>,
    link: u64,
    epoch: Epoch,
    /// All that was committed up to here was delivered.
    pub(super) end: u64,
    /// The newest position.
    head: Offset,
    transaction: Option<Transaction>,
    pub(super) tables: Tables,
    /// What is missing, and not told yet.
    missing: MissingOfAny,
    /// Limits how often events that are dropped are logged.
    dropped: Dropped,
}

/// A committed transaction whose events arrive.
struct Transaction {
    /// The place of its commit in the log.
    commit: u64,
    /// Its id.
    id: u64,
    /// The number of the next event.
    next: u32,
}

/// Reports that nothing is read any more, when it is dropped.
pub(super) struct Reading(Arc<Shared>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.progress.send_replace(None);
        self.0.echoes.lost();
        self.0.commits.lost();
    }
}

impl Log {
    /// Creates the state of a link. Returns its connection beside it.
    pub(super) fn new(shared: Arc<Shared>, slot: StartedSlot, link: u64) -> (Wire, Self) {
        let log = Self {
            link,
            epoch: slot.epoch,
            end: slot.start,
            head: before(slot.start),
            transaction: None,
            tables: Tables::new(&shared.config.tables, slot.types),
            missing: MissingOfAny::default(),
            dropped: Dropped::default(),
            shared,
        };
        (slot.wire, log)
    }

    /// Reports that the log is read, until the result is dropped.
    pub(super) fn begin(&self) -> Reading {
        self.shared.recent.begin(self.position());
        self.report();
        Reading(self.shared.clone())
    }

    fn report(&self) {
        self.shared.progress.send_replace(Some(Progress {
            epoch: self.epoch,
            end: self.end,
            link: self.link,
        }));
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.head,
        }
    }

    /// Handles a message. Returns whether the server wants a reply.
    pub(super) fn take(&mut self, frame: Frame) -> Result<bool, Fault> {
        match frame {
            Frame::Progress { end, wants_reply } => {
                if self.transaction.is_none() {
                    self.advance(end);
                    self.shared.recent.delivered(self.head);
                }
                return Ok(wants_reply);
            }
            Frame::TooLarge(head) => self.too_large(&head),
            Frame::Data(data) => self.change(Change::read(data)?),
        }
        self.shared.recent.delivered(self.head);
        Ok(false)
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Begin { commit, id, .. } => {
                let id = self.shared.commits.delivered(commit, id);
                let next = 0;
                self.transaction = Some(Transaction { commit, id, next });
                self.tables.begin();
                if self.shared.commits.are_many() {
                    self.shared.look_at_commits.notify_one();
                }
            }
            Change::Commit { end } => {
                self.transaction = None;
                self.advance(end);
            }
            Change::Message {
                is_transactional,
                end,
                prefix,
                content,
            } => match &*prefix {
                PREFIX => {
                    let at = self.place_of(is_transactional, end);
                    self.shared.echoes.found(end, at);
                    self.event(at, content);
                }
                TRACE_PREFIX if is_transactional => self.tables.traced(&content),
                control::PREFIX => control::deliver(&self.shared.control, &content),
                _ => {}
            },
            Change::Relation(relation) => self.tables.define(relation),
            Change::Insert { table, new } => {
                let change = RowChange::Insert;
                self.row(
                    table,
                    &Row {
                        change,
                        new: Some(new),
                        old: None,
                    },
                );
            }
            Change::Update { table, old, new } => {
                let change = RowChange::Update;
                self.row(
                    table,
                    &Row {
                        change,
                        new: Some(new),
                        old,
                    },
                );
            }
            Change::Delete { table, old } => {
                let change = RowChange::Delete;
                self.row(
                    table,
                    &Row {
                        change,
                        new: None,
                        old: Some(old),
                    },
                );
            }
            Change::Truncate { tables } => {
                let at = self.next();
                for table in tables {
                    // The rows are gone without an event for each: clients have to ask again.
                    self.lose_table(table, at);
                }
            }
            Change::Other => {}
        }
    }

    /// All up to this place was delivered.
    fn advance(&mut self, end: u64) {
        if end > self.end {
            self.end = end;
            self.head = self.head.max(before(end));
            self.report();
        }
    }

    /// The position of the next event of the transaction.
    fn next(&mut self) -> Position {
        let offset = match &mut self.transaction {
            Some(Transaction { commit, next, .. }) => {
                let minor = *next;
                *next = next.saturating_add(1);
                Offset {
                    major: *commit,
                    minor,
                }
            }
            None => self.head,
        };
        self.at(offset)
    }

    /// The position of a message. One that is part of no transaction has the place before its end: a
    /// transaction may have its commit at the end.
    fn place_of(&mut self, is_transactional: bool, end: u64) -> Position {
        if is_transactional {
            self.next()
        } else {
            self.at(before(end))
        }
    }

    fn at(&mut self, offset: Offset) -> Position {
        self.head = self.head.max(offset);
        Position {
            epoch: self.epoch,
            offset,
        }
    }

    fn event(&mut self, at: Position, content: Bytes) {
        let envelope = match Envelope::read(&content, false) {
            Ok(envelope) => envelope,
            Err(error) => {
                // It may be of a later version, and says no stream.
                self.drop_event(0, Reason::Unreadable, &error.to_string());
                return self.lose_all(at);
            }
        };
        let stream = self.find(envelope.tenant, envelope.channel.unwrap_or_default());
        // What is not looked for is not read.
        let Some(stream) = stream else {
            return;
        };
        if let Err(error) = envelope.check_data() {
            self.drop_event(0, Reason::Unreadable, &error.to_string());
            self.lose(stream, at);
        } else {
            self.pass(0, stream, at, content);
        }
    }

    fn find(&self, tenant: Option<&str>, channel: &str) -> Option<StreamKey> {
        let tenant = tenant.filter(|_| self.shared.config.by_tenant);
        find(&self.shared, StreamName { tenant, channel })
    }

    fn row(&mut self, table: u32, row: &Row) {
        let at = self.next();
        let by_tenant = self.shared.config.by_tenant;
        let shared = self.shared.clone();
        let events = self
            .tables
            .events(table, row, by_tenant, |name| find(&shared, name));
        for event in events {
            match event {
                Ok((stream, envelope)) => self.pass(table, stream, at, envelope),
                Err(RowFault { lacking, problem }) => {
                    self.drop_event(table, (&lacking).into(), &problem);
                    match lacking {
                        Lacking::Nobody => {}
                        Lacking::Stream(stream) => self.lose(stream, at),
                        Lacking::AnyOfTable => self.lose_table(table, at),
                    }
                }
            }
        }
    }

    /// Keeps an event, and delivers it if its stream is wanted. `table`: 0 for one that was published.
    fn pass(&mut self, table: u32, stream: StreamKey, at: Position, envelope: Bytes) {
        if envelope.len() > self.shared.config.max_event_bytes {
            self.drop_event(table, Reason::TooLarge, &self.too_large_of(table));
            return self.lose(stream, at);
        }
        let shared = &self.shared;
        shared
            .recent
            .keep(&stream, at.offset, &envelope, Instant::now());
        if shared.wants.has(&stream) {
            let arrival = Arrival {
                stream: stream.clone(),
                position: at,
                before: None,
                transaction: self.transaction.as_ref().map(|of| of.id),
                envelope,
            };
            shared.arrivals().event(arrival);
            // Noted after it: the newest position of a stream is never ahead of what was delivered.
            shared.wants.delivered(&stream, at);
        }
    }

    /// An event of a stream is missing.
    fn lose(&self, stream: StreamKey, at: Position) {
        self.shared.recent.lose(&stream, at.offset);
        if self.shared.wants.has(&stream) {
            self.shared.arrivals().doubt(Scope::Stream(stream));
        }
    }

    /// Events of any stream of a table are missing.
    fn lose_table(&self, table: u32, at: Position) {
        if self.tables.has(table) {
            let is_meant = |channel: &str| self.tables.may_be_on(table, channel);
            self.shared.recent.lose_of(at.offset, is_meant);
            for stream in self.shared.wants.matching(is_meant) {
                self.shared.arrivals().doubt(Scope::Stream(stream));
            }
        }
    }

    /// A message that was skipped.
    fn too_large(&mut self, head: &Bytes) {
        match Skipped::read(head) {
            Skipped::Foreign { .. } => {}
            Skipped::Row(table) => {
                let at = self.next();
                if self.tables.has(table) {
                    self.drop_event(table, Reason::TooLarge, &self.too_large_of(table));
                    self.lose_table(table, at);
                }
            }
            Skipped::Event {
                is_transactional,
                end,
                head,
            } => {
                let at = self.place_of(is_transactional, end);
                self.drop_event(0, Reason::TooLarge, &self.too_large_of(0));
                match skipped::stream_of(&head) {
                    None => self.lose_all(at),
                    Some((tenant, channel)) => {
                        if let Some(stream) = self.find(tenant, channel) {
                            self.lose(stream, at);
                        }
                    }
                }
            }
            Skipped::Unknown => {
                let at = self.next();
                self.drop_event(0, Reason::TooLarge, &self.too_large_of(0));
                self.lose_all(at);
            }
        }
    }

    /// Events of any stream are missing.
    fn lose_all(&mut self, at: Position) {
        self.shared.recent.lose_of(at.offset, |_| true);
        if self.missing.add(Instant::now()) {
            self.shared.arrivals().doubt(Scope::All);
        }
    }

    /// Tells what is missing, when it is due.
    pub(super) fn tell_missing(&mut self) {
        if self.missing.is_due(Instant::now()) {
            self.shared.arrivals().doubt(Scope::All);
        }
    }

    fn too_large_of(&self, table: u32) -> String {
        let limit = self.shared.config.max_event_bytes;
        match self.tables.name(table) {
            Some(name) => {
                format!("a row of {name} is larger than max_event_bytes ({limit} bytes)")
            }
            None => format!("it is larger than max_event_bytes ({limit} bytes)"),
        }
    }

    /// Counts and logs an event that reaches no subscriber. `table`: 0 for one that was published.
    fn drop_event(&mut self, table: u32, reason: Reason, problem: &str) {
        self.shared.arrivals().unreadable();
        let throttle = self.dropped.throttle(table, reason);
        if let Some(suppressed) = throttle.admit(Instant::now()) {
            tracing::warn!(
                name: "event.unreadable",
                target: "fraiseql_subs",
                problem,
                suppressed,
                "an event in the log of PostgreSQL reaches no subscriber; further ones are counted in metrics().bus_unreadable and logged once a minute"
            );
        }
    }
}

/// The key of a stream whose events are kept or delivered.
fn find(shared: &Shared, name: StreamName<'_>) -> Option<StreamKey> {
    let wanted = shared.wants.find(name);
    wanted.or_else(|| shared.recent.is_on().then(|| name.key()))
}

/// The position before all that is committed at a place in the log, or after it.
fn before(place: u64) -> Offset {
    Offset::new(place.saturating_sub(1))
}
