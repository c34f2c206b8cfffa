//! Tests of the engine with real NATS servers, which the tests start.

// A failed step ends the test.
#![allow(clippy::unwrap_used)]

// Tests of other engines use the rest.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod control;
mod core;
mod epochs;
mod history;
mod links;
mod publishing;
mod refusals;
mod routes;
mod secure;
mod servers;
mod subscribing;
