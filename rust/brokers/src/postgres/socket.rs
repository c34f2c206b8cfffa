//! Sockets of replication connections: TCP, TLS and Unix.

#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::endpoints::Endpoint;
use super::fault::Fault;

/// Bytes in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

pub(super) type Socket = Box<dyn Stream>;

/// After this time without an answer of the network a connection ends (also while it is idle).
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Connects to a server; with TLS where it is configured.
pub(super) async fn connect(
    endpoint: &Endpoint,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Socket, Fault> {
    let (name, address) = match endpoint {
        Endpoint::Tcp { name, address } => (name, address),
        #[cfg(unix)]
        Endpoint::Unix { directory, port } => return unix(directory, *port).await,
    };
    let unreachable =
        |error: std::io::Error| Fault::away(format!("{endpoint} cannot be reached: {error}"));
    let mut socket = TcpStream::connect(address).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let settings = socket2::SockRef::from(&socket);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(DEAD_AFTER / 2)
        .with_interval(DEAD_AFTER / 8);
    settings
        .set_tcp_keepalive(&keepalive)
        .map_err(unreachable)?;
    #[cfg(target_os = "linux")]
    settings
        .set_tcp_user_timeout(Some(DEAD_AFTER))
        .map_err(unreachable)?;
    let Some(tls) = tls else {
        return Ok(Box::new(socket));
    };
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(unreachable)?;
    // One byte, so that nothing behind it is taken as what came before TLS.
    if socket.read_u8().await.map_err(unreachable)? != b'S' {
        return Err(Fault::configuration(format!(
            "{endpoint} has no TLS: set ssl = on in postgresql.conf, or write sslmode=disable where \
             the network is trusted"
        )));
    }
    let server = ServerName::try_from(name.clone())
        .map_err(|_| Fault::configuration(format!("{name:?} is no name for TLS")))?;
    let handshake = TlsConnector::from(tls).connect(server, socket);
    match handshake.await {
        Ok(socket) => Ok(Box::new(socket)),
        Err(error) => Err(tls_fault(endpoint, &error)),
    }
}

/// A certificate that is not trusted is a matter of the configuration.
fn tls_fault(endpoint: &Endpoint, error: &std::io::Error) -> Fault {
    let reason = format!("TLS with {endpoint} has failed: {error}");
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(_) => Fault::configuration(reason),
        None => Fault::away(reason),
    }
}

#[cfg(unix)]
async fn unix(directory: &Path, port: u16) -> Result<Socket, Fault> {
    let path = directory.join(format!(".s.PGSQL.{port}"));
    match UnixStream::connect(&path).await {
        Ok(socket) => Ok(Box::new(socket)),
        Err(error) => Err(Fault::away(format!(
            "{} cannot be reached: {error}",
            path.display()
        ))),
    }
}
