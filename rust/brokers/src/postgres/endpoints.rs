//! The addresses of the servers, tried one after another.
//!
//! A server can be gone without a sign: each address has a time limit of its own, so that the next one
//! has its turn. Not here: what a connection is (`sql`, `wire`).

use std::fmt;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;

use tokio::time::timeout;
use tokio_postgres::config::Host;

use super::config::Config;
use super::fault::Fault;

/// The most addresses of a host that are tried (count).
const MAX_ADDRESSES: usize = 16;

/// The address of a server.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    Tcp {
        /// The host in the URL, for which a certificate is verified.
        name: String,
        address: SocketAddr,
    },
    #[cfg(unix)]
    Unix { directory: PathBuf, port: u16 },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, address } if *name == address.ip().to_string() => {
                write!(f, "{address}")
            }
            Self::Tcp { name, address } => write!(f, "{name} ({address})"),
            #[cfg(unix)]
            Self::Unix { directory, port } => write!(f, "{}:{port}", directory.display()),
        }
    }
}

/// Connects to the first address for which `attempt` succeeds, in the order of the hosts. Returns the
/// last error. The time limit of an attempt is `connect_timeout` of the URL, or `Times::connect`.
pub(super) async fn first<T, F>(
    config: &Config,
    mut attempt: impl FnMut(Endpoint) -> F,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let limit = config.connect_timeout();
    let late = |what: &dyn fmt::Display| {
        let seconds = limit.as_secs_f64();
        Fault::away(format!("{what} has not answered within {seconds} seconds"))
    };
    let mut last = Fault::away("no host is named");
    for (host, port) in config.hosts() {
        let endpoints = match timeout(limit, resolve(&host, port)).await {
            Ok(Ok(endpoints)) => endpoints,
            Ok(Err(fault)) => {
                last = fault;
                continue;
            }
            Err(_) => {
                last = late(&"the name server");
                continue;
            }
        };
        for endpoint in endpoints {
            match timeout(limit, Box::pin(attempt(endpoint.clone()))).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(fault)) => last = fault.at(&endpoint),
                Err(_) => last = late(&endpoint),
            }
        }
    }
    Err(last)
}

async fn resolve(host: &Host, port: u16) -> Result<Vec<Endpoint>, Fault> {
    let name = match host {
        Host::Tcp(name) => name,
        #[cfg(unix)]
        Host::Unix(directory) => {
            let directory = directory.clone();
            return Ok(vec![Endpoint::Unix { directory, port }]);
        }
    };
    let unknown = |why: &dyn fmt::Display| Fault::away(format!("{name} cannot be resolved: {why}"));
    let addresses = tokio::net::lookup_host((&**name, port))
        .await
        .map_err(|error| unknown(&error))?;
    let endpoints: Vec<_> = addresses
        .take(MAX_ADDRESSES)
        .map(|address| Endpoint::Tcp {
            name: name.clone(),
            address,
        })
        .collect();
    if endpoints.is_empty() {
        return Err(unknown(&"it has no address"));
    }
    Ok(endpoints)
}
