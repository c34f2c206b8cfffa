//! The socket below an HTTP connection, to end what is stuck in it.

use std::net::Shutdown;
use std::sync::Arc;

use socket2::{SockRef, Socket};

/// A second descriptor of a socket, kept by `on_connect`. A WebSocket gives it up with its
/// handshake: `carrier` has the socket itself.
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

    /// Ends it at once, whatever still waits to be written.
    pub(crate) fn shut_down(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(Shutdown::Both).ok();
    }
}
