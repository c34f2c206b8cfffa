//! Where the responses of one operation go: a connection's outbox or an in-process stream.

use bytes::Bytes;

/// The receiving end of one operation, on the operation's own thread.
pub trait ResponseSink {
    /// Takes one response: `{"data": …}`.
    fn next(&self, response: &Bytes);
    /// Ends the operation with a JSON array of errors.
    fn error(&self, errors: &[u8]);
    /// Ends the operation.
    fn complete(&self);
}
