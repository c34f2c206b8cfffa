//! Engines: what carries events between processes.
//!
//! Each implements [`bus::engine::Engine`], one folder and one feature an engine. They move bytes;
//! what an envelope says, and the repair of gaps, is the business of `bus`. Not here: who receives an
//! event (`runtime`).
//!
//! # Layout
//!
//! - `url`: which engine a URL names;
//! - `redis`: Redis and what speaks its protocol, from version 7.

#[cfg(feature = "redis")]
pub mod redis;

mod url;

pub use url::{BusUrl, BusUrlError};
