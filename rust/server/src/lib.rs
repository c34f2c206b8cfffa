//! fraiseql-subs: server.
