//! Resuming: where a subscription begins, and the events that it has missed.
//!
//! Missed events are read in batches, as fast as the client takes results: from the history of the
//! engine, and as soon as the history of this process has the next event, from there. During the
//! replay the subscription is not in the index. New events are recorded in the history, where the
//! replay finds them. When the history has no further event, the subscription is registered for the
//! events after the last one, in the same step on the same thread. A call group may run on another
//! thread, so the history is looked at once more after joining it. So no event is lost between replay
//! and live delivery, and none is sent twice.
//!
//! Not here: what is kept (`bus::History`), when the replay makes a step (`catch_up`), the cursor in the
//! history of the engine (`remote`).

mod remote;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bus::engine::{Pending, ReadError};
use bus::{
    EngineLink, Event, History, LocalPosition, Position, ReadPage, Received, Since, Stream, TooLate,
};
use graphql::Plan;
use protocol::Resume;
use security::Guard;

use super::lane::Lane;
use super::shard::{Registration, admits};
use super::sink::ResponseSink;
use crate::clock;
use crate::config::REPLAY_BATCH;
use crate::metrics::Metrics;
use crate::routing::Route;
use remote::Remote;

/// The source of a subscription's results after the replay.
pub(crate) trait LiveSource {
    /// Registers for the results of events after a sequence.
    fn register(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Registration;
    /// The plan that projects events to responses; `None` when a resolver is called.
    fn plan(&self) -> Option<&Arc<Plan>>;
}

/// The replay of missed events, and the source that follows it.
pub(crate) struct Replay {
    pub(super) missed: Missed,
    source: Box<dyn LiveSource>,
}

impl Replay {
    pub(crate) fn new(missed: Missed, source: Box<dyn LiveSource>) -> Self {
        Self { missed, source }
    }

    /// Registers the subscription for the events after a sequence. `None`: one of them has to be replayed.
    pub(super) fn go_live(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Option<Registration> {
        let registration = self.source.register(after, sink);
        // Another thread may run a call group, and an event that was recorded since the history was read
        // may have reached that thread before the group was there.
        let is_ours = registration.membership().is_none();
        (is_ours || !self.missed.is_recorded_after(after)).then_some(registration)
    }

    /// Projects an event and sends the response. Does nothing when a resolver is called.
    pub(super) fn send(&self, event: &Event, sink: &Rc<dyn ResponseSink>) {
        if let Some(plan) = self.source.plan() {
            let mut response = Vec::new();
            let faults = plan.project(event.data.root(), &mut response);
            self.missed.metrics.report(plan.field(), &faults, event);
            sink.next_of(&response.into(), Some(event.at));
        }
    }

    /// Tells the client that events are missing, and begins after the newest event. Returns its
    /// sequence.
    pub(super) fn restart(&mut self, lane: Option<&Arc<Lane>>, sink: &Rc<dyn ResponseSink>) -> u64 {
        let now = self.missed.stream.last();
        let has_initial = lane.is_some_and(|lane| lane.restart(now));
        sink.announce_position((!has_initial).then_some(now), true);
        self.missed.sequence = now.sequence;
        self.missed.remote = None;
        now.sequence
    }
}

/// Where a subscription begins.
#[derive(Debug)]
pub(crate) enum StartPosition {
    /// With the events that are published from now on.
    Now {
        /// Whether the client is told that it has missed events.
        missed: bool,
    },
    /// With the events that it has missed.
    Replay(Missed),
}

/// The events that a subscription has missed.
#[derive(Debug)]
pub(crate) struct Missed {
    history: Arc<History>,
    stream: Arc<Stream>,
    metrics: Arc<Metrics>,
    route: Route,
    guard: Option<Arc<Guard>>,
    /// The sequence of the last event that was read.
    sequence: u64,
    /// Set while events are read from the history of the engine.
    remote: Option<Box<Remote>>,
    /// Events that were read and not replayed yet.
    read: VecDeque<Arc<Event>>,
}

/// The result of reading the history of this process.
#[derive(Debug)]
pub(crate) enum HistoryRead {
    /// Events were read: [`Missed::next`].
    More,
    /// The next events have to be read from the engine: [`Missed::ask`].
    Remote,
    /// There is no event after this sequence.
    CaughtUp(u64),
    /// A missed event is not kept any more.
    TooLate,
}

/// The result of reading the history of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemoteRead {
    /// The replay can go on.
    Continue,
    /// No event yet: the engine has to be read again after a pause.
    Later,
    /// A missed event is not kept any more.
    TooLate,
}

/// The histories that events are replayed from, and the metrics of resuming.
#[derive(Clone, Copy)]
pub(crate) struct HistorySources<'a> {
    /// The history of this process; `None`: nothing is kept.
    pub(crate) history: Option<&'a Arc<History>>,
    /// The link to the engine, which may keep more events.
    pub(crate) link: Option<&'a Arc<EngineLink>>,
    pub(crate) metrics: &'a Arc<Metrics>,
}

impl StartPosition {
    /// Decides where a subscription begins. Counts the attempts to resume.
    pub(crate) fn find(
        kept: HistorySources<'_>,
        resume: &Resume,
        place: Option<&(Route, Arc<Stream>)>,
        guard: Option<&Arc<Guard>>,
    ) -> Self {
        let Some(after) = resume.after.as_deref() else {
            return Self::Now { missed: false };
        };
        let missed = Missed::find(kept, after, place, guard);
        let counter = match missed {
            Some(_) => &kept.metrics.subscriptions_resumed,
            None => &kept.metrics.resumes_too_late,
        };
        counter.add(1);
        missed.map_or(Self::Now { missed: true }, Self::Replay)
    }
}

impl Missed {
    /// Finds the events after the result with the id `after`. `None`: the id is not known, or an
    /// event after it is not kept any more.
    fn find(
        kept: HistorySources<'_>,
        after: &str,
        place: Option<&(Route, Arc<Stream>)>,
        guard: Option<&Arc<Guard>>,
    ) -> Option<Self> {
        let (history, (route, stream)) = (kept.history?, place?);
        let guard = guard.cloned();
        let position = after.parse::<Position>().ok();
        let known = position
            .and_then(|position| history.sequence_of(stream, position))
            // Only ids of events that the client may see are found, so it learns of no others.
            .or_else(|| {
                let is_it = |event: &Event| {
                    event.id.text() == after
                        && route.matches(event)
                        && admits(guard.as_deref(), event)
                };
                history.find(stream, is_it)
            });
        let mut missed = Self {
            history: history.clone(),
            stream: stream.clone(),
            metrics: kept.metrics.clone(),
            route: route.clone(),
            guard,
            sequence: known.unwrap_or_default(),
            remote: None,
            read: VecDeque::new(),
        };
        if known.is_some() && missed.read().is_ok() {
            return Some(missed);
        }
        let link = kept.link.filter(|link| link.has_history())?.clone();
        missed.remote = Some(Box::new(Remote::new(link, position?)));
        missed.sequence = 0;
        Some(missed)
    }

    /// Reads the next events from the history of this process. Returns the sequence of the newest
    /// one.
    fn read(&mut self) -> Result<u64, TooLate> {
        let now = clock::now();
        let Since { events, last } =
            self.history
                .after(&self.stream, self.sequence, REPLAY_BATCH, now)?;
        self.read.extend(events);
        // `sequence` may be later: the client may know an event that is not broadcast yet.
        Ok(last.max(self.sequence))
    }

    /// Whether the history of this process has recorded an event after a sequence.
    fn is_recorded_after(&self, sequence: u64) -> bool {
        let newest = self.history.after(&self.stream, sequence, 0, clock::now());
        newest.map_or(true, |since| since.last > sequence)
    }

    /// The sequence of the last event that was read.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the next event that was read and that the subscription may receive.
    pub(crate) fn next(&mut self) -> Option<Arc<Event>> {
        while let Some(event) = self.read.pop_front() {
            self.sequence = event.at.sequence;
            if !self.route.matches(&event) {
                continue;
            }
            if admits(self.guard.as_deref(), &event) {
                self.metrics.events_replayed.add(1);
                return Some(event);
            }
            self.metrics.events_denied.add(1);
        }
        None
    }

    /// Reads the next events. Called when [`Self::next`] has returned `None`.
    pub(crate) fn read_on(&mut self) -> HistoryRead {
        if let Some(remote) = &self.remote {
            let known = self.history.sequence_of(&self.stream, remote.position);
            let Some(sequence) = known else {
                return HistoryRead::Remote;
            };
            let is_kept = self
                .history
                .after(&self.stream, sequence, 0, clock::now())
                .is_ok();
            if !is_kept {
                return HistoryRead::Remote;
            }
            self.sequence = sequence;
            self.remote = None;
        }
        match self.read() {
            Err(TooLate) => {
                self.metrics.resumes_too_late.add(1);
                HistoryRead::TooLate
            }
            Ok(last) if self.read.is_empty() => HistoryRead::CaughtUp(last),
            Ok(_) => HistoryRead::More,
        }
    }

    /// Reads the next events from the engine, after [`HistoryRead::Remote`]. `None`: the engine
    /// does not have to be read.
    pub(crate) fn ask(&mut self) -> Option<Pending<Result<ReadPage, ReadError>>> {
        Some(self.remote.as_mut()?.ask(&self.stream))
    }

    /// Takes the answer of the engine to [`Self::ask`].
    pub(crate) fn answered(&mut self, answer: Result<ReadPage, ReadError>) -> RemoteRead {
        let Some(remote) = &mut self.remote else {
            return RemoteRead::Continue;
        };
        match answer {
            Err(ReadError::Unavailable(_)) => RemoteRead::Later,
            // The engine has lost what the client has received, or the client has made its id up.
            Ok(page) if is_before(page.head, remote.position) => {
                self.metrics.resumes_too_late.add(1);
                RemoteRead::TooLate
            }
            Err(ReadError::TooLate { .. } | ReadError::OtherEpoch { .. }) => {
                self.metrics.resumes_too_late.add(1);
                RemoteRead::TooLate
            }
            Ok(page) if page.events.is_empty() => {
                let before = remote.position;
                let goes_on = remote.pass(&self.stream)
                    && (remote.position != before
                        || self.history.sequence_of(&self.stream, before).is_some());
                match goes_on {
                    true => RemoteRead::Continue,
                    // The engine has no further event, but this process may not have received the last one.
                    false => RemoteRead::Later,
                }
            }
            Ok(page) => {
                for (position, draft) in page.events {
                    remote.position = position;
                    self.sequence += 1;
                    let at = LocalPosition {
                        sequence: self.sequence,
                        position,
                        received: Received::default(),
                    };
                    if let Some(draft) = draft {
                        let event = Event::new(draft, self.stream.clone(), at);
                        self.read.push_back(Arc::new(event));
                    }
                }
                RemoteRead::Continue
            }
        }
    }
}

fn is_before(head: Position, after: Position) -> bool {
    head.epoch == after.epoch && head.offset < after.offset
}

#[cfg(test)]
mod tests;
