//! The HTTP server: binding, workers, routes, end.

use std::sync::mpsc;

use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use runtime::Runtime;
use tokio::net::UnixStream;

use crate::http;
use crate::listen::{Address, Endpoint, Listener};
use crate::socket::SocketHandle;
use crate::status;
use crate::tls::{Tls, tcp_stream};
use crate::websocket;
use crate::worker::CurrentWorker;

/// How a server listens.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where.
    pub endpoint: Endpoint,
    /// Path of the GraphQL endpoint.
    pub path: String,
    /// Threads that host connections (count, at least 1).
    pub workers: usize,
    /// Certificate and key; `None`: no TLS.
    pub tls: Option<Tls>,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address could not be bound.
    #[error(
        "cannot listen on {endpoint}: {source}; is another server running there? port=0 picks a free one"
    )]
    Bind {
        /// As configured.
        endpoint: Endpoint,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path does not start with a slash.
    #[error("path `{0}` must start with `/`, such as `/graphql`")]
    Path(String),
    /// The manager was closed meanwhile.
    #[error("the manager is closed")]
    Closed,
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    address: Address,
    handle: ServerHandle,
}

impl Server {
    /// Binds and starts the workers. Blocks until they are started.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when the address cannot be bound; nothing was started then.
    pub fn start(runtime: &Runtime, config: ServerConfig) -> Result<Self, ServerError> {
        if !config.path.starts_with('/') {
            return Err(ServerError::Path(config.path));
        }
        let refused = |endpoint| move |source| ServerError::Bind { endpoint, source };
        let (listener, address) =
            Listener::bind(&config.endpoint).map_err(refused(config.endpoint.clone()))?;
        let (started, handle) = mpsc::sync_channel(1);
        let (factory, endpoint) = (runtime.worker_factory(), config.endpoint.clone());
        runtime.run_on_system(move || {
            let path = config.path;
            let app = move || {
                App::new()
                    .app_data(web::Data::new(CurrentWorker::start(&factory)))
                    .route(&path, web::to(graphql))
                    .configure(status::routes)
            };
            let server = HttpServer::new(app)
                .workers(config.workers)
                .disable_signals()
                // A client that closes its side has left, and its operations end at once.
                .h1_allow_half_closed(false)
                // `Limits.max_connections` is the limit, and it answers instead of leaving
                // clients in the backlog.
                .max_connections(1 << 20)
                .on_connect(|connection, data| {
                    let handle = if let Some(stream) = tcp_stream(connection) {
                        // Results are small and must not wait for more of them.
                        stream.set_nodelay(true).ok();
                        SocketHandle::of(stream)
                    } else if let Some(stream) = connection.downcast_ref::<UnixStream>() {
                        SocketHandle::of(stream)
                    } else {
                        return;
                    };
                    match handle {
                        Ok(handle) => {
                            data.insert(handle);
                        }
                        Err(error) => tracing::warn!(%error, "a connection is refused"),
                    }
                });
            let server = match (listener, config.tls) {
                (Listener::Tcp(listener), Some(tls)) => {
                    server.listen_rustls_0_23(listener, rustls::ServerConfig::clone(&tls.0))
                }
                (Listener::Tcp(listener), None) => server.listen(listener),
                // Nothing passes a network there.
                (Listener::Unix(listener), _) => server.listen_uds(listener),
            };
            let server = server.map(HttpServer::run);
            // The receiver waits for exactly this.
            started
                .send(server.map(|server| {
                    let handle = server.handle();
                    actix::spawn(async move {
                        if let Err(error) = server.await {
                            tracing::error!(%error, "the server ended with an error");
                        }
                    });
                    handle
                }))
                .ok();
        });
        let handle = handle.recv().map_err(|_| ServerError::Closed)?;
        let handle = handle.map_err(refused(endpoint))?;
        Ok(Self { address, handle })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Pauses and stops the server; its futures may be awaited on any thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // Somebody may have removed it already.
            std::fs::remove_file(path).ok();
        }
    }
}

/// Serves the GraphQL path, whichever way a client speaks.
async fn graphql(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::Data<CurrentWorker>,
) -> Result<HttpResponse, actix_web::Error> {
    if request.headers().contains_key(header::UPGRADE) {
        websocket::upgrade(&request, payload, &worker)
    } else {
        Ok(http::answer(&request, payload, &worker).await)
    }
}
