//! A subscription that returns: where it begins, and what it missed before it goes on with what
//! comes.
//!
//! What was missed is read from the history bit by bit, as fast as the client takes results: from
//! the engine's, as long as this process does not know what came, and then from its own.
//! During the replay the subscription is not in the index: what is published is in the history,
//! too. Once nothing is left there it is registered, on the same thread and in the same step, for
//! the events after the last of the history. So no event is lost between the two, none comes twice.
//! Not here: what is kept (`bus::History`), whose turn it is (`subscription::actor`).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bus::engine::{Pending, ReadError};
use bus::{EngineLink, Event, History, LocalPosition, Position, ReadPage, Since, Stream, TooLate};
use graphql::Plan;
use protocol::Resume;
use security::Guard;

use super::lane::Lane;
use super::shard::{Registration, admits};
use super::sink::ResponseSink;
use crate::config::REPLAY_BATCH;
use crate::metrics::Metrics;
use crate::routing::Route;

/// Where a subscription gets its results from once it has caught up.
pub(crate) trait LiveSource {
    /// Registers for the results after a sequence; `None` when it is too late for one of those.
    fn register(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Option<Registration>;
    /// How events become responses where no call makes them.
    fn plan(&self) -> Option<&Arc<Plan>>;
}

/// What a subscription that returns does before it goes live.
pub(crate) struct Replay {
    pub(super) missed: Missed,
    source: Box<dyn LiveSource>,
}

impl Replay {
    pub(crate) fn new(missed: Missed, source: Box<dyn LiveSource>) -> Self {
        Self { missed, source }
    }

    /// Registers the subscription for the events after a sequence.
    pub(super) fn go_live(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Option<Registration> {
        self.source.register(after, sink)
    }

    /// Sends the response to an event that no call makes.
    pub(super) fn send(&self, event: &Event, sink: &Rc<dyn ResponseSink>) {
        if let Some(plan) = self.source.plan() {
            let mut response = Vec::new();
            let faults = plan.project(&event.data, &mut response);
            self.missed.metrics.report(&faults);
            sink.next_of(&response.into(), Some(event.at));
        }
    }

    /// Tells the client that events are missing, and begins anew; returns after which event.
    pub(super) fn restart(&mut self, lane: Option<&Arc<Lane>>, sink: &Rc<dyn ResponseSink>) -> u64 {
        let now = self.missed.stream.last();
        let has_initial = lane.is_some_and(super::lane::Lane::restart);
        sink.announce_position((!has_initial).then_some(now), true);
        self.missed.sequence = now.sequence;
        self.missed.remote = None;
        now.sequence
    }
}

/// Where a subscription begins.
#[derive(Debug)]
pub(crate) enum StartPosition {
    /// With what is published from now on.
    Now {
        /// Whether events are missing before.
        missed: bool,
    },
    /// With what it missed.
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
    /// The sequence of the last event that was looked at.
    sequence: u64,
    /// The last event that was read from the engine, as long as it is not known here.
    remote: Option<Remote>,
    read: VecDeque<Arc<Event>>,
}

/// Where the reading of an engine's history is.
#[derive(Debug, Clone)]
struct Remote {
    link: Arc<EngineLink>,
    position: Position,
}

/// What the history has for a subscription that returns.
#[derive(Debug)]
pub(crate) enum HistoryRead {
    /// Events that it may have missed.
    More,
    /// Events that the engine may have: [`Missed::ask`].
    Remote,
    /// Nothing but the events after this sequence.
    CaughtUp(u64),
    /// It has missed events that are not kept any more.
    TooLate,
}

/// What the engine's history had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemoteRead {
    /// It can be read on.
    On,
    /// Nothing yet.
    Later,
    /// Events are not kept any more.
    TooLate,
}

/// What a manager keeps for subscriptions that return, and where it counts them.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) history: Option<&'a Arc<History>>,
    /// What has more, if its engine keeps events.
    pub(crate) link: Option<&'a Arc<EngineLink>>,
    pub(crate) metrics: &'a Arc<Metrics>,
}

impl StartPosition {
    /// Where a subscription begins that asks for `resume`.
    pub(crate) fn find(
        kept: Kept<'_>,
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
    /// What was missed after the result with this id; `None`: that is not known, or not any more.
    fn find(
        kept: Kept<'_>,
        after: &str,
        place: Option<&(Route, Arc<Stream>)>,
        guard: Option<&Arc<Guard>>,
    ) -> Option<Self> {
        let (history, (route, stream)) = (kept.history?, place?);
        let guard = guard.cloned();
        let position = after.parse::<Position>().ok();
        let known = position
            .and_then(|position| stream.sequence_of(position))
            // No client learns of events that are not for it.
            .or_else(|| {
                let is_it = |event: &Event| {
                    *event.id == *after && route.matches(event) && admits(guard.as_deref(), event)
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
        missed.remote = Some(Remote {
            link,
            position: position?,
        });
        missed.sequence = 0;
        Some(missed)
    }

    /// Reads on; returns the last event of the history.
    fn read(&mut self) -> Result<u64, TooLate> {
        let now = Instant::now();
        let Since { events, last } =
            self.history
                .after(&self.stream, self.sequence, REPLAY_BATCH, now)?;
        self.read.extend(events);
        // The client may have learnt of an event that is not broadcast yet.
        Ok(last.max(self.sequence))
    }

    /// The sequence of the last event that was looked at.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next event of those that were read.
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

    /// Reads on, when [`Self::next`] has nothing left.
    pub(crate) fn read_on(&mut self) -> HistoryRead {
        if let Some(remote) = &self.remote {
            let Some(sequence) = self.stream.sequence_of(remote.position) else {
                return HistoryRead::Remote;
            };
            let is_kept = self
                .history
                .after(&self.stream, sequence, 0, Instant::now())
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

    /// Asks the engine for what [`HistoryRead::Remote`] says that it may have.
    pub(crate) fn ask(&self) -> Option<Pending<Result<ReadPage, ReadError>>> {
        let remote = self.remote.as_ref()?;
        Some(
            remote
                .link
                .read(&self.stream, remote.position, REPLAY_BATCH),
        )
    }

    /// Takes the answer of the engine. Returns whether there are events, or all is known here now.
    pub(crate) fn answered(&mut self, answer: Result<ReadPage, ReadError>) -> RemoteRead {
        let Some(remote) = &mut self.remote else {
            return RemoteRead::On;
        };
        match answer {
            Err(ReadError::Unavailable(_)) => RemoteRead::Later,
            Err(ReadError::TooLate { .. } | ReadError::OtherEpoch { .. }) => {
                self.metrics.resumes_too_late.add(1);
                RemoteRead::TooLate
            }
            // The event that the client knows is still on its way to this process.
            Ok(page) if page.events.is_empty() => RemoteRead::Later,
            Ok(page) => {
                for (position, draft) in page.events {
                    remote.position = position;
                    self.sequence += 1;
                    let at = LocalPosition {
                        sequence: self.sequence,
                        position,
                    };
                    if let Some(draft) = draft {
                        let event = Event::new(draft, self.stream.clone(), at);
                        self.read.push_back(Arc::new(event));
                    }
                }
                RemoteRead::On
            }
        }
    }
}

#[cfg(test)]
mod tests;
