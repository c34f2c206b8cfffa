//! The TLS settings of a link, and the configuration that follows from them.
//!
//! Not here: sockets and handshakes, which differ between engines.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Settings of TLS. Files are read again for each connection. The certificate of the server is always
/// verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that may sign the server's certificate, as PEM; `None`: those of the system.
    pub authorities: Option<PathBuf>,
    /// The certificate of this client and its key, as PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The settings cannot be used. The text never contains a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path} cannot be read as PEM: {reason}", path = .path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the system has no authorities for TLS: name a file by tls_ca")]
    NoAuthorities,
    #[error("tls_certificate and tls_key cannot be used: {0}")]
    Identity(rustls::Error),
    #[error("reading the files of TLS was interrupted")]
    Interrupted,
    #[error("TLS cannot be used: {0}")]
    Unsupported(rustls::Error),
}

impl Tls {
    /// Reads the files, on a thread that may block.
    pub(crate) async fn load(&self) -> Result<ClientConfig, TlsError> {
        let tls = self.clone();
        let read = tokio::task::spawn_blocking(move || tls.client_config());
        read.await.unwrap_or(Err(TlsError::Interrupted))
    }

    /// Reads the files. Blocks the thread for a moment.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unsupported)?
            .with_root_certificates(self.roots()?);
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
        builder
            .with_client_auth_cert(chain, secret)
            .map_err(TlsError::Identity)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.authorities else {
            // Some of the system's certificates may be of an unknown kind.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() {
                Err(TlsError::NoAuthorities)
            } else {
                Ok(roots)
            };
        };
        let found = certificates(path)?;
        if found.is_empty() {
            return Err(unreadable(path, "it has no certificate"));
        }
        for certificate in found {
            roots
                .add(certificate)
                .map_err(|error| unreadable(path, error))?;
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, reason: impl Display) -> TlsError {
    TlsError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
