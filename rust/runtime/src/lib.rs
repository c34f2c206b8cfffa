//! fraiseql-subs: runtime.
