//! One subscription from its registration to its end: which events reach it, the calls that
//! resolve them, and its results in their order.

mod actor;
mod call;
mod call_group;
mod catch_up;
mod host;
mod lane;
mod replay;
mod shard;
mod sink;
mod wakes;

pub use actor::SubscriptionActor;
pub(crate) use actor::{FinishSubscription, StopSubscription};
pub use call::{CallId, CallInput, Outcome, SubscriptionInfo};
pub(crate) use call_group::{
    CallGroupCommand, CallGroupKey, CallGroupMembers, CallGroups, Joining, WorkerAddress,
};
pub use host::Resolver;
pub(crate) use lane::LaneContext;
pub use lane::{Callback, Lane};
pub(crate) use replay::{GoLive, Kept, Replay, StartPosition};
pub(crate) use shard::Registration;
pub use shard::Shard;
pub(crate) use sink::ResponseSink;
pub(crate) use wakes::WakeActors;
pub use wakes::{BatchedWakes, Wake};
