//! Wraps the application: requests have the addresses of their clients, and are counted at their
//! sockets. While one runs, the time limit for heads does not apply.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::{HttpMessage, Request, Response};
use actix_service::boxed::BoxFuture;
use actix_service::{Service, forward_ready};
use actix_web::dev::ServiceResponse;
use bytes::Bytes;
use runtime::Responder;

use crate::forwarded::TrustedProxies;
use crate::head::fault_of;
use crate::http::{closing, refuse_malformed};
use crate::socket::{RunningRequest, SocketHandle};

/// Answers by an actix-web application.
pub(crate) struct Watched<S> {
    service: S,
    responder: Responder,
    proxies: TrustedProxies,
}

impl<S> Watched<S> {
    pub(crate) fn new(service: S, responder: Responder, proxies: TrustedProxies) -> Self {
        Self {
            service,
            responder,
            proxies,
        }
    }
}

impl<S> Service<Request> for Watched<S>
where
    S: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    S::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = actix_web::Error;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    forward_ready!(service);

    fn call(&self, mut request: Request) -> Self::Future {
        find_client(&self.proxies, &mut request);
        if let Some(problem) = fault_of(request.head()) {
            let refusal = refuse_malformed(&self.responder, request.head(), problem);
            return Box::pin(std::future::ready(Ok(closing(refusal).into())));
        }
        // HTTP/2 streams are counted by their connection.
        let socket = request.conn_data::<SocketHandle>();
        let running = socket.map(SocketHandle::begin_request);
        let answered = self.service.call(request);
        Box::pin(async move {
            let response: Response<BoxBody> = answered.await?.into();
            Ok(match running {
                Some(running) => response.map_body(|_, body| {
                    BoxBody::new(RunningBody {
                        body,
                        _running: running,
                    })
                }),
                None => response,
            })
        })
    }
}

/// Sets the address of a request to that of its client, as far as trusted proxies tell it.
pub(crate) fn find_client(proxies: &TrustedProxies, request: &mut Request) {
    let of_connection = request.conn_data::<SocketHandle>().cloned();
    let socket = of_connection.or_else(|| request.extensions().get::<SocketHandle>().cloned());
    // The proxy passes bytes on, so the client has written the headers itself.
    if !socket.is_some_and(|socket| socket.hides_client()) {
        proxies.resolve(request.head_mut());
    }
}

/// A body whose request runs until it is sent.
struct RunningBody {
    body: BoxBody,
    _running: RunningRequest,
}

impl MessageBody for RunningBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
