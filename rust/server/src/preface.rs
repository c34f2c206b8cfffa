//! What a trusted proxy sends before the first byte of a client, below TLS: the header of the PROXY
//! protocol. Reads it from the socket, within bounds.
//!
//! Not here: its format (`proxy_header`), and what other proxies tell in headers of HTTP (`forwarded`).

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::forwarded::TrustedProxies;
use crate::proxy_header::{HeaderFault, HeaderReader};

/// Bytes that are read at once. What is behind the header is kept until the client's protocol reads it.
const PIECE_BYTES: usize = 512;

/// The begin of a connection that a proxy has made.
pub(crate) struct Preface {
    /// The client that the proxy tells; `None`: it tells none, and the other end is the proxy itself.
    pub(crate) client: Option<SocketAddr>,
    /// The first bytes of the client.
    pub(crate) first: Bytes,
}

/// Why a connection is closed before its first byte is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefaceError {
    #[error("it is of no trusted proxy: add its address to trusted_proxies")]
    Untrusted,
    #[error(transparent)]
    Header(#[from] HeaderFault),
    #[error("it ended inside its PROXY header")]
    Cut,
    #[error("its PROXY header took longer than Limits.request_timeout")]
    Late,
    /// It has sent nothing, as a look whether something listens does.
    #[error("it ended at once")]
    Empty,
}

/// Reads the header of a connection from `peer`, and no more than a piece of what is behind it.
///
/// # Errors
///
/// [`PrefaceError`]; the connection has to be closed.
pub(crate) async fn read<T: AsyncRead + Unpin>(
    stream: &mut T,
    peer: Option<SocketAddr>,
    proxies: &TrustedProxies,
) -> Result<Preface, PrefaceError> {
    if !proxies.trust(peer) {
        return Err(PrefaceError::Untrusted);
    }
    let mut reader = HeaderReader::default();
    let mut has_begun = false;
    let mut bytes = [0; PIECE_BYTES];
    loop {
        // An error means that the proxy is gone, as the end does.
        let read = stream.read(&mut bytes).await.unwrap_or(0);
        if read == 0 {
            return Err(match has_begun {
                true => PrefaceError::Cut,
                false => PrefaceError::Empty,
            });
        }
        has_begun = true;
        if let Some(header) = reader.read(&bytes[..read])? {
            return Ok(Preface {
                client: header.client,
                first: Bytes::copy_from_slice(&bytes[read - header.rest..read]),
            });
        }
    }
}
