//! fraiseql-subs: python.
