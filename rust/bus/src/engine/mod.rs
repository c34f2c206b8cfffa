//! The interface to an engine, which carries events between processes.
//!
//! An [`Engine`] moves bytes: it publishes envelopes, delivers those of wanted streams, and reads
//! history. It neither decodes events nor repairs gaps: the `sequencer` does, for every engine.
//! Implementations are in the crate `brokers`. Not here: the memory bus of one process, which needs
//! no engine (`intake`).

mod capabilities;
mod control;
mod error;
mod health;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use capabilities::{Capabilities, HistoryKind, Numbering, Transactions};
pub use control::{Control, ControlArrivals, ControlError, MAX_REVOCATIONS};
pub use error::{AttemptError, ReadError};
pub use health::{EngineHealth, Health, Role};

use crate::{Offset, Position, StreamKey};

/// The future of a call to an engine. A call handles a batch, so that the events share its allocation.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An event that is published to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The stream it belongs to.
    pub stream: StreamKey,
    /// Identifies the event. An event that is published twice with one id within
    /// [`Capabilities::idempotency`] counts as one event.
    pub id: Arc<str>,
    /// The event as `envelope` writes it.
    pub envelope: Bytes,
}

/// An event that an engine has delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The stream on which it was delivered. This decides the tenant, not the envelope.
    pub stream: StreamKey,
    /// Where it is in the stream.
    pub position: Position,
    /// The offset of the previous event; `Some` with [`Numbering::Linked`].
    pub before: Option<Offset>,
    /// The id of its transaction; `Some` with [`Transactions::Named`].
    pub transaction: Option<u64>,
    /// The event as `envelope` writes it.
    pub envelope: Bytes,
}

/// Events of a stream, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events that follow the requested position, without a gap.
    pub events: Vec<(Position, Bytes)>,
    /// The position of the newest event of the stream when it was read; with [`Numbering::Sparse`] it may be
    /// later: the position up to which there is no other event.
    pub head: Position,
}

/// The streams for which an engine may have missed events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One stream.
    Stream(StreamKey),
    /// All streams: a link was lost, or its queue was full.
    All,
}

/// Receives what an engine delivers. Calls return at once and may come from any thread. Calls for
/// one stream come in the order in which the engine has received the events.
pub trait Arrivals: Send + Sync {
    /// A wanted stream is ready: every event after `head` arrives, or [`Self::doubt`] follows, or, with
    /// [`Numbering::Sparse`], this again with a later `head`. The
    /// first of these events may arrive before this call. It answers each [`Engine::want`], and is
    /// repeated after a link was lost. It may also answer a want that was withdrawn. The newest
    /// want is answered last, and its `head` includes what was published between the two.
    fn ready(&self, stream: &StreamKey, head: Position);
    /// An event of a wanted stream. It may arrive twice, and events before it may be missing.
    fn event(&self, arrival: Arrival);
    /// Events may be missing. The engine does not know which.
    fn doubt(&self, scope: Scope);
    /// An event that was published reaches no subscriber: it cannot be read, or is too large. A doubt of its
    /// stream says that it is missing, where the stream is known.
    fn unreadable(&self) {}
    /// The state of the links of a role has changed.
    fn health(&self, role: Role, health: Health);
    /// Whether there is no room for events now. An engine without history that can make its server wait
    /// does so; what arrives all the same is reported as missed.
    fn is_full(&self) -> bool {
        false
    }
}

/// Carries events between processes.
///
/// All methods return at once. None fails because the engine cannot be reached: a [`Health`] reports
/// that, and links are made again without limit, after growing pauses of random length. None calls
/// [`Arrivals`] before it returns: callers may hold locks.
pub trait Engine: Send + Sync {
    /// Returns what the engine can do. Constant.
    fn capabilities(&self) -> &Capabilities;

    /// Connects, in tasks of the current tokio runtime. Called once, before the methods below.
    fn start(&self, arrivals: Arc<dyn Arrivals>);

    /// Returns the partition of a stream. A batch has events of one partition.
    fn partition(&self, stream: &StreamKey) -> u32;

    /// Publishes events of one partition, in this order. Makes one attempt: the caller repeats it
    /// where that is allowed. Resolves when the engine has answered, or the link was lost. The next
    /// batch of a partition is sent after the previous one was answered. The position is
    /// [`Position::UNKNOWN`] where an engine with [`Numbering::Sparse`] cannot say it.
    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>>;

    /// Requests the events of a stream; answered by [`Arrivals::ready`]. Several requests count as
    /// one.
    fn want(&self, stream: &StreamKey);

    /// Withdraws the request for the events of a stream.
    fn unwant(&self, stream: &StreamKey);

    /// Reads up to `limit` events of a stream after a position, oldest first: also those that were
    /// delivered before the call. With [`Numbering::Sparse`] a page without events of a wanted stream is
    /// returned when all its events up to the position were delivered to [`Arrivals`].
    ///
    /// # Errors
    ///
    /// [`ReadError::TooLate`] if the engine no longer keeps one of them; [`ReadError::OtherEpoch`] if
    /// the position is of another epoch; [`ReadError::Unavailable`] if there is no answer.
    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>>;

    /// Returns the newest position of each stream, in the order of the streams. Asks on the link that
    /// delivers, so that every event that was published before has arrived, or will never arrive. A
    /// stream without events has a position as well: the next event has the offset after it. A stream
    /// whose part of the engine cannot be reached has [`ReadError::Unavailable`] in its place.
    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>>;

    /// Resolves when a state that is read from now on contains all events up to a position that were
    /// delivered; `None`: it does already. An event may be delivered a moment before others see the effects
    /// of its transaction.
    fn settled(&self, _at: Position) -> Option<Pending<()>> {
        None
    }

    /// Returns the part for messages between nodes.
    fn control(&self) -> &dyn Control;

    /// The state of the links of each role.
    fn health(&self) -> EngineHealth;

    /// The state of the links that publish to a partition. It differs from [`Self::health`] where
    /// partitions have their own servers.
    fn publisher_health(&self, _partition: u32) -> Health {
        self.health().of(Role::Publisher).clone()
    }

    /// Closes all links, after all published events are answered or `drain` is over.
    fn close(&self, drain: Duration) -> Pending<()>;
}
