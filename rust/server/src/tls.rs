//! TLS of the embedded server, by rustls: its certificate, and the ALPN protocols.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The ALPN name of HTTP/2 (RFC 9113, section 3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";

/// Certificate and key of a server.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<rustls::ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why a certificate cannot be used. Never contains a part of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text of the certificate contains no certificate in PEM format.
    #[error(
        "the certificate holds no PEM block `CERTIFICATE`: use the chain, the server's own first"
    )]
    Certificate,
    /// The text of the key contains no private key in PEM format.
    #[error(
        "the key holds no PEM block of a private key: use an unencrypted one, such as `PRIVATE KEY`"
    )]
    Key,
    /// They do not belong together, or are of an unsupported kind.
    #[error("certificate and key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

impl Tls {
    /// Parses a certificate chain and a key, both in PEM format. Supports TLS 1.2 and 1.3, and
    /// clients that resume a session.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        // Stateless: the client keeps its session, encrypted by a key of this server that lives for
        // some hours. Sessions that the server keeps itself are few.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}
