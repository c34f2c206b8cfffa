//! What serves one connection: HTTP by an actix-web application, and WebSockets beside it.
//!
//! `HttpServer` of actix-web keeps the socket of a WebSocket within its HTTP connection, and that
//! connection keeps 16 KiB of buffers. Here the socket is handed over, which takes the service
//! below `HttpServer`: ADR 0033.

use std::rc::Rc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::h1::{self, ExpectHandler};
use actix_http::{HttpService, Request};
use actix_service::boxed::{self, BoxServiceFactory};
use actix_service::{IntoServiceFactory, fn_service, map_config};
use actix_web::dev::{AppConfig, ResourceDef, ServiceResponse};
use actix_web::{App, HttpRequest, HttpResponse, web};
use runtime::WorkerFactory;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::handshake::{self, Door};
use crate::http;
use crate::socket::SocketHandle;
use crate::status;
use crate::worker::CurrentWorker;

/// How long a connection without a request stays, and at least how long a client of HTTP/2 has for
/// the answer to a ping.
const HTTP_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// HTTP/1 and, with TLS, HTTP/2; handshakes of WebSockets go their own way.
pub(crate) type Service<T> = HttpService<
    T,
    BoxServiceFactory<(), Request, ServiceResponse, actix_web::Error, ()>,
    BoxBody,
    ExpectHandler,
    BoxServiceFactory<(), (Request, Framed<T, h1::Codec>), (), actix_web::Error, ()>,
>;

/// Makes the service of one worker thread, on that thread. `socket` finds the socket below `T`.
pub(crate) fn service<T, S>(
    workers: &WorkerFactory,
    path: &str,
    socket: impl Fn(&T) -> &S + 'static,
) -> Service<T>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    for<'s> SockRef<'s>: From<&'s S>,
{
    let current = web::Data::new(CurrentWorker::start(workers));
    let current_keepalive = current.worker.engine().limits.keepalive;
    let door = Rc::new(Door {
        path: ResourceDef::new(spellings(path)),
        current: current.clone(),
    });
    let app = App::new()
        .app_data(current)
        .service(web::resource(spellings(path)).to(graphql))
        .configure(status::pages);
    let handshakes = fn_service(move |(request, framed)| {
        let door = door.clone();
        async move { Ok(handshake::answer(&door, request, framed).await?) }
    });
    let keep_alive = current_keepalive.map_or(HTTP_KEEP_ALIVE, |time| time.max(HTTP_KEEP_ALIVE));
    HttpService::build()
        .keep_alive(keep_alive)
        // A client that closes its side has left, and its operations end at once.
        .h1_allow_half_closed(false)
        // Results are small and must not wait for more of them.
        .tcp_nodelay(true)
        .on_connect_ext(
            move |connection: &T, data| match SocketHandle::of(socket(connection)) {
                Ok(handle) => {
                    data.insert(handle);
                }
                Err(error) => tracing::warn!(%error, "a client that reads nothing cannot be ended"),
            },
        )
        .upgrade(boxed::factory(handshakes))
        .finish(boxed::factory(map_config(app.into_factory(), |()| {
            AppConfig::default()
        })))
}

/// A path without and with a slash at its end, which people and proxies add.
pub(crate) fn spellings(path: &str) -> Vec<String> {
    match path.trim_end_matches('/') {
        "" => vec!["/".to_owned()],
        path => vec![path.to_owned(), format!("{path}/")],
    }
}

/// Serves the GraphQL path to whoever does not ask for a WebSocket.
async fn graphql(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::Data<CurrentWorker>,
) -> HttpResponse {
    http::answer(&request, payload, &worker).await
}
