//! Stands in for the library `regex`, by `[patch.crates-io]`: `regex-lite` has the same interface and no tables
//! of Unicode, which saves a twentieth of the wheel. Expressions are used by libraries alone, for the version and the
//! credentials of a NATS server, which are ASCII.

pub use regex_lite::*;
