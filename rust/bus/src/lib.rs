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
//! - `error`: why a publisher is refused.

mod error;
mod event;
mod history;
mod intake;
mod stream;

pub use error::BusError;
pub use event::{Draft, Event, Receipt};
pub use history::{History, HistoryLimits, Since, TooLate};
pub use intake::{Intake, Stamp};
pub use stream::{Stream, Streams};
