//! The HTTP server: binding, workers, routes, end.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc;

use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use runtime::Runtime;
use socket2::{Domain, Protocol, Socket, Type};

use crate::http;
use crate::socket::SocketHandle;
use crate::status;
use crate::tls::{Tls, tcp_stream};
use crate::websocket;
use crate::worker::CurrentWorker;

/// Connections the kernel holds until they are accepted (count).
const BACKLOG: i32 = 4096;

/// How a server listens.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Name or address to bind.
    pub host: String,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
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
        "cannot listen on {host}:{port}: {source}; is another server running there? port=0 picks a free one"
    )]
    Bind {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
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
    address: SocketAddr,
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
        let bound = bind(&config.host, config.port).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, address) = bound.map_err(|source| ServerError::Bind {
            host: config.host.clone(),
            port: config.port,
            source,
        })?;
        let (started, handle) = mpsc::sync_channel(1);
        let factory = runtime.worker_factory();
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
                    if let Some(stream) = tcp_stream(connection) {
                        // Results are small and must not wait for more of them.
                        stream.set_nodelay(true).ok();
                        match SocketHandle::of(stream) {
                            Ok(handle) => {
                                data.insert(handle);
                            }
                            Err(error) => tracing::warn!(%error, "a connection is refused"),
                        }
                    }
                });
            let server = match config.tls {
                Some(tls) => {
                    server.listen_rustls_0_23(listener, rustls::ServerConfig::clone(&tls.0))
                }
                None => server.listen(listener),
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
        let handle = handle.map_err(|source| ServerError::Bind {
            host: address.ip().to_string(),
            port: address.port(),
            source,
        })?;
        Ok(Self { address, handle })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pauses and stops the server; its futures may be awaited on any thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
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

fn bind(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut last_error = None;
    for address in (host, port).to_socket_addrs()? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| std::io::Error::other("the host has no address")))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
