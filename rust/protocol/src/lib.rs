//! The server side of the protocols of GraphQL clients and of programs that publish, without sockets:
//! a session takes messages and requests, and returns actions.
//!
//! graphql-transport-ws, the older graphql-ws, GraphQL over SSE, multipart subscriptions and
//! GraphQL over HTTP, behind one [`Session`]. Pure and sans-IO: no code here blocks, reads a clock
//! or uses a socket.
//! Not here: frames and connections (`server`), execution of operations (`runtime`).
//!
//! # Layout
//!
//! - `session`: one connection of any protocol; `action`: the actions for its caller;
//! - `websocket`, `message`, `legacy_message`, `subprotocol`, `frame`: the two WebSocket subprotocols;
//! - `exchange`, `event_stream`, `multipart`: an operation over HTTP, event streams, multipart streams;
//! - `http`, `http_request`, `posted`, `accept`, `fields`, `head`, `response`: HTTP requests and
//!   responses;
//! - `publishing`: requests to publish events, and their responses;
//! - `framing`, `framed_message`: the bytes around each result on the wire;
//! - `operation`, `extensions`, `members`, `json`: the request of a client, kept as text;
//!   `operation_map`: the operations of a connection;
//! - `transports`: the enabled transports; `close`: close codes and reasons.

mod accept;
mod action;
mod close;
mod event_stream;
mod exchange;
mod extensions;
pub mod fields;
mod frame;
mod framed_message;
mod framing;
mod head;
pub mod http;
mod http_request;
mod json;
mod legacy_message;
mod members;
mod message;
mod multipart;
mod operation;
mod operation_map;
mod posted;
pub mod publishing;
mod response;
mod session;
mod subprotocol;
mod transports;
mod websocket;

pub use action::Action;
pub use close::Close;
pub use exchange::Exchange;
pub use extensions::Extensions;
pub use framed_message::FramedMessage;
pub use framing::{EventId, Framing};
pub use head::{Amendment, Head, NOSNIFF};
pub use json::{Footprint, JsonObject, SHARED_NAMES, Unreadable};
pub use operation::{OperationId, OperationKind, Request, Resume, ResumeFault};
pub use operation_map::OperationMap;
pub use session::Session;
pub use subprotocol::Subprotocol;
pub use transports::Transports;
