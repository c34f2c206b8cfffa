//! The interface through which an operation sends its responses.
//!
//! Not here: its implementations, such as a connection's outbox (`connection`) and the stream of an
//! in-process operation (`transport`).

use std::sync::Arc;
use std::task::{Context, Poll};

use bus::{LocalPosition, Stream};
use bytes::Bytes;
use graphql::GraphQLError;
use protocol::{Amendment, OperationId};

use crate::catalog::Definition;

/// The receiving end of one operation, on the operation's own thread.
pub trait ResponseSink {
    /// Reserves memory for what the operation keeps of its request (bytes), before it starts.
    ///
    /// # Errors
    ///
    /// The errors for the client, when its operations keep too much already.
    fn retain(&self, _bytes: usize) -> Result<(), Vec<GraphQLError>> {
        Ok(())
    }
    /// Records that the operation has passed all checks and starts. It is counted as one of its
    /// field until the sink is dropped.
    fn start(&self, _definition: &Arc<Definition>) {}
    /// Returns the id of the operation in its connection.
    fn operation(&self) -> Option<OperationId> {
        None
    }
    /// Sends one response: `{"data": …}`.
    fn next(&self, response: &Bytes);
    /// Ready when at most half of the pending bytes that the client may have are in use. Source
    /// streams and replays go on only then.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()>;
    /// Keeps a reference to the stream of the operation's events, so that its offsets go on.
    fn follow(&self, _stream: Arc<Stream>) {}
    /// Sends the response to the event at this position; `None`: it has none.
    fn next_of(&self, response: &Bytes, _at: Option<LocalPosition>) {
        self.next(response);
    }
    /// Tells the client after which event the subscription begins, and whether it has missed
    /// events before.
    fn announce_position(&self, _at: Option<LocalPosition>, _missed: bool) {}
    /// Sets status or headers of the HTTP response, unless its head was sent.
    fn amend(&self, _amendment: Amendment) {}
    /// Ends the operation with a JSON array of errors.
    fn error(&self, errors: &[u8]);
    /// Ends the operation.
    fn complete(&self);
    /// Ends the operation because the manager closes. A client that can reconnect is not sent
    /// `complete`: it would not subscribe again.
    fn drained(&self) {
        self.complete();
    }
}
