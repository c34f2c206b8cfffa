//! What receives the events of an engine that was not started.

use bus::engine::{Arrival, Arrivals, Health, Role, Scope};
use bus::{Position, StreamKey};

/// Ignores everything.
pub(crate) struct Ignored;

impl Arrivals for Ignored {
    fn ready(&self, _: &StreamKey, _: Position) {}
    fn event(&self, _: Arrival) {}
    fn doubt(&self, _: Scope) {}
    fn health(&self, _: Role, _: Health) {}
}
