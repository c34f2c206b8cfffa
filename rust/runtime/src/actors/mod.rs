//! The actors. Their messages are in `messages`, the rules they carry out in the other modules.

mod authenticate;
mod catch_up;
mod checks;
mod event_bus;
mod jwt;
mod key_set;
mod shard;
mod subscription;

pub(crate) use authenticate::AuthenticateActor;
pub(crate) use checks::{Subscribing, start_chain};
pub use event_bus::EventBusActor;
pub(crate) use event_bus::ShardList;
pub(crate) use jwt::JwtActor;
pub use shard::ShardActor;
pub use subscription::SubscriptionActor;
