//! `/health` and `/metrics`, for those who watch the server.

use actix_web::{HttpResponse, web};

use crate::worker::CurrentWorker;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/health", web::get().to(ready))
        .route("/health/ready", web::get().to(ready))
        .route("/health/live", web::get().to(live))
        .route("/metrics", web::get().to(metrics));
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
