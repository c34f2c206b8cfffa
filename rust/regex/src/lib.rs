//! Stands in for the library `regex`, by `[patch.crates-io]`. `regex-lite` has the same interface, and neither the
//! tables of Unicode nor the faster engines, which have 600 KB of the compiled module. Libraries alone use it: the
//! client of NATS for the version and the credentials of a server, which are ASCII.

pub use regex_lite::*;
