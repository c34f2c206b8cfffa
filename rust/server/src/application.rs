//! The actix-web application that answers requests, as its services see it.

use actix_http::{Request, Response};
use actix_service::boxed::RcService;
use actix_web::body::BoxBody;

/// Answers requests.
pub(crate) type Application = RcService<Request, Response<BoxBody>, actix_web::Error>;

/// A path without and with a slash at its end, which people and proxies add.
pub(crate) fn spellings(path: &str) -> Vec<String> {
    match path.trim_end_matches('/') {
        "" => vec!["/".to_owned()],
        path => vec![path.to_owned(), format!("{path}/")],
    }
}
