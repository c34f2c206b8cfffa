//! Why a bus call failed.

/// Why a bus call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus was closed; nothing can be published any more. Not retryable.
    #[error("the bus is closed")]
    Closed,
    /// The URL names a backend that does not exist. Not retryable.
    #[error("unknown bus `{url}`: use `memory://`")]
    UnknownBackend {
        /// What was configured.
        url: String,
    },
    /// Publisher and data name different tenants. Not retryable.
    #[error(
        "tenant_id is `{stamped}`, but the data says `{found}`: publish an event for one tenant, and leave out one of the two"
    )]
    TenantConflict {
        /// What the publisher said.
        stamped: String,
        /// What the data says.
        found: String,
    },
    /// A channel name must hold at least one character. Not retryable.
    #[error("the channel is empty: name one, such as `orders`")]
    EmptyChannel,
}
