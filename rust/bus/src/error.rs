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

/// Why nothing of a batch was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchError {
    /// The event that is refused, counted from 0; `None`: the error concerns all of them.
    pub index: Option<usize>,
    /// Why.
    pub error: BusError,
}

impl BatchError {
    /// The error of one event of a batch.
    #[must_use]
    pub fn of_event(index: usize, error: BusError) -> Self {
        let index = Some(index);
        Self { index, error }
    }

    /// Checks the events of a batch in their order.
    ///
    /// # Errors
    ///
    /// The first event that `check` refuses.
    pub fn check_each<T>(
        events: impl IntoIterator<Item = T>,
        mut check: impl FnMut(T) -> Result<(), BusError>,
    ) -> Result<(), Self> {
        let mut events = events.into_iter().enumerate();
        events.try_for_each(|(index, event)| {
            check(event).map_err(|error| Self::of_event(index, error))
        })
    }
}

impl From<BusError> for BatchError {
    fn from(error: BusError) -> Self {
        let index = match &error {
            BusError::Publish(PublishError::TooLarge { index, .. }) => Some(*index),
            _ => None,
        };
        Self { index, error }
    }
}

impl From<PublishError> for BatchError {
    fn from(error: PublishError) -> Self {
        BusError::from(error).into()
    }
}
