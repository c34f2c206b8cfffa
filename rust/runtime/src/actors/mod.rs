//! The actors. Their messages are in `messages`, the rules they carry out in the other modules.

mod authenticate;
mod event_bus;
mod shard;
mod subscription;

pub use authenticate::AuthenticateActor;
pub use event_bus::{EventBusActor, ShardList};
pub use shard::ShardActor;
pub use subscription::{Calls, SubscriptionActor};
