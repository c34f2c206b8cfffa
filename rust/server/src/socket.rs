//! The socket below an HTTP connection, to end what is stuck in it.

use std::net::Shutdown;
use std::sync::Arc;

use socket2::{SockRef, Socket};

/// A second descriptor of a socket, kept by `on_connect`: the one that a connection needs beside
/// its own.
#[derive(Clone)]
pub(crate) struct SocketHandle(Arc<Socket>);

impl SocketHandle {
    pub(crate) fn of<'s, S>(stream: &'s S) -> std::io::Result<Self>
    where
        SockRef<'s>: From<&'s S>,
    {
        let socket = SockRef::from(stream).try_clone()?;
        Ok(Self(Arc::new(socket)))
    }

    /// Nothing more will be read, so that the socket is closed once everything is written.
    ///
    /// actix-http would otherwise wait for the client to close first, and RFC 6455, section
    /// 7.1.1, has the client wait for the server.
    pub(crate) fn stop_reading(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(Shutdown::Read).ok();
    }

    /// Ends it at once, whatever still waits to be written.
    pub(crate) fn shut_down(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(Shutdown::Both).ok();
    }
}
