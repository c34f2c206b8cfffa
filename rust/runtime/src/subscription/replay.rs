//! A subscription that returns: where it begins, and what it missed before it goes on with what
//! comes.
//!
//! What was missed is read from the history bit by bit, as fast as the client takes results.
//! During the replay the subscription is not in the index: what is published is in the history,
//! too. Once nothing is left there it is registered, on the same thread and in the same step, for
//! the events after the last of the history. So no event is lost between the two, none comes twice.
//! Not here: what is kept (`bus::History`), whose turn it is (`subscription::actor`).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bus::{Event, History, Since, Stream, TooLate};
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
    /// Registers for the results after an offset; `None` when it is too late for one of those.
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

    /// Registers the subscription for the events after an offset.
    pub(super) fn go_live(&self, after: u64, sink: &Rc<dyn ResponseSink>) -> Option<Registration> {
        self.source.register(after, sink)
    }

    /// Sends the response to an event that no call makes.
    pub(super) fn send(&self, event: &Event, sink: &Rc<dyn ResponseSink>) {
        if let Some(plan) = self.source.plan() {
            let mut response = Vec::new();
            let faults = plan.project(&event.data, &mut response);
            self.missed.metrics.report(&faults);
            sink.next_of(&response.into(), Some(event.offset));
        }
    }

    /// Tells the client that events are missing, and begins anew; returns after which event.
    pub(super) fn restart(&mut self, lane: Option<&Arc<Lane>>, sink: &Rc<dyn ResponseSink>) -> u64 {
        let now = self.missed.stream.last_offset();
        let has_initial = lane.is_some_and(super::lane::Lane::restart);
        sink.announce_position((!has_initial).then_some(now), true);
        self.missed.position = now;
        now
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
    /// The last event that was looked at.
    position: u64,
    read: VecDeque<Arc<Event>>,
}

/// What the history has for a subscription that returns.
#[derive(Debug)]
pub(crate) enum HistoryRead {
    /// Events that it may have missed.
    More,
    /// Nothing but the events after this offset.
    CaughtUp(u64),
    /// It has missed events that are not kept any more.
    TooLate,
}

/// What a manager keeps for subscriptions that return, and where it counts them.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) history: Option<&'a Arc<History>>,
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
        let position = stream
            .offset_of(after)
            // No client learns of events that are not for it.
            .or_else(|| {
                let is_it = |event: &Event| {
                    *event.id == *after && route.matches(event) && admits(guard.as_deref(), event)
                };
                history.find(stream, is_it)
            })?;
        let mut missed = Self {
            history: history.clone(),
            stream: stream.clone(),
            metrics: kept.metrics.clone(),
            route: route.clone(),
            guard,
            position,
            read: VecDeque::new(),
        };
        missed.read().is_ok().then_some(missed)
    }

    /// Reads on; returns the last event of the history.
    fn read(&mut self) -> Result<u64, TooLate> {
        let Since {
            events,
            last_offset,
        } = self
            .history
            .after(&self.stream, self.position, REPLAY_BATCH, Instant::now())?;
        self.read.extend(events);
        // The client may have learnt of an event that is not broadcast yet.
        Ok(last_offset.max(self.position))
    }

    /// The last event that was looked at.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next event of those that were read.
    pub(crate) fn next(&mut self) -> Option<Arc<Event>> {
        while let Some(event) = self.read.pop_front() {
            self.position = event.offset;
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
        match self.read() {
            Err(TooLate) => {
                self.metrics.resumes_too_late.add(1);
                HistoryRead::TooLate
            }
            Ok(last) if self.read.is_empty() => HistoryRead::CaughtUp(last),
            Ok(_) => HistoryRead::More,
        }
    }
}

#[cfg(test)]
mod tests;
