//! Tests of the engine with real PostgreSQL servers, which the tests start.

// A failed step ends the test.
#![allow(clippy::unwrap_used)]

// Tests of other engines use the rest.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

mod control;
mod hostile;
mod installing;
mod links;
mod lost_rows;
mod order;
mod outbox;
mod publishing;
mod refusals;
mod resuming;
mod secure;
mod servers;
mod snapshots;
mod sources;
mod table_faults;
mod tables;
