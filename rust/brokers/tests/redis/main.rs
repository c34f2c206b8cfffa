//! The engine over Redis, against real servers that the tests start.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod control;
mod history;
mod links;
mod moving;
mod publishing;
mod refusals;
mod secure;
mod sentinels;
mod streams;
mod subscribing;
