//! The handshake of a WebSocket (RFC 6455, section 4.2): refuses the request, or takes over its
//! socket.

use std::io;
use std::rc::Rc;

use actix_codec::{AsyncRead, AsyncWrite, Framed};
use actix_http::body::{BodySize, MessageBody};
use actix_http::h1::{self, Message};
use actix_http::{ConnectionType, Request, RequestHead, ws};
use actix_web::body::to_bytes;
use actix_web::dev::ResourceDef;
use actix_web::http::{Version, header};
use actix_web::{HttpResponse, web};
use bytes::BytesMut;
use protocol::http::{HttpRequest, Response};
use protocol::{Close, Session, Subprotocol};
use runtime::{Connection, Place};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::Encoder;

use crate::allowance::Allowance;
use crate::causes;
use crate::deflate::{Deflate, Deflaters};
use crate::head::{client_of, fault_of, headers_of, is_too_large, peer_of};
use crate::http::{malformed, respond, too_large_head};
use crate::inflate::Inflater;
use crate::publish::Publishers;
use crate::socket::SocketHandle;
use crate::socket_task::{self, SharedSocket, SocketTask};
use crate::websocket::ConnectionActor;
use crate::wire::Wire;
use crate::worker::CurrentWorker;
use crate::ws_extension::{Agreement, negotiate};
use crate::ws_messages::Messages;

struct AcceptedHandshake {
    response: actix_http::Response<()>,
    subprotocol: Option<Subprotocol>,
    /// How messages are compressed.
    agreement: Option<Agreement>,
    /// The counted connection.
    place: Place,
}

/// Compresses and decompresses the messages of one worker.
#[derive(Default)]
pub(crate) struct Compression {
    deflaters: Rc<Deflaters>,
    inflater: Rc<Inflater>,
}

/// The path at which WebSockets are accepted, and the worker that accepts them. It also knows which
/// other requests have heads that are checked before their bodies are sent.
pub(crate) struct UpgradeService {
    pub(crate) path: ResourceDef,
    /// Where programs publish, if anywhere.
    pub(crate) publish: Option<Publishers>,
    /// `None`: offers of permessage-deflate are declined.
    pub(crate) compression: Option<Compression>,
    pub(crate) current: web::Data<CurrentWorker>,
}

/// Answers one handshake; a socket that is let in has a task of its own.
pub(crate) async fn answer<T>(
    upgrades: &UpgradeService,
    request: Request,
    framed: Framed<Wire<T>, h1::Codec>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut parts = framed.into_parts();
    let head = request.head();
    let accepted = upgrades.accept(head);
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => {
            let bytes = refusal_bytes(&mut parts.codec, *refusal).await?;
            parts.io.write_all(&bytes).await?;
            return parts.io.shutdown().await;
        }
    };
    let subprotocol = accepted.subprotocol;
    let mut bytes = BytesMut::new();
    let response = Message::Item((accepted.response, BodySize::None));
    parts.codec.encode(response, &mut bytes)?;
    parts.io.write_all(&bytes).await?;
    parts.io.flush().await?;

    if let Some(socket) = request.conn_data::<SocketHandle>() {
        socket.hand_over(accepted.place);
    }
    let worker = &upgrades.current.worker;
    let limits = &worker.state().limits;
    let session = Session::websocket(subprotocol.unwrap_or(Subprotocol::TransportWs))
        .with_keepalive(limits.keepalive)
        .with_early_bytes(limits.max_message_bytes);
    let allowance = Rc::new(Allowance::new());
    let compression = upgrades.compression.as_ref().zip(accepted.agreement);
    let deflate =
        compression.map(|(shared, agreed)| Deflate::new(shared.deflaters.clone(), agreed.window));
    let inflater = compression.map(|(shared, _)| shared.inflater.clone());
    let task = SocketTask::new(allowance.clone(), deflate);
    let client = client_of(head, "ws");
    let connection = Connection::open(worker.registry(), client, session, Box::new(task.clone()));
    if subprotocol.is_none() {
        // A browser reports a close code to its page only after a completed handshake.
        connection.close(Close::subprotocol_not_acceptable());
    }
    let socket = SharedSocket::new(parts.io.into_inner());
    let reader = Box::new(socket.clone());
    let limit = limits.max_message_bytes;
    let messages = Messages::new(&parts.read_buf, reader, limit, allowance, inflater);
    let actor = ConnectionActor::start(connection.clone(), messages);
    let newcomers = upgrades.current.newcomers.clone();
    socket_task::spawn(actor, socket, connection, &task, newcomers);
    Ok(())
}

impl UpgradeService {
    /// Returns the response of a completed handshake and what was agreed, or a refusal.
    fn accept(&self, head: &RequestHead) -> Result<AcceptedHandshake, Box<HttpResponse>> {
        if !self.path.is_match(head.uri.path()) {
            return Err(HttpResponse::NotFound().finish().into());
        }
        let limit = self.current.worker.state().limits.max_head_bytes;
        let is_too_large = is_too_large(head, limit);
        let sent = headers_of(head, |name| !is_too_large || name == "origin");
        let (responder, peer) = (&self.current.responder, peer_of(head));
        let asked = HttpRequest {
            method: head.method.as_str(),
            query: "",
            headers: &sent,
            body: &[],
        };
        let refuse = |refusal| {
            let reply = responder.refuse(&asked, peer.as_deref(), refusal);
            Box::new(respond(reply, None))
        };
        if is_too_large {
            return Err(refuse(too_large_head(limit)));
        }
        if let Some(problem) = fault_of(head) {
            return Err(refuse(malformed(problem)));
        }
        let place = responder.admit(&sent, peer.as_deref());
        let place = place.map_err(|refusal| respond(responder.told(&asked, refusal), None))?;
        let headers = head.headers();
        // RFC 6455, section 4.4. The handshake of actix-http accepts drafts.
        if headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            let mut refusal = Response::error(426, "WebSockets are spoken in version 13 only");
            refusal.head = refusal.head.with("sec-websocket-version", "13");
            return Err(refuse(refusal));
        }
        if let Some(problem) = problem_of(head) {
            return Err(refuse(malformed(problem)));
        }
        let mut response = ws::handshake(head).map_err(|error| refuse(causes::handshake(error)))?;
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.filter_map(|names| names.to_str().ok());
        let subprotocol = self.current.worker.state().transports.negotiate(offered);
        if let Some(subprotocol) = subprotocol {
            response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, subprotocol.name()));
        }
        let agreement = self.agree(head);
        if let Some(agreement) = agreement {
            response.insert_header((header::SEC_WEBSOCKET_EXTENSIONS, agreement.header()));
        }
        Ok(AcceptedHandshake {
            response: response.finish().drop_body(),
            subprotocol,
            agreement,
            place,
        })
    }

    /// Returns how messages are compressed, if they are.
    fn agree(&self, head: &RequestHead) -> Option<Agreement> {
        self.compression.as_ref()?;
        let offers = head.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        negotiate(offers.filter_map(|offers| offers.to_str().ok()))
    }
}

/// Checks the parts of a handshake that actix-http does not check (RFC 6455, section 4.2.1).
fn problem_of(head: &RequestHead) -> Option<&'static str> {
    if head.version < Version::HTTP_11 {
        return Some("a WebSocket begins with HTTP/1.1");
    }
    // One server might read the bytes as a body, another one as frames.
    let length = head.headers().get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length != "0") {
        return Some("a handshake has no body");
    }
    let key = head.headers().get(header::SEC_WEBSOCKET_KEY)?;
    (!is_key(key.as_bytes())).then_some(causes::BAD_KEY)
}

fn is_key(key: &[u8]) -> bool {
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || b"+/".contains(b);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

/// Encodes a complete response, after which the connection is closed: the bytes after the head are
/// not another request.
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
