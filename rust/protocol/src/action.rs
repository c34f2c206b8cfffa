//! What a session tells its caller to do.

use bytes::Bytes;

use crate::close::Close;
use crate::head::Head;
use crate::json::JsonObject;
use crate::operation::{OperationId, Request};

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Decide about the client, then call [`Session::accept`](crate::Session::accept) or [`Session::refuse`](crate::Session::refuse).
    Initialise {
        /// Payload of `connection_init`.
        payload: Option<JsonObject>,
    },
    /// Send status and headers of an HTTP response; a body follows.
    Respond(Head),
    /// Send this text message, or this part of a body.
    Send(Bytes),
    /// Start an operation; one that has the id already ends without a word.
    Subscribe {
        /// Its id, in use from now on.
        id: OperationId,
        /// What it asks for.
        request: Request,
    },
    /// End an operation without a word; its id is free.
    Complete {
        /// Its id.
        id: OperationId,
    },
    /// Close the socket, or end the body; the session is over.
    Close(Close),
}
