//! Which subscriptions an event reaches: routes, and the index that finds their subscriptions.

mod index;

pub use index::{FieldPath, Route, RoutingIndex, Wanted, field_path};
