//! The type of the actix-web application that answers requests.

use actix_http::{Request, Response};
use actix_service::boxed::RcService;
use actix_web::body::BoxBody;

/// Answers requests.
pub(crate) type Application = RcService<Request, Response<BoxBody>, actix_web::Error>;

/// Returns a path without and with a trailing slash, which people and proxies add.
pub(crate) fn spellings(path: &str) -> Vec<String> {
    match path.trim_end_matches('/') {
        "" => vec!["/".to_owned()],
        path => vec![path.to_owned(), format!("{path}/")],
    }
}
