//! The response to a request: its head, and its body, complete or part by part.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use protocol::Head;
use protocol::http::Response;

use super::connection_handle::ConnectionHandle;
use crate::connection::Outgoing;
use crate::places::Place;

/// The response to a request.
pub struct Reply {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Body,
    /// The place of the request, kept until the response is written; `None`: it is not counted.
    pub place: Option<Place>,
}

/// The body of a response.
pub enum Body {
    /// A complete body, with the connection, for which a drain waits until the body is written.
    Whole(Bytes, Option<ConnectionHandle>),
    /// The ready part of a body, and the connection with further parts, until its
    /// [`Outgoing::Close`].
    Stream(Bytes, ConnectionHandle),
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self {
            head: response.head,
            body: Body::Whole(response.body, None),
            place: None,
        }
    }
}

/// Waits for the head, and returns it with the ready part of the body.
pub(super) async fn begun(remote: ConnectionHandle) -> Reply {
    let first = poll_fn(|cx| remote.poll_take(cx)).await.unwrap_or_default();
    let mut outgoing = first.into_iter();
    let Some(Outgoing::Head(head)) = outgoing.next() else {
        return unavailable();
    };
    let (mut ready, mut is_whole) = (BytesMut::new(), false);
    for outgoing in outgoing {
        match outgoing {
            Outgoing::Text(part) => part.write(&mut ready),
            Outgoing::Close(_) => is_whole = true,
            Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
        }
    }
    let ready = ready.freeze();
    let body = if is_whole {
        Body::Whole(ready, Some(remote))
    } else {
        Body::Stream(ready, remote)
    };
    Reply {
        head,
        body,
        place: None,
    }
}

/// Waits for the complete body of a response that is not a stream, so that its length is known,
/// also for a HEAD.
pub(super) async fn whole(reply: Reply) -> Reply {
    let (head, mut body, remote) = match reply.body {
        Body::Stream(ready, remote) if !reply.head.goes_on => {
            (reply.head, BytesMut::from(ready), remote)
        }
        body => return Reply { body, ..reply },
    };
    while let Some(outgoing) = poll_fn(|cx| remote.poll_take(cx)).await {
        for outgoing in outgoing {
            match outgoing {
                Outgoing::Text(part) => part.write(&mut body),
                Outgoing::Close(_) => {
                    let body = Body::Whole(body.freeze(), Some(remote));
                    return Reply {
                        head,
                        body,
                        place: None,
                    };
                }
                Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
            }
        }
    }
    unavailable()
}

pub(super) fn unavailable() -> Reply {
    Response::shutting_down().into()
}
