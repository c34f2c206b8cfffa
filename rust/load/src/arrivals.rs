//! How long clients take to connect: to `connection_ack`, and to the first result.

use hdrhistogram::Histogram;

/// Times of the clients since they began to connect (microseconds).
pub(crate) struct Arrivals {
    pub(crate) acknowledged: Histogram<u64>,
    pub(crate) first_results: Histogram<u64>,
    /// Handshakes of TLS that resumed a session (count).
    pub(crate) resumed: u32,
    /// The other handshakes of TLS (count).
    pub(crate) full: u32,
}

impl Arrivals {
    /// Creates a record without arrivals.
    pub(crate) fn new() -> Self {
        Self {
            acknowledged: crate::client::histogram(),
            first_results: crate::client::histogram(),
            resumed: 0,
            full: 0,
        }
    }

    /// Records a completed handshake of TLS.
    pub(crate) fn secured(&mut self, is_resumed: bool) {
        match is_resumed {
            true => self.resumed += 1,
            false => self.full += 1,
        }
    }
}
