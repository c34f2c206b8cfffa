//! fraiseql-subs: graphql.
