//! What libraries below us have to say, in our words: theirs are for who works on them, and go
//! along as `detail`.

use super::record::Record;

/// What records of a library are called, by the crate that writes them.
const TEXTS: [(&str, &str); 11] = [
    ("actix_server", "the listener met a fault"),
    ("actix_http", "a connection of HTTP met a fault"),
    ("actix_web", "a response over HTTP met a fault"),
    ("h2", "a connection of HTTP/2 met a fault"),
    ("rustls", "a connection of TLS met a fault"),
    ("tokio_rustls", "a connection of TLS met a fault"),
    ("awc", "a request for a key set met a fault"),
    ("actix", "an actor met a fault"),
    ("actix_rt", "a thread met a fault"),
    ("tokio", "a thread met a fault"),
    ("mio", "a thread met a fault"),
];

/// Whose records speak for themselves.
const OURS: [&str; 9] = [
    "fraiseql_subs",
    "_core",
    "bus",
    "graphql",
    "protocol",
    "python",
    "runtime",
    "security",
    "server",
];

/// The message of a record of a library; `None`: it is one of ours.
pub(super) fn text(target: &str) -> Option<&'static str> {
    let end = target.find([':', '.']).unwrap_or(target.len());
    let name = &target[..end];
    if OURS.contains(&name) {
        return None;
    }
    let known = TEXTS.iter().find(|(library, _)| *library == name);
    Some(known.map_or("a library met a fault", |(_, text)| text))
}

/// Whether it is an attempt of the listener for want of a descriptor: there are two a second, and
/// `server::descriptors` tells once.
pub(super) fn is_told_otherwise(record: &Record) -> bool {
    record.target == "actix_server::accept" && record.message.contains("Too many open files")
}
