//! The work of the links that deliver events: one listens, the other one reads.
//!
//! What was read is known by its position, so a link that was lost goes on where it was: nothing is
//! missed, unless the server keeps it no longer, or is another one.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bus::engine::{Arrival, Role, Scope};
use bus::{Position, Throttle};
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client};

use super::super::fault::Fault;
use super::super::links::late;
use super::super::sql;
use super::super::wants::StreamName;
use super::control;
use super::page::{self, Event, NewEvents};
use super::shared::{OutboxProgress, OutboxShared};

/// Pause while the receiver has no room.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// The first pause before it is looked again. It doubles while nothing comes.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause while events come: then publishers send no `NOTIFY`.
const AWAKE_PAUSE: Duration = Duration::from_millis(10);
/// After this time without an event a node waits for a `NOTIFY`.
const AWAKE: Duration = Duration::from_millis(50);
/// The longest pause while transactions are open that may have seen this node awake.
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// Delivers events until a link ends. `read`: up to where; `None`: nothing was read yet.
pub(super) async fn serve(
    shared: &OutboxShared,
    read: &mut Option<Position>,
    start: &mut Instant,
) -> Fault {
    let patience = shared.config.times.connect;
    let (look, messages) = (shared.look.clone(), shared.messages.clone());
    let hear = move |message| {
        if let AsyncMessage::Notification(notification) = message {
            match notification.channel() {
                "fraiseql_subs" => look.notify_one(),
                _ => messages.notify_one(),
            }
        }
    };
    let connected = tokio::try_join!(
        sql::connect_and_hear(&shared.config, hear),
        sql::connect(&shared.config),
    );
    let ((listener, hearing), (client, connection)) = match connected {
        Ok(connected) => connected,
        Err(fault) => return fault,
    };
    let work = async {
        match timeout(patience, begin(shared, &listener, &client, read)).await {
            Err(_) => late(patience),
            Ok(Err(fault)) => fault,
            Ok(Ok(reader)) => {
                *start = Instant::now();
                deliver(shared, &listener, &client, reader, read).await
            }
        }
    };
    tokio::select! {
        fault = work => fault,
        fault = hearing.ended() => fault,
        fault = connection.ended() => fault,
    }
}

/// What a link has read.
struct OutboxReader {
    read: Position,
    /// The newest message of a node, and when it was looked for the last time.
    message: i64,
    looked: Instant,
    waiting: Throttle,
    /// Whether it was logged that events wait for another transaction.
    was_late: bool,
    /// Since when reads have found events that wait.
    waits_since: Option<Instant>,
}

impl OutboxReader {
    /// Reads messages of nodes, if there are new ones, or may be: a `NOTIFY` may have been lost.
    async fn hear(&mut self, shared: &OutboxShared, client: &Client) -> Result<(), Fault> {
        let is_told = shared.messages.notified().now_or_never().is_some();
        if is_told || self.looked.elapsed() > shared.config.times.poll {
            self.looked = Instant::now();
            self.message = control::read(shared, client, self.message).await?;
        }
        Ok(())
    }
}

/// Listens, and finds where to go on.
async fn begin(
    shared: &OutboxShared,
    listener: &Client,
    client: &Client,
    read: &mut Option<Position>,
) -> Result<OutboxReader, Fault> {
    sql::check(client, &shared.config).await?;
    // Listens first: what is published after that wakes the node.
    let listen = "LISTEN fraiseql_subs; LISTEN fraiseql_subs_messages";
    let listening = listener.batch_execute(listen).await;
    listening.map_err(|error| Fault::of_sql(&error))?;
    let message = control::last(client).await?;
    if let Some(before) = *read {
        // The server may have lost its newest transactions, and have newer ones by now.
        page::renew(client, before).await?;
    }
    let newest = page::open(client).await?;
    let at = match *read {
        Some(before) if before.epoch == newest.epoch => before,
        before => {
            if before.is_some() {
                // The server is another one: what it has, and what was missed, is to be found out.
                shared.arrivals().doubt(Scope::All);
                shared.wants.ask_again();
            }
            newest
        }
    };
    *read = Some(at);
    Ok(OutboxReader {
        read: at,
        message,
        looked: Instant::now(),
        waiting: Throttle::new(),
        was_late: false,
        waits_since: None,
    })
}

async fn deliver(
    shared: &OutboxShared,
    listener: &Client,
    client: &Client,
    mut reader: OutboxReader,
    read: &mut Option<Position>,
) -> Fault {
    shared.progress.send_replace(Some(OutboxProgress {
        read: reader.read,
        complete: 0,
    }));
    shared.health.live(Role::Subscriber, shared.arrivals());
    if let Some((_, control)) = shared.control.get() {
        control.joined();
    }
    let times = shared.config.times;
    let done: Result<Infallible, Fault> = tokio::select! {
        done = read_on(shared, client, &mut reader, read) => done,
        // No statement is ever under way on the connection that listens.
        fault = sql::silent(listener, times.ping, times.answer) => Err(fault),
    };
    match done {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

/// Reads what is new again and again.
///
/// Transactions with a `NOTIFY` commit one after the other, so it is only sent while a node says that it
/// waits for one. A node that finds events goes on reading, and waits when there were none for some time.
async fn read_on(
    shared: &OutboxShared,
    client: &Client,
    reader: &mut OutboxReader,
    read: &mut Option<Position>,
) -> Result<Infallible, Fault> {
    let mut pause = FIRST_PAUSE;
    let mut sleeps = false;
    let mut found = Instant::now();
    loop {
        let before = reader.read;
        let has_more = drain(shared, client, reader, read).await?;
        if reader.read != before {
            (pause, found) = (FIRST_PAUSE, Instant::now());
            if sleeps {
                page::say_sleeping(client, false).await?;
                sleeps = false;
            }
        } else if !sleeps && found.elapsed() > AWAKE {
            sleeps = page::say_sleeping(client, true).await?;
            if sleeps {
                // What was committed before that was said has woken nobody.
                pause = FIRST_PAUSE;
                continue;
            }
        }
        let poll = shared
            .config
            .times
            .poll
            .mul_f64(0.8 + 0.4 * fastrand::f64());
        let sleeping = match (sleeps, has_more) {
            (false, _) => pause.min(AWAKE_PAUSE),
            (true, true) => pause.min(OPEN_PAUSE),
            (true, false) => poll,
        };
        pause = (pause * 2).min(OPEN_PAUSE);
        tokio::select! {
            () = shared.look.notified() => {}
            () = shared.wants.changed.notified() => {}
            () = shared.messages.notified() => {
                reader.message = control::read(shared, client, reader.message).await?;
            }
            () = sleep(sleeping) => {}
        }
    }
}

/// Reads until there is nothing new. Returns whether there is more to come that may wake nobody: events that
/// wait for other transactions, or transactions that have left out a `NOTIFY`.
async fn drain(
    shared: &OutboxShared,
    client: &Client,
    reader: &mut OutboxReader,
    read: &mut Option<Position>,
) -> Result<bool, Fault> {
    let arrivals = shared.arrivals().clone();
    let times = shared.config.times;
    loop {
        // All after this position arrives.
        for stream in shared.wants.answer(reader.read) {
            arrivals.ready(&stream, reader.read);
        }
        // Messages do not wait for events.
        reader.hear(shared, client).await?;
        while arrivals.is_full() {
            sleep(FULL_PAUSE).await;
            reader.hear(shared, client).await?;
        }
        let number = shared.begin_read();
        let largest = shared.config.max_event_bytes;
        let page = page::read(client, reader.read.offset, largest);
        let page = timeout(times.answer, page);
        let page = page.await.map_err(|_| late(times.answer))??;
        if page.status.epoch != reader.read.epoch {
            return Err(Fault::away("the outbox of PostgreSQL has begun anew"));
        }
        if !page.status.is_known {
            page::renew(client, reader.read).await?;
            return Err(Fault::away("PostgreSQL has lost its newest transactions"));
        }
        if reader.read.offset < page.status.floor {
            // This node was away for longer than events are kept.
            arrivals.doubt(Scope::All);
            reader.read.offset = page.status.floor;
            if shared.config.history.is_none() {
                shared.wants.ask_again();
            }
        }
        pass_on(shared, reader, &page)?;
        *read = Some(reader.read);
        let before = shared.progress.borrow().map_or(0, |before| before.complete);
        shared.progress.send_replace(Some(OutboxProgress {
            read: reader.read,
            complete: if page.is_full { before } else { number },
        }));
        if !page.is_full {
            report_waiting(shared, reader, page.status.waits);
            return Ok(page.status.waits.is_some() || page.status.is_open);
        }
    }
}

fn pass_on(
    shared: &OutboxShared,
    reader: &mut OutboxReader,
    page: &NewEvents,
) -> Result<(), Fault> {
    let epoch = reader.read.epoch;
    for row in &page.events {
        let event = Event::of_row(row)?;
        let at = Position {
            epoch,
            offset: event.at,
        };
        let name = StreamName {
            tenant: event.tenant.filter(|_| shared.config.by_tenant),
            channel: event.channel,
        };
        if let Some(stream) = shared.wants.find(name) {
            let arrival = Arrival {
                stream: stream.clone(),
                position: at,
                before: None,
                transaction: None,
                envelope: event.envelope,
            };
            shared.arrivals().event(arrival);
            // Noted after it: the newest position of a stream is never ahead of what was delivered.
            shared.wants.delivered(&stream, at);
        }
        reader.read.offset = reader.read.offset.max(event.at);
    }
    Ok(())
}

/// Reports events that wait for other transactions. The link works all the same: the log says it.
fn report_waiting(shared: &OutboxShared, reader: &mut OutboxReader, waits: Option<f64>) {
    let limit = shared.config.times.behind;
    let now = Instant::now();
    reader.waits_since = waits.and(reader.waits_since.or(Some(now)));
    // An event may be old when its own transaction ends.
    let is_late = waits.is_some_and(|seconds| seconds > limit.as_secs_f64())
        && reader
            .waits_since
            .is_some_and(|since| now.saturating_duration_since(since) > limit);
    if is_late && reader.waiting.admit(now).is_some() {
        reader.was_late = true;
        tracing::warn!(
            name: "outbox.waits",
            target: "fraiseql_subs",
            seconds = waits,
            "events wait in the outbox of PostgreSQL until a transaction has ended that is open since before \
             them: look for old ones in pg_stat_activity and pg_prepared_xacts"
        );
    }
    if !is_late && std::mem::take(&mut reader.was_late) {
        tracing::info!(
            name: "outbox.caught_up",
            target: "fraiseql_subs",
            "no event waits in the outbox of PostgreSQL any more: the transaction has ended"
        );
    }
}
