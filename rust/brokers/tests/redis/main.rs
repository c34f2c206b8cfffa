//! Tests of the engine with real Redis servers, which the tests start.

// A failed step ends the test.
#![allow(clippy::unwrap_used)]

// Tests of other engines use the rest.
#[allow(dead_code)]
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
mod servers;
mod streams;
mod subscribing;
