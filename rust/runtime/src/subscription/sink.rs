//! Where the responses of one operation go: a connection's outbox or an in-process stream.

use std::sync::Arc;
use std::task::{Context, Poll};

use bus::{LocalPosition, Stream};
use bytes::Bytes;
use graphql::GraphQLError;
use protocol::Amendment;

/// The receiving end of one operation, on the operation's own thread.
pub trait ResponseSink {
    /// Makes room for what the operation keeps of its request (bytes), before it starts.
    ///
    /// # Errors
    ///
    /// Its client keeps too much already.
    fn retain(&self, _bytes: usize) -> Result<(), Vec<GraphQLError>> {
        Ok(())
    }
    /// Takes one response: `{"data": …}`.
    fn next(&self, response: &Bytes);
    /// Ready when less than half of what may wait for the client does. A source stream is
    /// advanced then only.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()>;
    /// Holds the stream of its events as long as there may be more: its positions go on then.
    fn follow(&self, _stream: Arc<Stream>) {}
    /// Takes the response to the event at this position, if it has one.
    fn next_of(&self, response: &Bytes, _at: Option<LocalPosition>) {
        self.next(response);
    }
    /// Tells the client after which event the subscription begins, and whether it has missed
    /// events before.
    fn announce_position(&self, _at: Option<LocalPosition>, _missed: bool) {}
    /// Says what the head of a response over HTTP is like, as long as it was not sent.
    fn amend(&self, _amendment: Amendment) {}
    /// Ends the operation with a JSON array of errors.
    fn error(&self, errors: &[u8]);
    /// Ends the operation.
    fn complete(&self);
    /// Ends an operation that was still wanted, as the manager closes. Clients that would take
    /// `complete` for the end, and never return, are not told that it is complete.
    fn drained(&self) {
        self.complete();
    }
}
