//! The server side of `graphql-transport-ws`, without sockets: messages in, actions out.
//!
//! Pure and sans-IO: nothing here blocks, reads a clock or knows a socket.
//! Not here: WebSocket frames (`server`), what an operation does (`runtime`).
//! Source: GraphQL over WebSocket, PROTOCOL.md of graphql-ws.

mod close;
pub mod frame;
mod message;
mod operation;
mod transport_ws;

pub use close::Close;
pub use operation::{OperationId, Request};
pub use transport_ws::{Action, SUBPROTOCOL, Session, negotiate};
