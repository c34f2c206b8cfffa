//! How long a client probably needs to come back, as far as the server can tell.

use std::time::Duration;

use super::{Connection, Outgoing};

/// A round trip from this on is long: a new connection takes several of them.
const LONG: Duration = Duration::from_millis(200);

/// The way between a client and the server. The greatest takes longest to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClientPath {
    /// Its last round trip was short, or none was measured.
    Short,
    /// Its last round trip was this long.
    Long(Duration),
    /// It has not taken all that it was sent.
    Behind,
}

impl Connection {
    /// Judges the way to the client.
    pub(super) fn path(&self) -> ClientPath {
        let round_trip = self.liveness.round_trip();
        if self.transport.is_behind() || !self.outbox.is_empty() {
            ClientPath::Behind
        } else if round_trip >= LONG {
            ClientPath::Long(round_trip)
        } else {
            ClientPath::Short
        }
    }

    /// Pings the client; the time until its answer is measured.
    pub(super) fn ping(&self, ping: Outgoing) {
        self.liveness.ask();
        self.outbox.push_control(ping);
    }
}
