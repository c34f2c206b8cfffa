//! Engines, which carry events between processes.
//!
//! Each engine implements [`bus::engine::Engine`], and has its own folder and feature. An engine moves
//! bytes: `bus` defines the content of an envelope, and repairs gaps. Not here: which subscriptions
//! receive an event (`runtime`).
//!
//! # Layout
//!
//! - `url`, `address`, `query`: creates the engine that a URL names, and reads the hosts and the options
//!   of a URL;
//! - `tls`, `backoff`: TLS settings, and pauses between attempts to connect, for every engine;
//! - `running`: tasks and calls in flight of an engine, for every engine;
//! - `ignored`: what receives the events of an engine that was not started;
//! - `credentials`: users and passwords, for every engine;
//! - `nats`: NATS 2.9 or later, with JetStream or without;
//! - `postgres`: PostgreSQL 14 or later;
//! - `redis`: Redis 7 or later, and servers with its protocol.

#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;

#[cfg(any(feature = "nats", feature = "redis"))]
mod address;
mod backoff;
mod credentials;
mod ignored;
mod query;
mod running;
mod tls;
mod url;

pub use credentials::Credentials;
pub use tls::Tls;
pub use url::{BusUrl, BusUrlError};
