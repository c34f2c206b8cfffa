//! Listening sockets: TCP, a path of the file system, or one that another program has opened.

use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::handover::Taken;

/// Connections the kernel holds until they are accepted (count).
const BACKLOG: i32 = 4096;

/// Endpoint on which a server listens.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A name or address, and a port; 0 lets the system choose.
    Tcp {
        /// Name or address to bind.
        host: String,
        /// Port to bind.
        port: u16,
        /// Whether other processes may also listen there; the system distributes clients among
        /// them.
        reuse_port: bool,
    },
    /// A socket in the file system.
    Unix(PathBuf),
    /// A socket that listens already; other processes may have it too.
    Given(Arc<Taken>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Given(_) => write!(f, "the socket of `listener=`"),
        }
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A bound socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Binds, and returns the bound address.
    pub(crate) fn bind(endpoint: &Endpoint) -> std::io::Result<(Self, Address)> {
        match endpoint {
            Endpoint::Tcp {
                host,
                port,
                reuse_port,
            } => {
                let listener = bind(host, *port, *reuse_port)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(listener), address))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let listener = bind_path(path)?;
                listener.set_nonblocking(true)?;
                Ok((Self::Unix(listener), Address::Unix(path.clone())))
            }
            #[cfg(unix)]
            Endpoint::Given(socket) => Self::of(socket.try_clone()?.into()),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(unsupported("Unix sockets: set `host=` and `port=`")),
            #[cfg(not(unix))]
            Endpoint::Given(socket) => match **socket {},
        }
    }

    /// Takes a socket that listens already.
    #[cfg(unix)]
    fn of(socket: Socket) -> std::io::Result<(Self, Address)> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        if let Some(address) = address.as_socket() {
            return Ok((Self::Tcp(socket.into()), Address::Tcp(address)));
        }
        let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
        Ok((Self::Unix(socket.into()), Address::Unix(path)))
    }
}

fn bind(host: &str, port: u16, reuse_port: bool) -> std::io::Result<TcpListener> {
    let mut last_error = None;
    for address in (host, port).to_socket_addrs()? {
        match listen(address, reuse_port) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| std::io::Error::other("the host has no address")))
}

fn listen(address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Elsewhere it would let other programs take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if reuse_port {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        #[cfg(not(unix))]
        return Err(unsupported("`reuse_port=True`: leave it out"));
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(not(unix))]
fn unsupported(what: &str) -> std::io::Error {
    let text = format!("this system has no {what}");
    std::io::Error::new(std::io::ErrorKind::Unsupported, text)
}

/// Binds a path. Removes a socket that an ended server left behind and at which no process listens.
#[cfg(unix)]
fn bind_path(path: &Path) -> std::io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let refused =
                |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
            if !UnixStream::connect(path).is_err_and(refused) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}
