//! Finds the subscriptions that an event matches: routes, the index of routes, and the workers that
//! have subscriptions on a channel.

mod channel_workers;
mod index;

pub(crate) use channel_workers::{ChannelHold, ChannelWorkers, WorkerChannels, WorkerNumber};
pub(crate) use index::RoutingIndex;
pub use index::{FieldPath, RequiredValue, Route, field_path};
