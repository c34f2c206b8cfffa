//! What the requests of one thread share, and what is known about their clients.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix_http::RequestHead;
use actix_web::http::header;
use runtime::{Client, Responder, Worker, WorkerFactory};

/// The worker of the thread that serves a request.
pub(crate) struct CurrentWorker {
    pub(crate) worker: Rc<Worker>,
    pub(crate) responder: Responder,
}

impl CurrentWorker {
    pub(crate) fn start(factory: &WorkerFactory) -> Self {
        let (worker, responder) = factory.start_worker();
        Self { worker, responder }
    }
}

/// What a request tells about its client; `kind` begins the id of the connection.
pub(crate) fn client_of(request: &RequestHead, kind: &str) -> Client {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    // What HTTP/2 calls `:authority`.
    if let Some(authority) = request.uri.authority()
        && !request.headers.contains_key(header::HOST)
    {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    Client {
        connection_id: format!("{kind}-{}", LAST.fetch_add(1, Relaxed) + 1),
        headers,
        query: request.uri.query().unwrap_or_default().to_owned(),
        peer: request.peer_addr.map(|peer| peer.to_string()),
        ..Client::default()
    }
}
