//! Replaces the messages of library records by texts for users; the original message becomes
//! `detail`.

use super::record::Record;

/// Messages for the records of a library, by its crate.
const TEXTS: [(&str, &str); 11] = [
    ("actix_server", "the listener met a fault"),
    ("actix_http", "a connection of HTTP met a fault"),
    ("actix_web", "a response over HTTP met a fault"),
    ("h2", "a connection of HTTP/2 met a fault"),
    ("rustls", "a connection of TLS met a fault"),
    ("tokio_rustls", "a connection of TLS met a fault"),
    ("hyper_util", "a request for a key set met a fault"),
    ("actix", "an actor met a fault"),
    ("actix_rt", "a thread met a fault"),
    ("tokio", "a thread met a fault"),
    ("mio", "a thread met a fault"),
];

/// Crates whose records are not changed.
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

/// Returns the message for a record of a library; `None`: the record is from this project.
pub(super) fn text(target: &str) -> Option<&'static str> {
    let end = target.find([':', '.']).unwrap_or(target.len());
    let name = &target[..end];
    if OURS.contains(&name) {
        return None;
    }
    let known = TEXTS.iter().find(|(library, _)| *library == name);
    Some(known.map_or("a library met a fault", |(_, text)| text))
}

/// Whether this project logs the same in its own words: a failed accept because of exhausted
/// descriptors, of which there are two a second (`server::descriptors`), and the state of connections to
/// NATS (`bus::link`).
pub(super) fn is_told_otherwise(record: &Record) -> bool {
    let is_accept = record.target == "actix_server::accept";
    let is_nats = record.target.split([':', '.']).next() == Some("async_nats");
    is_nats || (is_accept && record.message.contains("Too many open files"))
}
