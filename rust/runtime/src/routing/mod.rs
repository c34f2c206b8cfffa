//! Finds the subscriptions that an event matches: routes, and the index of routes.

mod index;

pub use index::{FieldPath, RequiredValue, Route, RoutingIndex, field_path};
