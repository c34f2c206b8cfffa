//! The actions that a session returns to its caller.

use bytes::Bytes;

use crate::close::Close;
use crate::head::Head;
use crate::json::JsonObject;
use crate::operation::{OperationId, Request};

/// An action that the caller has to carry out.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Accept or refuse the client: call [`Session::accept`](crate::Session::accept) or
    /// [`Session::refuse`](crate::Session::refuse).
    Initialise {
        /// Payload of `connection_init`.
        payload: Option<JsonObject>,
    },
    /// Send status and headers of an HTTP response; a body follows.
    Respond(Head),
    /// Send this text message, or this part of a body.
    Send(Bytes),
    /// Start an operation; a running one with the same id is ended without a message.
    Subscribe {
        /// Its id, which is now in use.
        id: OperationId,
        /// The request of the client.
        request: Request,
    },
    /// End an operation without a message; its id may be used again.
    Complete {
        /// Its id.
        id: OperationId,
    },
    /// Note that the client has answered a ping.
    Answered,
    /// Close the socket, or end the body; the session is over.
    Close(Close),
}
