//! What carries events between processes, and what this crate asks of it.
//!
//! An [`Engine`] moves bytes: it publishes envelopes, delivers those of wanted streams, and reads
//! history. It neither decodes events nor repairs gaps: the `sequencer` does, for every engine alike.
//! Implementations are in the crate `brokers`. Not here: the memory bus of one process, which needs
//! no engine (`intake`).

mod capabilities;
mod error;
mod health;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use capabilities::{Capabilities, HistoryKind, Numbering};
pub use error::{AttemptError, ReadError};
pub use health::{EngineHealth, Health, Role};

use crate::{Offset, Position, StreamKey};

/// Work that an engine does. One for a batch, so that its allocation is shared.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One event on its way to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The stream it belongs to.
    pub stream: StreamKey,
    /// Identifies the event: within [`Capabilities::idempotency`] an id is one event, however often
    /// it is published.
    pub id: Arc<str>,
    /// The event as `envelope` writes it.
    pub envelope: Bytes,
}

/// One event that came from an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The stream it came on. It decides the tenant; what the envelope says does not.
    pub stream: StreamKey,
    /// Where it is in the stream.
    pub position: Position,
    /// The offset of the event before it; `Some` where [`Numbering::Linked`].
    pub before: Option<Offset>,
    /// The event as `envelope` writes it.
    pub envelope: Bytes,
}

/// Events of a stream, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// None between them is left out, and none between the position that was asked for and the first.
    pub events: Vec<(Position, Bytes)>,
    /// The newest event of the stream when it was read.
    pub head: Position,
}

/// What an engine cannot say for certain any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One stream.
    Stream(StreamKey),
    /// All streams: a link was lost, or its queue was full.
    All,
}

/// Where an engine delivers what it receives. Calls return at once and may come from any thread; those
/// for one stream come in the order in which the engine learnt of them.
pub trait Arrivals: Send + Sync {
    /// Every event of a wanted stream after `head` arrives, or is followed by [`Self::doubt`]; the first
    /// of them may come before this call. Answers each [`Engine::want`], and comes again after a link
    /// was lost. It may still answer a want that was taken back; the newest want is answered last, and
    /// that `head` shows what was published between the two.
    fn ready(&self, stream: &StreamKey, head: Position);
    /// An event of a wanted stream. It may come twice, and with a gap before it.
    fn event(&self, arrival: Arrival);
    /// Events may be missing: the engine does not know which.
    fn doubt(&self, scope: Scope);
    /// The state of the links of a role has changed.
    fn health(&self, role: Role, health: Health);
}

/// Carries events between processes.
///
/// All methods return at once. Nothing fails because the engine cannot be reached: that is a
/// [`Health`], and links are made again for ever, with growing pauses of random length. None calls
/// [`Arrivals`] before it returns: callers may hold locks.
pub trait Engine: Send + Sync {
    /// What it can do. Constant.
    fn capabilities(&self) -> &Capabilities;

    /// Connects, as tasks of the current tokio runtime. Called once, before all that follows.
    fn start(&self, arrivals: Arc<dyn Arrivals>);

    /// The part of the engine in which a stream is. Batches are made of events of one part.
    fn partition(&self, stream: &StreamKey) -> u32;

    /// Publishes events of one partition, in this order, and makes one attempt: who calls repeats
    /// what may be repeated. Resolves when the engine has answered, or the link was lost. A batch of
    /// a partition is not sent before the one before has been answered.
    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>>;

    /// Wants the events of a stream; answered by [`Arrivals::ready`]. Wanted twice is wanted once.
    fn want(&self, stream: &StreamKey);

    /// Does not want the events of a stream any more.
    fn unwant(&self, stream: &StreamKey);

    /// Reads up to `limit` events of a stream after a position, oldest first.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooLate`] when one of them is not kept any more; [`ReadError::OtherEpoch`] when
    /// the position is of another numbering; [`ReadError::Unavailable`] when there is no answer.
    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>>;

    /// Returns the newest position of each stream, in the order of the streams, asked on the link that
    /// delivers: what was published before has arrived by then, or will never. A stream without events
    /// has a position, too: the next event has the offset after it. A stream that has none now, such as
    /// one whose part of the engine is away, has [`ReadError::Unavailable`] in its place.
    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>>;

    /// The state of the links of each role.
    fn health(&self) -> EngineHealth;

    /// Ends all links. What was published has been answered before, or `drain` is over.
    fn close(&self, drain: Duration) -> Pending<()>;
}
