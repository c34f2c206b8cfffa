//! Takes a socket that Python has opened.
//!
//! A number of a descriptor says nothing of who closes it. So the socket is sent over a pair of unix
//! sockets (`SCM_RIGHTS`), and what arrives is a descriptor of our own.
//!
//! Not here: systems without them (`handover_elsewhere`).

use std::io::{Error, ErrorKind, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A socket that was sent.
pub type Taken = OwnedFd;

/// The way for one socket.
#[derive(Debug)]
pub struct Handover {
    ours: UnixStream,
    theirs: UnixStream,
}

impl Handover {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// The system has no descriptors left.
    pub fn new() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok(Self { ours, theirs })
    }

    /// The descriptor to send the socket to, together with one byte; it stays open with `self`.
    #[must_use]
    pub fn fileno(&self) -> i32 {
        self.theirs.as_raw_fd()
    }

    /// Receives the socket that was sent.
    ///
    /// # Errors
    ///
    /// None was sent.
    pub fn receive(&self) -> Result<Taken> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        recvmsg(&self.ours, &mut parts, &mut ancillary, RecvFlags::empty())?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut sockets) = message
                && let Some(socket) = sockets.next()
            {
                // Its copy is closed when the process starts another program.
                return socket.try_clone();
            }
        }
        Err(Error::new(ErrorKind::InvalidInput, "no socket was sent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_received_before_something_was_sent() {
        let handover = Handover::new().unwrap();
        assert_eq!(
            handover.receive().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }
}
