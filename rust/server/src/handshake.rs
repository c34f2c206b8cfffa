//! The handshake of a WebSocket (RFC 6455, section 4.2): the request is refused, or its socket
//! changes hands.

use std::io;

use actix_codec::{AsyncRead, AsyncWrite, Framed};
use actix_http::body::{BodySize, MessageBody};
use actix_http::h1::{self, Message};
use actix_http::{ConnectionType, Request, RequestHead, ws};
use actix_web::body::to_bytes;
use actix_web::dev::ResourceDef;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::BytesMut;
use protocol::http::Response;
use protocol::{Close, Session, Subprotocol};
use runtime::{Connection, Place};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::Encoder;

use crate::carrier::{Carriage, SharedSocket, carry};
use crate::causes;
use crate::head::{client_of, is_too_large, peer_of};
use crate::http::{respond, too_large_head};
use crate::messages::Messages;
use crate::socket::SocketHandle;
use crate::websocket::ConnectionActor;
use crate::worker::CurrentWorker;

type Accepted = (actix_http::Response<()>, Option<Subprotocol>, Place);

/// Where WebSockets are taken, and by whom.
pub(crate) struct Door {
    pub(crate) path: ResourceDef,
    pub(crate) current: web::Data<CurrentWorker>,
}

/// Answers one handshake; whoever is let in is carried by a task of its own.
pub(crate) async fn answer<T>(
    door: &Door,
    request: Request,
    framed: Framed<T, h1::Codec>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut parts = framed.into_parts();
    let head = request.head();
    let accepted = door.accept(head);
    let (response, subprotocol, place) = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => {
            let bytes = refusal_bytes(&mut parts.codec, *refusal).await?;
            parts.io.write_all(&bytes).await?;
            return parts.io.shutdown().await;
        }
    };
    let mut bytes = BytesMut::new();
    let response = Message::Item((response.drop_body(), BodySize::None));
    parts.codec.encode(response, &mut bytes)?;
    parts.io.write_all(&bytes).await?;
    parts.io.flush().await?;

    if let Some(socket) = request.conn_data::<SocketHandle>() {
        socket.hand_over(place);
    }
    let worker = &door.current.worker;
    let limits = &worker.engine().limits;
    let session = Session::websocket(subprotocol.unwrap_or(Subprotocol::TransportWs))
        .with_keepalive(limits.keepalive)
        .with_early_bytes(limits.max_message_bytes);
    let carriage = Carriage::default();
    let client = client_of(head, "ws");
    let connection = Connection::open(worker, client, session, Box::new(carriage.clone()));
    if subprotocol.is_none() {
        // A browser only tells its page about a close that follows a completed handshake.
        connection.close(Close::subprotocol_not_acceptable());
    }
    let socket = SharedSocket::new(parts.io);
    let reader = Box::new(socket.clone());
    let messages = Messages::new(&parts.read_buf, reader, limits.max_message_bytes);
    let actor = ConnectionActor::start(connection.clone(), messages);
    carry(actor, socket, connection, &carriage);
    Ok(())
}

impl Door {
    /// The answer of a completed handshake, the subprotocol it chose and the place it took, or a
    /// refusal.
    fn accept(&self, head: &RequestHead) -> Result<Accepted, Box<HttpResponse>> {
        if !self.path.is_match(head.uri.path()) {
            return Err(HttpResponse::NotFound().finish().into());
        }
        let headers = head.headers();
        let origin = headers
            .get(header::ORIGIN)
            .map(|v| v.to_str().unwrap_or(""));
        let host = headers.get(header::HOST).and_then(|v| v.to_str().ok());
        let limit = self.current.worker.engine().limits.max_head_bytes;
        let responder = &self.current.responder;
        let peer = peer_of(head);
        let refuse = |refusal| {
            let refusal = responder.refuse_handshake(peer.as_deref(), refusal);
            Box::new(respond(refusal.into(), None))
        };
        if is_too_large(head, limit) {
            return Err(refuse(too_large_head(limit)));
        }
        let place = responder.admit(origin, host, peer.as_deref());
        let place = place.map_err(|refusal| respond(refusal.into(), None))?;
        // RFC 6455, section 4.4. The handshake of actix-http lets drafts pass.
        if headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            let mut refusal = Response::error(426, "WebSockets are spoken in version 13 only");
            refusal.head = refusal.head.with("sec-websocket-version", "13");
            return Err(refuse(refusal));
        }
        let mut response = ws::handshake(head).map_err(|error| refuse(causes::handshake(error)))?;
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.filter_map(|names| names.to_str().ok());
        let subprotocol = self.current.worker.engine().transports.negotiate(offered);
        if let Some(subprotocol) = subprotocol {
            response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, subprotocol.name()));
        }
        Ok((response.finish().drop_body(), subprotocol, place))
    }
}

/// A whole response, after which the connection is closed: the bytes that follow the head of the
/// request belong to no other one.
async fn refusal_bytes(codec: &mut h1::Codec, refusal: HttpResponse) -> io::Result<BytesMut> {
    let (head, body) = refusal.into_parts();
    let size = body.size();
    let mut head = actix_http::Response::from(head);
    head.head_mut().set_connection_type(ConnectionType::Close);
    let body = to_bytes(body).await.unwrap_or_default();
    let mut bytes = BytesMut::new();
    codec.encode(Message::Item((head, size)), &mut bytes)?;
    codec.encode(Message::Chunk(Some(body)), &mut bytes)?;
    codec.encode(Message::Chunk(None), &mut bytes)?;
    Ok(bytes)
}
