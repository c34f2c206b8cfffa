//! `/health` and `/metrics`, for those who watch the server.

use actix_web::guard::{Any, Get, Head};
use actix_web::{Handler, HttpResponse, Resource, web};

use crate::service::spellings;
use crate::worker::CurrentWorker;

/// Adds the pages.
pub(crate) fn pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/health", ready))
        .service(page("/health/ready", ready))
        .service(page("/health/live", live))
        .service(page("/metrics", metrics));
}

/// A page to read; of a HEAD actix-http sends the head alone.
fn page<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output = HttpResponse>,
    Args: actix_web::FromRequest + 'static,
{
    let reads = web::route().guard(Any(Get()).or(Head()));
    web::resource(spellings(path))
        .route(reads.to(handler))
        .default_service(web::to(not_allowed))
}

async fn not_allowed() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header(("allow", "GET, HEAD"))
        .finish()
}

/// Answers as long as the process does.
async fn live() -> HttpResponse {
    status(HttpResponse::Ok(), "live")
}

/// 503 from the begin of a drain on, so that a balancer sends clients elsewhere.
async fn ready(worker: web::Data<CurrentWorker>) -> HttpResponse {
    if worker.worker.engine().is_draining() {
        status(HttpResponse::ServiceUnavailable(), "draining")
    } else {
        status(HttpResponse::Ok(), "ready")
    }
}

fn status(mut response: actix_web::HttpResponseBuilder, status: &str) -> HttpResponse {
    response
        .content_type("application/json")
        .insert_header(("cache-control", "no-store"))
        .body(format!(r#"{{"status":"{status}"}}"#))
}

async fn metrics(worker: web::Data<CurrentWorker>) -> HttpResponse {
    let snapshot = worker.worker.engine().metrics.snapshot();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(runtime::prometheus(&snapshot))
}
