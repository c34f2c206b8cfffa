//! The status pages: `/health` and `/metrics`.

use actix_web::guard::{Any, Get, Head};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use protocol::http::Response;
use protocol::{NOSNIFF, fields};
use runtime::{Format, Readiness, RuntimeState};

use crate::application::spellings;
use crate::head::headers_of;
use crate::http::respond;
use crate::worker::CurrentWorker;

/// Adds the pages, also below `root`.
pub(crate) fn pages(root: &str, config: &mut web::ServiceConfig) {
    config
        .service(page(root, "/health", ready))
        .service(page(root, "/health/ready", ready))
        .service(page(root, "/health/live", live))
        .service(page(root, "/metrics", metrics));
}

/// Creates a page; for a HEAD actix-http sends only the head.
fn page(root: &str, path: &str, show: fn(&RuntimeState, &HttpRequest) -> HttpResponse) -> Resource {
    let reads = web::route().guard(Any(Get()).or(Head()));
    let answer = move |request: HttpRequest, worker: web::Data<CurrentWorker>| {
        let state = worker.worker.state();
        let response =
            admitted(&request, state).map_or_else(|refusal| *refusal, |()| show(state, &request));
        std::future::ready(response)
    };
    web::resource(spellings(root, path))
        .route(reads.to(answer))
        .default_service(web::to(not_allowed))
}

/// Checks the host of a request.
fn admitted(request: &HttpRequest, state: &RuntimeState) -> Result<(), Box<HttpResponse>> {
    let headers = headers_of(request.head(), |name| name == "host");
    let host = fields::value(&headers, "host").filter(|_| fields::repeated(&headers).is_none());
    state.admit_to_status(host).map_err(|check| {
        let refusal = Response::denied(check.name());
        respond(refusal.into(), None).into()
    })
}

async fn not_allowed(request: HttpRequest, worker: web::Data<CurrentWorker>) -> HttpResponse {
    if let Err(refusal) = admitted(&request, worker.worker.state()) {
        return *refusal;
    }
    HttpResponse::MethodNotAllowed()
        .insert_header(("allow", "GET, HEAD"))
        .finish()
}

/// Returns 200 while the process runs.
fn live(_: &RuntimeState, _: &HttpRequest) -> HttpResponse {
    status(HttpResponse::Ok(), "live")
}

/// Returns 503 from the start of a drain, so that a load balancer sends clients to other servers; with
/// `?bus` also while the engine cannot be reached.
fn ready(state: &RuntimeState, request: &HttpRequest) -> HttpResponse {
    let mut parameters = protocol::http::parameters(request.query_string());
    let with_bus = parameters.any(|(name, _)| name == "bus");
    match state.readiness(with_bus) {
        Readiness::Ready => status(HttpResponse::Ok(), "ready"),
        Readiness::Draining => status(HttpResponse::ServiceUnavailable(), "draining"),
        Readiness::BusAway => status(HttpResponse::ServiceUnavailable(), "bus away"),
    }
}

fn status(mut response: actix_web::HttpResponseBuilder, status: &str) -> HttpResponse {
    response
        .content_type("application/json")
        .insert_header(("cache-control", "no-store"))
        .insert_header(NOSNIFF)
        .body(format!(r#"{{"status":"{status}"}}"#))
}

fn metrics(state: &RuntimeState, request: &HttpRequest) -> HttpResponse {
    let accept = request.headers().get("accept");
    let format = Format::accepted(accept.and_then(|value| value.to_str().ok()));
    HttpResponse::Ok()
        .insert_header(NOSNIFF)
        .insert_header(("vary", "accept"))
        .content_type(format.content_type())
        .body(format.write(&state.families()))
}
