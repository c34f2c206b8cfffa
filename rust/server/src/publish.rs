//! Requests of programs that publish events.

use actix_web::dev::ResourceDef;
use actix_web::{HttpRequest, HttpResponse, web};
use protocol::http::Response;
use runtime::{Reply, Responder};
use security::PublishKeys;

use crate::application::spellings;
use crate::deadline::within;
use crate::head::{headers_of, is_too_large, peer_of};
use crate::http::{closing, read, respond, socket_of, too_large_head};
use crate::worker::CurrentWorker;

/// Where events are published over HTTP.
#[derive(Debug, Clone)]
pub struct PublishRoute {
    /// Path of the endpoint.
    pub path: String,
    /// The keys that programs have.
    pub keys: PublishKeys,
}

impl PublishRoute {
    /// Adds the endpoint, also below `root`.
    pub(crate) fn configure(self, root: &str, config: &mut web::ServiceConfig) {
        let paths = spellings(root, &self.path);
        let keys = self.keys;
        let answer = move |request: HttpRequest, payload, worker: web::Data<CurrentWorker>| {
            let keys = keys.clone();
            async move { answer(&request, payload, &worker, &keys).await }
        };
        config.service(web::resource(paths).to(answer));
    }
}

/// Checks requests to publish whose clients wait before they send the body.
pub(crate) struct Publishers {
    path: ResourceDef,
    keys: PublishKeys,
}

impl Publishers {
    pub(crate) fn new(root: &str, route: &PublishRoute) -> Self {
        Self {
            path: ResourceDef::new(spellings(root, &route.path)),
            keys: route.keys.clone(),
        }
    }

    /// Whether a path is that of the endpoint.
    pub(crate) fn serve(&self, path: &str) -> bool {
        self.path.is_match(path)
    }

    /// Checks the head of a request.
    pub(crate) fn look(
        &self,
        responder: &Responder,
        asked: &protocol::http::HttpRequest<'_>,
        peer: Option<&str>,
    ) -> Result<(), Reply> {
        let looked = responder.look_at_publisher(asked, peer, &self.keys);
        looked.map_err(Reply::from)
    }
}

/// Answers a request. No page may read the response: it has no headers of CORS.
async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    worker: &CurrentWorker,
    keys: &PublishKeys,
) -> HttpResponse {
    let (limits, responder) = (&worker.worker.state().limits, &worker.responder);
    let peer = peer_of(request.head());
    let refuse = |refusal: &Response| {
        let refusal = responder.refuse_publisher(peer.as_deref(), refusal);
        closing(respond(refusal.into(), None))
    };
    if is_too_large(request.head(), limits.max_head_bytes) {
        return refuse(&too_large_head(limits.max_head_bytes));
    }
    let headers = headers_of(request.head(), |_| true);
    let mut asked = protocol::http::HttpRequest {
        method: request.method().as_str(),
        query: "",
        headers: &headers,
        body: &[],
    };
    let place = match responder.admit_publisher(&asked, peer.as_deref(), keys) {
        Ok(place) => place,
        Err(refusal) => return closing(respond(refusal.into(), None)),
    };
    let socket = socket_of(request);
    let body = within(
        limits.request_timeout,
        read(payload, limits.max_message_bytes, socket.as_ref()),
    );
    let body = match body.await {
        Some(Ok(body)) => body,
        Some(Err(refusal)) => return refuse(&refusal),
        None => {
            let problem = "the body took too long: send it faster";
            return refuse(&Response::error(408, problem));
        }
    };
    asked.body = &body;
    let published = responder.publish(asked, peer.as_deref(), place);
    respond(published.await, socket)
}
