//! A started manager: its threads, its event bus, its drain and its end.

mod broadcaster;
mod departures;
mod engine_publisher;
mod event_bus;
mod link_thread;
mod local_node;
mod nodes;
mod runtime;
mod settling;
mod system;
mod worker_factory;
mod worker_pool;

pub use departures::DrainOptions;
pub use engine_publisher::EnginePublisher;
pub use nodes::{Disconnected, Listed, Reached};
pub use runtime::Runtime;
pub use worker_factory::WorkerFactory;
