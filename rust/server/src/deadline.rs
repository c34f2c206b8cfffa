//! Time limits of clients. Time in which this process did not run is not counted.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A deadline that is noticed later than this was missed because the process or the machine was
/// stopped: input that the client has sent in that time is not read yet.
const LATE: Duration = Duration::from_secs(1);

/// How long the server still reads a client's input after a response that did not wait for it.
/// Otherwise a reset could destroy the response.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Minimum rate at which a client has to read pending data (bytes per second).
const MIN_RATE: u64 = 1024;

/// Ends after a span of time.
pub(crate) struct Deadline {
    span: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            sleep: Box::pin(sleep(span)),
        }
    }

    /// Restarts the whole span.
    pub(crate) fn restart(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.span);
    }

    /// Extends the deadline by a time, to at most a whole span from now.
    fn put_off(&mut self, time: Duration) {
        let end = (self.sleep.deadline() + time).min(Instant::now() + self.span);
        self.sleep.as_mut().reset(end);
    }

    /// Ready once the span has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline().elapsed() < LATE {
                return Poll::Ready(());
            }
            self.restart();
        }
    }
}

/// Watches how fast a client reads pending data. It is too slow if it reads nothing in a span of
/// time, or less than [`MIN_RATE`] on average.
pub(crate) struct Pace {
    span: Duration,
    /// Set while data is pending.
    deadline: Option<Deadline>,
}

impl Pace {
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            deadline: None,
        }
    }

    /// Call it while data is pending. Ready when the client is too slow.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let span = self.span;
        let deadline = self.deadline.get_or_insert_with(|| Deadline::new(span));
        deadline.poll(cx)
    }

    /// Records that the client has read some pending data.
    pub(crate) fn take(&mut self, bytes: u64) {
        if let Some(deadline) = &mut self.deadline {
            let milliseconds = bytes.saturating_mul(1000) / MIN_RATE;
            deadline.put_off(Duration::from_millis(milliseconds).min(self.span));
        }
    }

    /// Records that no data is pending.
    pub(crate) fn rest(&mut self) {
        self.deadline = None;
    }
}

/// Waits for a future; `None` if it takes longer than the span.
pub(crate) async fn within<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = None;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            let deadline = deadline.get_or_insert_with(|| Deadline::new(span));
            deadline.poll(cx).map(|()| None)
        }
    })
    .await
}
