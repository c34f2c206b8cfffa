//! What carries operations: connections of other threads, HTTP, streams within the process.

mod event_streams;
mod http;
mod remote;
mod response_stream;

pub(crate) use event_streams::Streams;
pub use http::{Body, Reply, Responder};
pub use remote::{CarrierHandle, Opening, Pulse, Remote};
pub(crate) use response_stream::StreamSink;
pub use response_stream::{Response, ResponseStream};
