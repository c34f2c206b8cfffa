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
//! - `stream_key`: the name of a stream;
//! - `engine`: what carries events between processes, and what is asked of it;
//! - `error`: why a publisher is refused.

pub mod engine;
mod error;
mod event;
mod history;
mod intake;
mod position;
mod stream;
mod stream_key;

pub use error::BusError;
pub use event::{Draft, Event, Receipt};
pub use history::{History, HistoryLimits, Since, TooLate};
pub use intake::{Intake, Stamp};
pub use position::{Epoch, InvalidPosition, LocalPosition, Offset, Position};
pub use stream::{Stream, Streams};
pub use stream_key::StreamKey;
