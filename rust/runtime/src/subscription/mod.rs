//! A running subscription from its registration to its end: it receives events, has them resolved,
//! and sends the results in the order of the events.
//!
//! Not here: how a request becomes a subscription (`operation`), and how an event finds its
//! subscriptions (`routing`).

mod actor;
mod call;
mod call_group;
mod catch_up;
mod host;
mod initial_retry;
mod lane;
mod passage;
mod replay;
mod shard;
mod sink;
mod source;
mod wakes;

pub use actor::SubscriptionActor;
pub(crate) use actor::{FinishSubscription, StopSubscription};
pub use call::{CallId, CallInput, Outcome, SubscriptionInfo};
pub(crate) use call_group::{CallGroupCommand, CallGroups, WorkerAddress};
pub use host::Resolver;
pub(crate) use lane::LaneContext;
pub use lane::{Callback, Lane, Settled, Started};
pub(crate) use replay::{HistorySources, Replay, StartPosition};
pub(crate) use shard::ProjectionKey;
pub(crate) use sink::ResponseSink;
pub(crate) use source::{GroupSource, LaneSource, RegisteringSource, Source, Subscriptions};
pub use wakes::{BatchedWakes, Wake};
pub(crate) use wakes::{PassOn, WokenWorker};
