//! Reads the log: starts a slot, decodes what was committed, and passes on what is wanted.
//!
//! Each link has a temporary slot of its own, which starts at now. What was committed before is never
//! read: each stream becomes ready again, at a head after all that was delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::{Arrival, Role, Scope};
use bus::{Envelope, Epoch, Offset, Position, Throttle};
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use super::control;
use super::fault::{Fault, FaultKind};
use super::install::PUBLICATION;
use super::pgoutput::Change;
use super::shared::{Progress, Shared};
use super::sql;
use super::tables::{Row, RowChange, RowFault, Tables, Types};
use super::wants::StreamName;
use super::wire::{Frame, Wire};

/// The prefix of events in the log.
const PREFIX: &str = "fs1";
/// How many messages are handled before other work has its turn (count).
const TURN: usize = 256;
/// Pause while the receiver has no room.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// After this time a slot that has not started is reported.
const SLOT_PATIENCE: Duration = Duration::from_secs(3);
/// After this time without a byte the link ends. The server is silent while it decodes a large
/// transaction, but ends a link itself after a minute (`wal_sender_timeout`).
const SILENT: Duration = Duration::from_secs(90);

/// A slot that has started.
pub(super) struct StartedSlot {
    wire: Wire,
    epoch: Epoch,
    /// All that is committed after this place in the log arrives.
    start: u64,
    types: Types,
}

/// Connects, and checks the server.
pub(super) async fn open(shared: &Shared) -> Result<Wire, Fault> {
    let mut wire = Wire::connect(&shared.config).await.map_err(of_login)?;
    let checks = format!(
        "SELECT current_setting('wal_level'), current_setting('server_version_num'), \
         pg_catalog.pg_is_in_recovery()::text, current_setting('max_slot_wal_keep_size'), \
         (EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = '{PUBLICATION}'))::text"
    );
    let rows = wire.query(&checks).await.map_err(Fault::of_link)?;
    let texts: Vec<&str> = rows
        .iter()
        .flatten()
        .map(|text| text.as_deref().unwrap_or(""))
        .collect();
    let [level, version, is_standby, kept, is_installed] = texts[..] else {
        return Err(Fault::away(
            "PostgreSQL has answered the checks in another form",
        ));
    };
    if version
        .parse::<u32>()
        .is_ok_and(|version| version < 140_000)
    {
        return Err(Fault::configuration(
            "the server is older than PostgreSQL 14, which cannot pass on messages of the log",
        ));
    }
    if is_standby == "true" {
        return Err(Fault::away(
            "the server is a standby: name the primary in the URL of the bus",
        ));
    }
    if level != "logical" {
        return Err(Fault::configuration(format!(
            "wal_level is {level}: set wal_level = logical in postgresql.conf (on a managed server its \
             setting for logical replication), and restart PostgreSQL"
        )));
    }
    if is_installed != "true" {
        return Err(sql::not_installed());
    }
    if kept == "-1" {
        tracing::warn!(
            target: "fraiseql_subs",
            "max_slot_wal_keep_size is -1: a program that is connected and does not read can fill the \
             disk of PostgreSQL; set it, for example to 10GB"
        );
    }
    for table in &shared.config.tables {
        let rows = wire
            .query(&table.check_sql())
            .await
            .map_err(Fault::of_link)?;
        table.check(&rows).map_err(Fault::configuration)?;
    }
    Ok(wire)
}

/// Refusals of a login in replication mode.
fn of_login(fault: Fault) -> Fault {
    if fault.reason.contains("max_wal_senders") {
        return Fault {
            kind: FaultKind::Configuration,
            ..fault
        }
        .advise("each node takes one: raise max_wal_senders");
    }
    match fault.kind {
        FaultKind::Denied => fault.of_link().advise(
            "run ALTER ROLE ... REPLICATION for the role of the nodes, as an administrator",
        ),
        FaultKind::Configuration if fault.reason.contains("no encryption") => {
            fault.advise("write sslmode=verify-full in the URL of the bus")
        }
        _ => fault.of_link(),
    }
}

/// Starts a slot. Waits for the transactions that are open.
pub(super) async fn start(shared: &Shared, mut wire: Wire) -> Result<StartedSlot, Fault> {
    let system = wire
        .query("IDENTIFY_SYSTEM")
        .await
        .map_err(Fault::of_link)?;
    let number =
        |index: usize| -> Option<u64> { system.first()?.get(index)?.as_deref()?.parse().ok() };
    let (Some(id), Some(timeline)) = (number(0), number(1)) else {
        return Err(Fault::away("PostgreSQL has not said which system it is"));
    };
    // A server that was promoted goes on in another timeline: its places in the log are other places.
    let epoch = Epoch(id.wrapping_add(timeline.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let types = Types::of_rows(&wire.query(Types::SQL).await.map_err(Fault::of_link)?);

    let name = format!("{PUBLICATION}_{:016x}", fastrand::u64(..));
    let create =
        format!("CREATE_REPLICATION_SLOT \"{name}\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    let created = {
        let mut created = std::pin::pin!(wire.query(&create));
        tokio::select! {
            created = &mut created => created,
            () = tokio::time::sleep(SLOT_PATIENCE) => {
                let waits = Fault::away(
                    "PostgreSQL starts to send the log when the transactions have ended that are open \
                     now: look for old ones in pg_stat_activity",
                );
                shared.health.away(Role::Subscriber, &waits, shared.arrivals());
                created.await
            }
        }
    };
    let created = created.map_err(Fault::of_link)?;
    let place = created
        .first()
        .and_then(|row| row.get(1)?.as_deref().and_then(place));
    let Some(start) = place else {
        return Err(Fault::away("PostgreSQL has not said where the slot starts"));
    };
    let begin = format!(
        "START_REPLICATION SLOT \"{name}\" LOGICAL 0/0 (proto_version '1', publication_names \
         '{PUBLICATION}', messages 'true')"
    );
    // A row has its values before and after a change.
    let limit = 2 * shared.config.max_event_bytes + 64 * 1024;
    wire.start(&begin, limit).await.map_err(Fault::of_link)?;
    Ok(StartedSlot {
        wire,
        epoch,
        start,
        types,
    })
}

/// Reads a place in the log, such as `16/B374D848`.
fn place(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some(u64::from(high) << 32 | u64::from(low))
}

/// Reads the log until the link ends. `link`: its number.
pub(super) async fn serve(shared: &Arc<Shared>, slot: StartedSlot, link: u64) -> Fault {
    let StartedSlot {
        mut wire,
        epoch,
        start,
        types,
    } = slot;
    let arrivals = shared.arrivals().clone();
    let mut log = Log {
        shared: shared.clone(),
        link,
        epoch,
        end: start,
        head: before(start),
        transaction: None,
        tables: Tables::new(&shared.config.tables, types),
        dropped: Throttle::new(),
    };
    let _read = log.begin();
    // The new heads are after all that was delivered: what is between is reported as missed, once.
    shared.wants.ask_again();
    shared.health.live(Role::Subscriber, &arrivals);
    if let Some((_, control)) = shared.control.get() {
        control.joined();
    }
    match read(shared, &mut wire, &mut log).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn read(
    shared: &Arc<Shared>,
    wire: &mut Wire,
    log: &mut Log,
) -> Result<std::convert::Infallible, Fault> {
    let arrivals = shared.arrivals().clone();
    let times = shared.config.times;
    let mut ticks = interval(times.confirm);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut asked) = (Instant::now(), Instant::now());
    let mut confirmed = 0;
    loop {
        let head = log.position();
        for stream in shared.wants.answer(head) {
            arrivals.ready(&stream, head);
        }
        let mut wants_reply = false;
        let mut is_due = false;
        tokio::select! {
            frame = wire.frame() => {
                heard = Instant::now();
                wants_reply |= log.take(frame?)?;
                let mut count = 1;
                // The types of a new definition are asked for before its rows are read.
                while count < TURN
                    && !log.tables.has_unknown_types()
                    && let Some(frame) = wire.buffered()?
                {
                    wants_reply |= log.take(frame)?;
                    count += 1;
                }
                while arrivals.is_full() {
                    // What is committed in this time waits in the server.
                    tokio::select! {
                        () = tokio::time::sleep(FULL_PAUSE) => {}
                        _ = ticks.tick() => wire.confirm(log.end, false).await?,
                    }
                }
            }
            _ = ticks.tick() => is_due = true,
            () = shared.wants.changed.notified() => {}
            () = shared.look.notified() => wire.confirm(log.end, true).await?,
        }
        if log.tables.has_unknown_types() {
            learn_types(shared, log).await;
        }
        let silent_for = heard.elapsed();
        if silent_for > SILENT {
            return Err(Fault::away("PostgreSQL has been silent for 90 seconds"));
        }
        if silent_for > times.ping && asked.elapsed() > times.ping {
            asked = Instant::now();
            wire.confirm(log.end, true).await?;
        } else if wants_reply || (is_due && log.end > confirmed) {
            confirmed = log.end;
            wire.confirm(confirmed, false).await?;
        }
    }
}

/// Asks for types that were made after the slot had started.
async fn learn_types(shared: &Shared, log: &mut Log) {
    let rows = async {
        let client = shared.link(Role::Reader).ok()?;
        let answer = client.simple_query(Types::SQL);
        let answer = tokio::time::timeout(shared.config.times.answer, answer).await;
        answer.ok()?.ok()
    };
    let rows = rows.await.unwrap_or_default();
    log.tables.learn(Types::of_messages(&rows));
}

/// What was read of the log.
struct Log {
    shared: Arc<Shared>,
    link: u64,
    epoch: Epoch,
    /// All that was committed up to here was delivered.
    end: u64,
    /// The newest position.
    head: Offset,
    transaction: Option<Transaction>,
    tables: Tables,
    /// Limits how often events that are dropped are logged.
    dropped: Throttle,
}

/// A committed transaction whose events arrive.
struct Transaction {
    /// The place of its commit in the log.
    commit: u64,
    /// The number of the next event.
    next: u32,
}

/// Reports that nothing is read any more, when it is dropped.
struct Reading(Arc<Shared>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.progress.send_replace(None);
        self.0.echoes.lost();
    }
}

impl Log {
    fn begin(&self) -> Reading {
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

    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.head,
        }
    }

    /// Handles a message. Returns whether the server wants a reply.
    fn take(&mut self, frame: Frame) -> Result<bool, Fault> {
        match frame {
            Frame::Progress { end, wants_reply } => {
                if self.transaction.is_none() {
                    self.advance(end);
                }
                return Ok(wants_reply);
            }
            Frame::TooLarge(head) => self.too_large(&head),
            Frame::Data(data) => self.change(Change::read(data)?),
        }
        Ok(false)
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Begin { commit } => self.transaction = Some(Transaction { commit, next: 0 }),
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
                    let at = if is_transactional {
                        self.next()
                    } else {
                        self.at(Offset::new(end))
                    };
                    self.shared.echoes.found(end, at);
                    self.event(at, content);
                }
                control::PREFIX => control::deliver(&self.shared, &content),
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
                let _ = self.next();
                for table in tables {
                    for stream in self.tables.streams_of(table, &self.shared.wants) {
                        // The rows are gone without an event for each: clients have to ask again.
                        self.shared.arrivals().doubt(Scope::Stream(stream));
                    }
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
            Some(Transaction { commit, next }) => {
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

    fn at(&mut self, offset: Offset) -> Position {
        self.head = self.head.max(offset);
        Position {
            epoch: self.epoch,
            offset,
        }
    }

    fn event(&mut self, at: Position, content: Bytes) {
        let (name, is_too_large) = match Envelope::read(&content, false) {
            Ok(envelope) => {
                let tenant = envelope.tenant.filter(|_| self.shared.config.by_tenant);
                let channel = envelope.channel.unwrap_or_default();
                let is_too_large = content.len() > self.shared.config.max_event_bytes;
                (StreamName { tenant, channel }, is_too_large)
            }
            Err(error) => {
                self.log_dropped(&error.to_string());
                return;
            }
        };
        let Some(stream) = self.shared.wants.find(name) else {
            return;
        };
        if is_too_large {
            self.log_dropped("it is larger than max_event_bytes");
            self.shared.arrivals().doubt(Scope::Stream(stream));
            return;
        }
        deliver(
            &self.shared,
            Arrival {
                stream,
                position: at,
                before: None,
                envelope: content,
            },
        );
    }

    fn row(&mut self, table: u32, row: &Row) {
        let at = self.next();
        let by_tenant = self.shared.config.by_tenant;
        for event in self
            .tables
            .events(table, row, by_tenant, &self.shared.wants)
        {
            match event {
                Ok((stream, envelope)) => {
                    deliver(
                        &self.shared,
                        Arrival {
                            stream,
                            position: at,
                            before: None,
                            envelope,
                        },
                    );
                }
                Err(RowFault { stream, problem }) => {
                    self.log_dropped(&problem);
                    if let Some(stream) = stream {
                        self.shared.arrivals().doubt(Scope::Stream(stream));
                    }
                }
            }
        }
    }

    /// A message that was skipped. It may have been of any stream.
    fn too_large(&mut self, head: &Bytes) {
        let prefix = || {
            let rest = head.get(10..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest.get(..end)
        };
        let is_of_others = head.first() == Some(&b'M') && prefix() != Some(PREFIX.as_bytes());
        if !is_of_others {
            let _ = self.next();
            self.log_dropped("it is larger than max_event_bytes");
            self.shared.arrivals().doubt(Scope::All);
        }
    }

    fn log_dropped(&mut self, problem: &str) {
        if let Some(suppressed) = self.dropped.admit(Instant::now()) {
            tracing::warn!(
                target: "fraiseql_subs",
                problem,
                suppressed,
                "an event in the log of PostgreSQL reaches no subscriber; further ones are logged once a minute"
            );
        }
    }
}

fn deliver(shared: &Shared, arrival: Arrival) {
    let (stream, at) = (arrival.stream.clone(), arrival.position);
    shared.arrivals().event(arrival);
    // Noted after it: the newest position of a stream is never ahead of what was delivered.
    shared.wants.delivered(&stream, at);
}

/// The position before all that is committed at a place in the log, or after it.
fn before(place: u64) -> Offset {
    Offset::new(place.saturating_sub(1))
}
