//! The work of the node that reads: publishes what is committed, and confirms what the engine has
//! accepted.
//!
//! The log is not read while much is published and not accepted, or while a loss is told: PostgreSQL
//! keeps it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bus::engine::Pending;
use bus::publishing::Publisher;
use bus::source::{Lost, SourceTarget};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::Client;

use super::super::dropped::Reason;
use super::super::fault::Fault;
use super::super::tables::Types;
use super::super::wire::Wire;
use super::events::LogEvents;
use super::flight::{Flight, Landed};
use super::lasting::Started;
use super::lease::Lease;
use super::state::{Mark, State};

/// How many messages are handled before what they have is published (count), and how large its events
/// may be (bytes).
const TURN: usize = 256;
const TURN_BYTES: usize = 1 << 20;
/// After this time without a byte the link ends. The server is silent while it decodes a large
/// transaction, but ends a link itself after a minute (`wal_sender_timeout`).
const SILENT: Duration = Duration::from_secs(90);

/// The state of the link that reads.
struct SourceReader<'a> {
    state: &'a State,
    target: &'a SourceTarget,
    client: &'a Client,
    lease: &'a Lease,
    wire: Wire,
    events: LogEvents,
    flight: Flight,
    /// What was read with the newest batch.
    pushed: Mark,
    /// What is lost, and not told yet.
    untold: VecDeque<Lost>,
    telling: Option<Pending<()>>,
    /// What is accepted when all are told.
    after_telling: Option<Mark>,
}

/// Reads and publishes until the link ends, or this node may not publish any more.
pub(super) async fn serve(
    state: &State,
    target: &SourceTarget,
    client: &Client,
    started: Started,
    publisher: Publisher,
    lease: &Lease,
) -> Fault {
    let Started {
        wire,
        system,
        types,
        published,
    } = started;
    let tables = &state.config.tables;
    let mut reader = SourceReader {
        state,
        target,
        client,
        lease,
        wire,
        events: LogEvents::new(system.id, published, tables, types, target),
        flight: Flight::new(publisher),
        pushed: published,
        untold: VecDeque::new(),
        telling: None,
        after_telling: None,
    };
    match reader.run().await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

impl SourceReader<'_> {
    async fn run(&mut self) -> Result<Infallible, Fault> {
        let times = self.state.config.times;
        let mut ticks = interval(times.confirm);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut asked) = (Instant::now(), Instant::now());
        loop {
            if !self.lease.renew() {
                return Err(Fault::away(
                    "this process stood still, and another node may read the log now",
                ));
            }
            self.untold.extend(self.events.due_loss());
            self.tell_next();
            let may_read =
                self.flight.has_room() && self.untold.is_empty() && self.telling.is_none();
            let mut wants_reply = false;
            let mut is_due = false;
            tokio::select! {
                frame = self.wire.frame(), if may_read => {
                    heard = Instant::now();
                    wants_reply = self.events.take(frame?)?;
                    wants_reply |= self.take_buffered()?;
                    self.publish()?;
                }
                Some(landed) = self.flight.next(), if !self.flight.is_empty() => self.landed(landed),
                () = told(&mut self.telling), if self.telling.is_some() => self.told(),
                _ = ticks.tick() => is_due = true,
            }
            if self.events.tables.has_unknown_types() {
                self.learn_types().await?;
            }
            if !may_read {
                // The server is not heard because this node does not read.
                heard = Instant::now();
            }
            let silent_for = heard.elapsed();
            if silent_for > SILENT {
                return Err(Fault::away("PostgreSQL has been silent for 90 seconds"));
            }
            let accepted = self.accepted();
            if silent_for > times.ping && asked.elapsed() > times.ping {
                asked = Instant::now();
                self.wire.confirm(accepted, true).await?;
            } else if wants_reply || is_due {
                self.wire.confirm(accepted, false).await?;
            }
        }
    }

    /// Takes what has arrived already.
    fn take_buffered(&mut self) -> Result<bool, Fault> {
        let mut wants_reply = false;
        let mut count = 1;
        // The types of a new definition are asked for before its rows are read.
        while count < TURN
            && !self.events.has_losses()
            && !self.events.tables.has_unknown_types()
            && self.events.bytes() < TURN_BYTES
            && let Some(frame) = self.wire.buffered()?
        {
            wants_reply |= self.events.take(frame)?;
            count += 1;
        }
        Ok(wants_reply)
    }

    fn publish(&mut self) -> Result<(), Fault> {
        let (events, mark) = self.events.taken();
        self.untold.extend(self.events.losses());
        if events.is_empty() && mark == self.pushed {
            return Ok(());
        }
        self.pushed = mark;
        let published = self.flight.publish(events, mark);
        published.map_err(|error| Fault::away(error.to_string()))
    }

    /// A batch was answered.
    fn landed(&mut self, landed: Landed) {
        self.state.events.fetch_add(landed.accepted as u64, Relaxed);
        for (stream, why) in landed.refused {
            self.events.log_dropped(0, Reason::Unreadable, &why);
            self.untold.push_back(Lost::EventsOf(stream));
        }
        self.after_telling = Some(landed.mark);
        self.accept_what_is_told();
    }

    /// Begins to tell the next loss, when all before it is accepted.
    fn tell_next(&mut self) {
        if self.telling.is_none()
            && self.flight.is_empty()
            && let Some(lost) = self.untold.pop_front()
        {
            self.state.has_lost();
            self.telling = Some(self.target.losses.tell(lost));
        }
    }

    /// A loss was told.
    fn told(&mut self) {
        self.telling = None;
        self.accept_what_is_told();
    }

    /// Accepts what was published, unless a loss is not told yet.
    fn accept_what_is_told(&mut self) {
        if self.untold.is_empty()
            && self.telling.is_none()
            && !self.events.owes_loss()
            && let Some(mark) = self.after_telling.take()
            && let Some(published) = &mut *self.state.published.lock()
        {
            published.mark = mark;
        }
    }

    /// Up to where all is accepted.
    fn accepted(&self) -> u64 {
        let published = self.state.published.lock();
        published.map_or(0, |published| published.mark.end)
    }

    /// Asks for types that were made after the link. Without an answer the link ends: another one knows them.
    async fn learn_types(&mut self) -> Result<(), Fault> {
        let types = Types::ask(self.client, self.state.config.times.answer).await?;
        self.events.tables.learn(types);
        Ok(())
    }
}

/// Waits until a loss is told.
async fn told(telling: &mut Option<Pending<()>>) {
    if let Some(telling) = telling {
        telling.await;
    }
}
