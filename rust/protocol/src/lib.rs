//! fraiseql-subs: protocol.
