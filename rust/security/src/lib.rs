//! fraiseql-subs: security.
