//! TLS of the clients: which servers they trust, and which sessions they resume.
//!
//! Not here: sockets (`driver`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup,
    RootCertStore, SignatureScheme,
};

use crate::options::{OptionError, Options};

/// Kept tickets for each connection (count): a server usually sends two.
const TICKETS_PER_CONNECTION: usize = 2;

/// The TLS settings of all connections.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the options; `host` is the name that the certificate is for.
    pub(crate) fn new(options: &Options, host: &str) -> Result<Self, OptionError> {
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| value("--url", format!("has no host for a certificate: {error}")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| value("--url", format!("cannot use TLS: {error}")))?;
        let mut config = if options.insecure {
            let any = Arc::new(AnyServer(provider));
            let builder = builder.dangerous().with_custom_certificate_verifier(any);
            builder.with_no_client_auth()
        } else {
            let roots = match &options.ca {
                Some(file) => authorities(file)?,
                None => authorities_of_the_system(),
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match options.resume {
            true => Resumption::store(Arc::new(Sessions::new(options.connections))),
            false => Resumption::disabled(),
        };
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// Starts a connection.
    pub(crate) fn connect(&self) -> io::Result<TlsStream> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone());
        let mut connection = connection.map_err(io::Error::other)?;
        // The messages of many subscriptions wait here for the end of the handshake.
        connection.set_buffer_limit(None);
        Ok(TlsStream(Box::new(connection)))
    }
}

fn value(option: &'static str, problem: String) -> OptionError {
    OptionError::Value { option, problem }
}

fn authorities(file: &Path) -> Result<RootCertStore, OptionError> {
    let problem = |error: String| value("--ca", format!("{}: {error}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file);
    let certificates = certificates.map_err(|error| problem(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| problem(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| problem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(problem("has no PEM block `CERTIFICATE`".to_owned()));
    }
    Ok(roots)
}

fn authorities_of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// One connection, without its socket.
pub(crate) struct TlsStream(Box<ClientConnection>);

impl TlsStream {
    /// Whether bytes are to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Whether the session is that of an earlier connection; `None` during the handshake.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        let is_done = !self.0.is_handshaking();
        let kind = self.0.handshake_kind().filter(|_| is_done);
        kind.map(|kind| kind == HandshakeKind::Resumed)
    }

    /// Decrypts the bytes of a read, and passes on their content.
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        mut pass_on: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut plain = [0; 16 * 1024];
        while !bytes.is_empty() {
            self.0.read_tls(&mut bytes)?;
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let length = self.0.reader().read(&mut plain)?;
                pass_on(&plain[..length]);
                left = left.saturating_sub(length.max(1));
            }
        }
        Ok(())
    }

    /// Encrypts `outgoing`, and sends as many bytes as the socket accepts.
    pub(crate) fn send(
        &mut self,
        outgoing: &mut Vec<u8>,
        socket: &mut impl Write,
    ) -> io::Result<()> {
        if !outgoing.is_empty() {
            self.0.writer().write_all(outgoing)?;
            *outgoing = Vec::new();
        }
        while self.0.wants_write() {
            self.0.write_tls(socket)?;
        }
        Ok(())
    }
}

/// Sessions of all connections, for one server: each connection may resume that of any other.
struct Sessions {
    limit: usize,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct SessionState {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    fn new(connections: u32) -> Self {
        Self {
            limit: connections as usize * TICKETS_PER_CONNECTION,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.state().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.state().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.state().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.state().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.state().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut state = self.state();
        if state.tickets.len() >= self.limit {
            state.tickets.pop_front();
        }
        state.tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.state().tickets.pop_back()
    }
}

/// Accepts the certificate of any server, but checks its signatures.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
