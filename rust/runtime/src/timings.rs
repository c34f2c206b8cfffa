//! What has ended and may be a span of tracing: connections, operations, and the ways of events.
//!
//! The host takes them in batches. Where tracing is off there is no [`Timings`]. Not here: calls of
//! resolvers, whose spans the host makes itself.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bus::{Event, Received, TraceContext};
use parking_lot::Mutex;
use protocol::OperationKind;
use tokio::sync::Notify;

use crate::client::ConnectionInfo;

/// Timings that wait for the host (count). Further ones are left out.
const MAX_WAITING: usize = 4096;

/// The newest traced events, of which deliveries may be told (count).
const MAX_EVENTS: usize = 256;

/// What has taken its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// A connection, from its beginning to its end.
    Connection,
    /// An operation, from its beginning to its end.
    Operation,
    /// The way of an event from its acceptance to a worker that has subscriptions to it.
    Routing,
    /// The way of an event from its acceptance to the socket of one client.
    Delivery,
}

/// The operation of a document that a request has selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Its kind.
    pub kind: OperationKind,
    /// Its name, which the client has written.
    pub name: Option<String>,
}

/// Something that has ended.
#[derive(Debug)]
pub struct Timing {
    /// What it is.
    pub of: Timed,
    /// The field, where it has one.
    pub field: Option<String>,
    /// What the document has selected, for operations.
    pub selected: Option<Selected>,
    /// The channel of an event.
    pub channel: Option<String>,
    /// The connection, where it has one: its id and its protocol.
    pub connection: Option<(String, &'static str)>,
    /// Why it has ended, for connections and operations.
    pub reason: Option<String>,
    /// Whether it has failed.
    pub has_failed: bool,
    /// When it has ended.
    pub ended: SystemTime,
    /// How long it has taken.
    pub took: Duration,
    /// The span that published the event.
    pub parent: Option<TraceContext>,
}

impl Timing {
    fn new(of: Timed, took: Duration) -> Self {
        Self {
            of,
            field: None,
            selected: None,
            channel: None,
            connection: None,
            reason: None,
            has_failed: false,
            ended: SystemTime::now(),
            took,
            parent: None,
        }
    }
}

/// Collects what has ended.
#[derive(Debug)]
pub struct Timings {
    /// The part of the deliveries that is told.
    sample: f64,
    waiting: Mutex<Vec<Timing>>,
    /// Told when something waits, where nothing did before.
    first: Notify,
    events: Mutex<VecDeque<(Received, TraceContext)>>,
}

impl Timings {
    /// Collects this part of the deliveries of traced events, from 0 to 1, and all else.
    #[must_use]
    pub fn new(sample: f64) -> Self {
        Self {
            sample,
            waiting: Mutex::default(),
            first: Notify::new(),
            events: Mutex::default(),
        }
    }

    /// Takes what waits.
    #[must_use]
    pub fn take(&self) -> Vec<Timing> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// Waits until there is something to take. Has one waiter at most.
    pub async fn something(&self) {
        while self.waiting.lock().is_empty() {
            self.first.notified().await;
        }
    }

    fn add(&self, timing: Timing) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MAX_WAITING {
            return;
        }
        waiting.push(timing);
        if waiting.len() == 1 {
            drop(waiting);
            self.first.notify_one();
        }
    }

    /// Records the end of a connection.
    pub(crate) fn connection_ended(&self, info: &ConnectionInfo, reason: &str) {
        self.add(Timing {
            connection: Some((info.id.clone(), info.protocol)),
            reason: Some(reason.to_owned()),
            ..Timing::new(Timed::Connection, info.opened.elapsed())
        });
    }

    /// Records the end of an operation.
    pub(crate) fn operation_ended(
        &self,
        info: &ConnectionInfo,
        (field, selected): (Option<&str>, Option<&Selected>),
        took: Duration,
        reason: &str,
        has_failed: bool,
    ) {
        self.add(Timing {
            field: field.map(str::to_owned),
            selected: selected.cloned(),
            connection: Some((info.id.clone(), info.protocol)),
            reason: Some(reason.to_owned()),
            has_failed,
            ..Timing::new(Timed::Operation, took)
        });
    }

    /// Records that an event has come to a worker with subscriptions to it.
    pub(crate) fn routed(&self, event: &Event) {
        let trace = event.trace.as_deref().filter(|trace| trace.is_sampled());
        let (Some(trace), Some(took)) = (trace, event.at.received.elapsed()) else {
            return;
        };
        if self.sample > 0.0 {
            let mut events = self.events.lock();
            let is_new = |known: &(Received, _)| !known.0.is_moment_of(event.at.received);
            if events.iter().rev().all(is_new) {
                if events.len() == MAX_EVENTS {
                    events.pop_front();
                }
                events.push_back((event.at.received, trace.clone()));
            }
        }
        self.add(Timing {
            channel: Some(event.channel.to_string()),
            parent: Some(trace.clone()),
            ..Timing::new(Timed::Routing, took)
        });
    }

    /// Records that a result of an event has left for the socket of a client. Returns the trace of the
    /// event, for those that are told.
    pub(crate) fn delivered(
        &self,
        field: Option<&str>,
        received: Received,
        took: Duration,
    ) -> Option<[u8; 16]> {
        if fastrand::f64() >= self.sample {
            return None;
        }
        let events = self.events.lock();
        let mut newest = events.iter().rev();
        let found = newest.find(|(known, _)| known.is_moment_of(received));
        let parent = found.map(|(_, trace)| trace.clone())?;
        let trace_id = parent.trace_id;
        drop(events);
        self.add(Timing {
            field: field.map(str::to_owned),
            parent: Some(parent),
            ..Timing::new(Timed::Delivery, took)
        });
        Some(trace_id)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_told(timings: &Timings) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(timings.something()).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn who_takes_is_told_only_when_something_waits() {
        let timings = Timings::new(0.0);
        assert!(!is_told(&timings));
        let mut waits = pin!(timings.something());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        timings.add(Timing::new(Timed::Connection, Duration::ZERO));
        assert!(waits.poll(&mut context).is_ready());
        timings.add(Timing::new(Timed::Connection, Duration::ZERO));
        assert!(is_told(&timings));
        assert_eq!(timings.take().len(), 2);
        assert!(!is_told(&timings));
    }
}
