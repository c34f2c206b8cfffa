//! Why a bus call failed.

use crate::EnvelopeError;
use crate::publishing::PublishError;

/// Why a bus call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus was closed; nothing can be published any more. Not retryable.
    #[error("the bus is closed")]
    Closed,
    /// An event cannot be written as an envelope. Not retryable.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The engine has not accepted an event.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The publisher and the data name different tenants. Not retryable.
    #[error(
        "tenant_id is `{stamped}`, but the data says `{found}`: publish an event for one tenant, and leave out one of the two"
    )]
    TenantConflict {
        /// The tenant that the publisher named.
        stamped: String,
        /// The tenant in the data.
        found: String,
    },
    /// A channel name must hold at least one character. Not retryable.
    #[error("the channel is empty: name one, such as `orders`")]
    EmptyChannel,
    /// Events with the same id are one event, so all events with an empty id would be one. Not
    /// retryable.
    #[error("the event_id is empty: pass an id of the event, or leave it out")]
    EmptyId,
}
