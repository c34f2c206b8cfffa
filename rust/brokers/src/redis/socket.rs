//! Sockets: TCP, TLS and Unix. Each records when the last byte arrived.
//!
//! Not here: the protocol (`link`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::config::Address;
use super::fault::Fault;
use crate::tls::Tls;

/// Bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connected socket that records when bytes arrive.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    activity: Arc<Activity>,
    refusal: Arc<OnceLock<Fault>>,
}

/// The time of the last activity.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds since `start`.
    last: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn note(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        self.last.store(now, Ordering::Relaxed);
    }

    /// The time since the last activity.
    pub(super) fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}

impl Socket {
    /// Connects. Resolves names each time, and tries their addresses in random order.
    pub(super) async fn connect(
        address: &Address,
        tls: Option<&Tls>,
        timeout: Duration,
        activity: Arc<Activity>,
    ) -> Result<Self, Fault> {
        let stream: Box<dyn Stream> = match address {
            #[cfg(unix)]
            Address::Unix(path) => {
                Box::new(UnixStream::connect(path).await.map_err(|error| {
                    Fault::away(format!("cannot connect to {address}: {error}"))
                })?)
            }
            #[cfg(not(unix))]
            Address::Unix(_) => {
                let why = format!("{address} is a Unix socket, which this system does not have");
                return Err(Fault::configuration(why));
            }
            Address::Tcp(host, port) => {
                let tcp = connect_tcp(host, *port, timeout).await.map_err(|error| {
                    Fault::away(format!("cannot connect to {address}: {error}"))
                })?;
                match tls {
                    Some(tls) => Box::new(secure(tcp, host, tls.clone(), timeout / 2).await?),
                    None => Box::new(tcp),
                }
            }
        };
        activity.note();
        Ok(Self {
            stream,
            activity,
            refusal: Arc::default(),
        })
    }

    /// The fault that is set when the server refuses the certificate of this client. With TLS 1.3 that
    /// happens after the handshake.
    pub(super) fn refusal(&self) -> Arc<OnceLock<Fault>> {
        self.refusal.clone()
    }
}

async fn connect_tcp(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    fastrand::shuffle(&mut addresses);
    let share = timeout / (addresses.len() as u32).max(1);
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                // The link detects a lost peer by its silence. Keepalive makes the system release the
                // socket as well.
                socket
                    .set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(30)))?;
                return Ok(stream);
            }
            Ok(Err(failure)) => error = failure,
            Err(_) => error = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        }
    }
    Err(error)
}

async fn secure(
    tcp: TcpStream,
    host: &str,
    tls: Tls,
    timeout: Duration,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    let config = tokio::task::spawn_blocking(move || tls.client_config())
        .await
        .map_err(|_| Fault::away("the engine is stopped"))?
        .map_err(|error| Fault::configuration(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Fault::configuration("the host of the bus is not a name that TLS can verify")
    })?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match tokio::time::timeout(timeout, handshake).await {
        Ok(connected) => connected.map_err(|error| handshake_fault(&error)),
        // A server without TLS reads the handshake as a command, and waits for its end.
        Err(_) => Err(Fault::away(
            "the server has not answered the TLS handshake in time: if it does not speak TLS on this \
             port, write redis:// or another port",
        )),
    }
}

fn handshake_fault(error: &io::Error) -> Fault {
    if let Some(fault) = refused_certificate(error) {
        return fault;
    }
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => Fault::configuration(format!(
            "the certificate of Redis is refused ({why}): name its authority by tls_ca, and connect to \
             a name that is in it"
        )),
        Some(rustls::Error::InvalidMessage(_)) => Fault::configuration(
            "the server does not speak TLS on this port: write redis:// or another port",
        ),
        Some(error) => Fault::configuration(format!("TLS with Redis failed: {error}")),
        None => Fault::away(format!("TLS with Redis failed: {error}")),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns the fault if the server requires another certificate of this client.
fn refused_certificate(error: &io::Error) -> Option<Fault> {
    use rustls::AlertDescription as Alert;
    let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) else {
        return None;
    };
    let is_of_certificate = matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    );
    is_of_certificate.then(|| {
        Fault::configuration(format!(
            "Redis refuses the certificate of this program ({alert:?}): name one that it trusts by \
             tls_certificate and tls_key"
        ))
    })
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.note();
        }
        if let Poll::Ready(Err(error)) = &result
            && let Some(fault) = refused_certificate(error)
        {
            self.refusal.set(fault).ok();
        }
        result
    }
}

impl AsyncWrite for Socket {
    /// Reports bytes as written that a closed peer cannot receive. A server that refuses a connection
    /// says why and closes it; the reason is still to be read, and the end of the connection behind it.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) => Poll::Ready(Ok(bytes.len())),
            result => result,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";

    /// Asserts that the reason of a server is read after it has closed the connection, whatever was
    /// written meanwhile.
    async fn assert_refusal_is_read(
        address: &Address,
        accepted: impl Future<Output = impl AsyncWrite + Unpin>,
    ) {
        let activity = Arc::new(Activity::new());
        let mut socket = Socket::connect(address, None, Duration::from_mins(1), activity)
            .await
            .unwrap();
        let mut server = accepted.await;
        server.write_all(REFUSAL).await.unwrap();
        drop(server);
        for _ in 0..3 {
            socket.write_all(b"HELLO 3\r\n").await.unwrap();
            socket.flush().await.unwrap();
        }
        let mut reason = vec![0; REFUSAL.len()];
        socket.read_exact(&mut reason).await.unwrap();
        assert_eq!(reason, REFUSAL);
        assert!(!matches!(socket.read(&mut [0; 8]).await, Ok(1..)));
    }

    #[tokio::test]
    async fn the_reason_of_a_closed_unix_connection_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redis.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let accepted = async { listener.accept().await.unwrap().0 };
        assert_refusal_is_read(&Address::Unix(path), accepted).await;
    }

    #[tokio::test]
    async fn the_reason_of_a_closed_tcp_connection_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = async { listener.accept().await.unwrap().0 };
        let address = Address::Tcp("127.0.0.1".into(), port);
        assert_refusal_is_read(&address, accepted).await;
    }
}
