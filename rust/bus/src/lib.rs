//! fraiseql-subs: bus.
