//! Stands in for the library `regex`, by `[patch.crates-io]`: `regex-lite` has the same interface without
//! tables of Unicode and the faster engines, which have 600 KB of the compiled module. Expressions are used by libraries alone, for the version and the
//! credentials of a NATS server, which are ASCII.

pub use regex_lite::*;
