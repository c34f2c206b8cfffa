//! Where operations and events come from: connections of other threads, HTTP, streams within the
//! process.

mod connection_handle;
mod event_streams;
mod http;
mod publish;
mod reply;
mod response_stream;

pub use connection_handle::{ConnectionConfig, ConnectionHandle, Pulse, TransportHandle};
pub(crate) use event_streams::Streams;
pub use http::Responder;
pub use reply::{Body, Reply};
pub(crate) use response_stream::StreamSink;
pub use response_stream::{Response, ResponseStream};
