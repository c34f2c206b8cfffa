//! Time limits of clients. Time in which this process did not run counts for no client.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A deadline that is noticed later than this was missed by a process that was stopped, or by a
/// machine that stood still: what the client has sent by then is not read yet.
const LATE: Duration = Duration::from_secs(1);

/// How long what a client still sends is read after a response that did not wait for it, so that
/// no reset overtakes the response.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Least that a client takes of what waits for it (bytes in a second).
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

    /// Begins the whole span again.
    pub(crate) fn restart(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.span);
    }

    /// Puts the end off by a time, to a whole span from now at most.
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

/// Watches how fast a client takes what waits for it: nothing in a span of time, or less than
/// [`MIN_RATE`] on average of it, is too slow.
pub(crate) struct Pace {
    span: Duration,
    /// While something waits.
    deadline: Option<Deadline>,
}

impl Pace {
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            deadline: None,
        }
    }

    /// Something waits. Ready when the client is too slow.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let span = self.span;
        let deadline = self.deadline.get_or_insert_with(|| Deadline::new(span));
        deadline.poll(cx)
    }

    /// The client has taken some of what waits.
    pub(crate) fn take(&mut self, bytes: u64) {
        if let Some(deadline) = &mut self.deadline {
            let milliseconds = bytes.saturating_mul(1000) / MIN_RATE;
            deadline.put_off(Duration::from_millis(milliseconds).min(self.span));
        }
    }

    /// Nothing waits.
    pub(crate) fn rest(&mut self) {
        self.deadline = None;
    }
}

/// Waits for a future; `None` when it takes longer than the span.
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
