//! Time limits of clients. Time in which this process did not run counts against nobody.

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
