//! The type of the actix-web application that answers requests.

use actix_http::{Request, Response};
use actix_service::boxed::RcService;
use actix_web::body::BoxBody;

/// Answers requests.
pub(crate) type Application = RcService<Request, Response<BoxBody>, actix_web::Error>;

/// Returns the paths that mean one path: without and with a trailing slash, which people and proxies add,
/// and below `root`, which some proxies remove; "" is none.
pub(crate) fn spellings(root: &str, path: &str) -> Vec<String> {
    let mut paths = slashed(path);
    if !root.is_empty() {
        paths.extend(slashed(&format!("{root}{path}")));
    }
    paths
}

/// Returns a path without and with a trailing slash.
fn slashed(path: &str) -> Vec<String> {
    match path.trim_end_matches('/') {
        "" => vec!["/".to_owned()],
        path => vec![path.to_owned(), format!("{path}/")],
    }
}
