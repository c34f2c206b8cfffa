//! The socket below a connection: how much the kernel takes for it, and its end.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, Socket};

/// What the kernel takes beyond what is on its way (bytes). What waits past it stays in the outbox,
/// where the slow-consumer policy can reach it, and a client that reads slowly is seen to read: the
/// socket can be written again when half of this has left, not when a third of megabytes has.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// A second descriptor of a socket, kept by `on_connect`. A WebSocket gives it up with its
/// handshake: `carrier` has the socket itself.
#[derive(Clone)]
pub(crate) struct SocketHandle(Arc<Socket>);

impl SocketHandle {
    pub(crate) fn of<'s, S>(stream: &'s S) -> std::io::Result<Self>
    where
        SockRef<'s>: From<&'s S>,
    {
        let socket = SockRef::from(stream);
        // Sockets of the file system know no such thing, and their buffers are small.
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(UNSENT_BYTES).ok();
        Ok(Self(Arc::new(socket.try_clone()?)))
    }

    /// Ends it at once, whatever still waits to be written.
    pub(crate) fn shut_down(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(Shutdown::Both).ok();
    }

    /// Has the kernel end it when the network acknowledges nothing of what was written for `time`.
    /// Of a client that answers nothing, as those of HTTP, nothing else tells that it is gone.
    pub(crate) fn end_when_unacknowledged(&self, time: Duration) {
        // Elsewhere, and for sockets of the file system, the system decides.
        #[cfg(target_os = "linux")]
        self.0.set_tcp_user_timeout(Some(time)).ok();
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }
}
