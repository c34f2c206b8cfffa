//! Events and the bus that carries them.
//!
//! An [`Event`] is decoded once, when it is published, and shared as `Arc<Event>` from then on.
//! The [`Intake`] is the bounded queue in front of the broadcast: it assigns offsets and makes
//! publishers wait when it is full; the [`History`] keeps what was broadcast lately. Offsets count the
//! events of one [`Stream`].
//! Not here: who receives an event (`runtime::routing`) and security stamps.
//!
//! # Layout
//!
//! - `event`: one event, and the draft that it is made of;
//! - `intake`: the bounded queue between publishers and the broadcast;
//! - `stream`: what the offsets of events count;
//! - `history`: the newest events of each stream, for clients that return;
//! - `position`: where an event is in its stream;
//! - `snapshot`: which transactions a state contains;
//! - `stream_key`: the name of a stream;
//! - `envelope`: how an event is written as bytes;
//! - `link`: the link of a manager to its engine;
//! - `publishing`: what awaits an engine's answers for publishers;
//! - `engine`: what carries events between processes, and what is asked of it;
//! - `cluster`: the nodes that share an engine, and what they ask of each other;
//! - `source`: what is published elsewhere, and enters the engine through one node;
//! - `sequencer`: puts what an engine delivers into order, and knows what is missing;
//! - `trace`: the trace that an event is part of;
//! - `throttle`: how often the log says the same;
//! - `error`: why a publisher is refused.

pub mod cluster;
pub mod engine;
mod envelope;
mod error;
mod event;
mod histogram;
mod history;
mod intake;
mod link;
mod position;
pub mod publishing;
mod sequencer;
mod snapshot;
pub mod source;
mod stream;
mod stream_key;
mod throttle;
mod trace;

pub use envelope::{ENVELOPE_VERSION, Envelope, EnvelopeError, MAX_DATA_DEPTH, MAX_FIELD_BYTES};
pub use error::{BatchError, BusError};
pub use event::{Draft, Event, EventId, Gap, Receipt, StreamItem};
pub use histogram::{DELAYS, Histogram, HistogramSnapshot};
pub use history::{History, HistoryLimits, Since, TooLate};
pub use intake::{Consumer, Intake, Stamp};
pub use link::{EngineLink, Interest, LinkOptions, LinkPublishing, LinkSnapshot, ReadPage};
pub use position::{Epoch, InvalidPosition, LocalPosition, Offset, Position, Received};
pub use sequencer::{HeldLimits, Output, Sequencer, SequencerCounters, Sink};
pub use snapshot::{InvalidSnapshot, Snapshot};
pub use stream::{Stream, Streams};
pub use stream_key::StreamKey;
pub use throttle::Throttle;
pub use trace::{MAX_TRACE_STATE_BYTES, TraceContext};
