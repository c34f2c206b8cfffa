//! The HTTP server: binding, workers, shutdown.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;

use actix_server::ServerHandle;
use runtime::Runtime;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::descriptors;
use crate::forwarded::TrustedProxies;
use crate::listen::{Address, Endpoint, Listener};
use crate::publish::PublishRoute;
use crate::service::{plain, secured};
use crate::tls::Tls;

/// How a server listens.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address.
    pub endpoint: Endpoint,
    /// What it serves.
    pub site: SiteConfig,
    /// Threads that host connections (count, at least 1).
    pub workers: usize,
    /// Certificate and key; `None`: no TLS.
    pub tls: Option<Tls>,
}

/// What a server serves, on each connection.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// Its paths.
    pub routes: Routes,
    /// Whether messages of WebSockets are compressed for clients that offer it.
    pub compress: bool,
    /// The proxies that tell the addresses of clients.
    pub proxies: TrustedProxies,
    /// Whether each connection is one of these proxies, and begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// The paths of a server, beside those of its status.
#[derive(Debug, Clone)]
pub struct Routes {
    /// Where all paths are served too, without a slash at its end; "": nowhere else.
    pub root: String,
    /// Path of the GraphQL endpoint.
    pub graphql: String,
    /// Where programs publish events; `None`: nowhere.
    pub publish: Option<PublishRoute>,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address could not be bound.
    #[error("cannot listen on {endpoint}: {source}; {}", advice(endpoint, source))]
    Bind {
        /// The configured endpoint.
        endpoint: Endpoint,
        /// The error of the system.
        source: io::Error,
    },
    /// The manager was closed during the start.
    #[error("the manager is closed")]
    Closed,
}

/// Returns the advice for an address that cannot be bound.
fn advice(endpoint: &Endpoint, error: &io::Error) -> &'static str {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, NotFound, PermissionDenied};
    match (endpoint, error.kind()) {
        (Endpoint::Tcp { .. }, AddrInUse) => {
            "another program listens there: end it, or use another `port=`; port=0 picks a free one"
        }
        (Endpoint::Tcp { .. }, AddrNotAvailable) => {
            "this machine has no such address: set `host=` to one of its addresses, or to \"0.0.0.0\" for all"
        }
        (Endpoint::Tcp { .. }, PermissionDenied) => {
            "ports below 1024 need a privilege: use a `port=` of at least 1024"
        }
        (Endpoint::Tcp { .. }, _) => {
            "set `host=` to a name or an address of this machine, such as \"127.0.0.1\", and `port=` to the port"
        }
        (Endpoint::Unix(_), AddrInUse) => {
            "another program listens there, or the file is no socket: end it, or set `unix=` to another path"
        }
        (Endpoint::Unix(_), NotFound) => {
            "the directory is not there: create it, or set `unix=` to another path"
        }
        (Endpoint::Unix(_), PermissionDenied) => {
            "this user may not write there: set `unix=` to another path"
        }
        (Endpoint::Unix(_), _) => {
            "set `unix=` to the path of a file to create, of at most 107 bytes"
        }
        (Endpoint::Given(_), _) => "pass a socket that listens, of TCP or in the file system",
    }
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    address: Address,
    handle: ServerHandle,
    /// The file of a unix socket that it has made.
    file: Option<PathBuf>,
}

impl Server {
    /// Binds and starts the workers. Blocks until they are started.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if the address cannot be bound; then nothing was started.
    pub fn start(runtime: &Runtime, config: ServerConfig) -> Result<Self, ServerError> {
        let refused = |endpoint| move |source| ServerError::Bind { endpoint, source };
        let (listener, address) =
            Listener::bind(&config.endpoint).map_err(refused(config.endpoint.clone()))?;
        let file = match &config.endpoint {
            Endpoint::Unix(path) => Some(path.clone()),
            Endpoint::Tcp { .. } | Endpoint::Given(_) => None,
        };
        let (started, handle) = mpsc::sync_channel(1);
        let (factory, endpoint) = (runtime.worker_factory(), config.endpoint.clone());
        let metrics = factory.state().metrics.clone();
        runtime.run_on_system(move || {
            let site = config.site;
            let server = actix_server::Server::build()
                .workers(config.workers)
                .disable_signals()
                // `Limits.max_connections` is the actual limit: it answers clients instead of
                // leaving them in the backlog.
                .max_concurrent_connections(1 << 20);
            const NAME: &str = "fraiseql-subs";
            let server = match (listener, config.tls) {
                (Listener::Tcp(listener), Some(tls)) => {
                    server.listen(NAME, listener, move || secured(&factory, &site, &tls))
                }
                (Listener::Tcp(listener), None) => {
                    server.listen(NAME, listener, move || plain::<TcpStream>(&factory, &site))
                }
                // A unix socket needs no TLS.
                #[cfg(unix)]
                (Listener::Unix(listener), _) => {
                    server.listen_uds(NAME, listener, move || plain::<UnixStream>(&factory, &site))
                }
            };
            let server = server.map(actix_server::ServerBuilder::run);
            // The receiver waits for this message.
            started
                .send(server.map(|server| {
                    let handle = server.handle();
                    let watch = actix::spawn(descriptors::watch(metrics));
                    actix::spawn(async move {
                        if let Err(error) = server.await {
                            let cause = runtime::causes::of_system(&error);
                            tracing::error!(name: "server.failed", cause, "the server has ended");
                        }
                        watch.abort();
                    });
                    handle
                }))
                .ok();
        });
        let handle = handle.recv().map_err(|_| ServerError::Closed)?;
        let handle = handle.map_err(refused(endpoint))?;
        Ok(Self {
            address,
            handle,
            file,
        })
    }

    /// Returns the bound address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns a handle that pauses and stops the server; its futures may be awaited on any thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            // It may have been removed already.
            std::fs::remove_file(path).ok();
        }
    }
}
