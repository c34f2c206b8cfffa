//! JSON that is kept as its text, with an index of where each value is.
//!
//! The data of events have this form from the publisher to the client. A tree of values has many times
//! the size of its text and an allocation for each name and text; an [`IndexedJson`] has two. It is
//! written by [`Writer`] or read from a text by [`IndexedJson::read`], once. [`JsonRef`] finds members and
//! items by the index, and decodes only the values that are asked for.
//!
//! Not here: JSON of clients, of which some members are needed once (`protocol::json`).
//!
//! # Layout
//!
//! - `index`: the text and its index;
//! - `read`: makes them of a text; `problem`: why it cannot be read;
//! - `write`: makes them of values, in the order of the text;
//! - `value`: one value in the text;
//! - `tree`: from and to `serde_json::Value`;
//! - `scan`: finds the end of what needs no escape.

mod index;
mod problem;
mod read;
mod scan;
mod tree;
mod value;
mod write;

pub use index::{IndexedJson, MAX_DEPTH, MAX_TEXT_BYTES};
pub use problem::{Problem, Unreadable};
pub use value::{JsonRef, Kind, Number};
pub use write::Writer;
