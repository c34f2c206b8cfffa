//! An HTTP/2 transport that counts frames as they are read, because `h2` processes every frame of a
//! flood.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::allowance::Allowance;
use crate::linger::Linger;
use crate::write_through::write_methods;

/// Size of the client's preface before its first frame (RFC 9113, section 3.4) (bytes).
const PREFACE: usize = 24;

/// Length of the header of a frame (RFC 9113, section 4.1) (bytes).
const HEADER: usize = 9;

/// Shorter data frames count as useless, unless they end their stream (bytes).
const MIN_DATA: usize = 64;

/// Cost of a `SETTINGS` frame in frames: each change of a window affects all streams.
const SETTINGS_COST: u32 = 20;

/// State of a connection, shared by the reader of its frames and the server.
pub(crate) struct Intake {
    pub(crate) allowance: Allowance,
    is_flooded: Cell<bool>,
}

impl Intake {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            allowance: Allowance::new(),
            is_flooded: Cell::new(false),
        })
    }

    /// Whether the client sent too many frames; later input is not passed on.
    pub(crate) fn is_flooded(&self) -> bool {
        self.is_flooded.get()
    }
}

/// The transport.
pub(crate) struct Counted<T> {
    io: T,
    frames: Frames,
    intake: Rc<Intake>,
    /// Set when the server's side is closed.
    linger: Option<Linger>,
}

impl<T> Counted<T> {
    pub(crate) fn new(io: T, intake: Rc<Intake>) -> Self {
        Self {
            io,
            frames: Frames::new(),
            intake,
            linger: None,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.intake.is_flooded() {
            // The server checks this after each read, and ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if this
            .frames
            .read(&buf.filled()[before..], &this.intake.allowance)
        {
            return Poll::Ready(Ok(()));
        }
        this.intake.is_flooded.set(true);
        buf.set_filled(before);
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    write_methods!();

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        // A client that is still sending has to be able to read the reason.
        let linger = this.linger.get_or_insert_with(Linger::new);
        linger.poll(&mut this.io, cx).map(Ok)
    }
}

/// Scans the frames of one connection.
struct Frames {
    /// Bytes until the next header.
    skip: usize,
    header: [u8; HEADER],
    /// Received bytes of the header.
    filled: usize,
}

impl Frames {
    fn new() -> Self {
        Self {
            skip: PREFACE,
            header: [0; HEADER],
            filled: 0,
        }
    }

    /// Counts the frames that begin in the read bytes; false if one is past the limit.
    fn read(&mut self, mut read: &[u8], allowance: &Allowance) -> bool {
        while !read.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(read.len());
                self.skip -= skipped;
                read = &read[skipped..];
                continue;
            }
            let taken = (HEADER - self.filled).min(read.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&read[..taken]);
            self.filled += taken;
            read = &read[taken..];
            if self.filled == HEADER {
                let [a, b, c, kind, flags, ..] = self.header;
                self.filled = 0;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if !is_allowed(kind, flags, self.skip, allowance) {
                    return false;
                }
            }
        }
        true
    }
}

/// Counts a frame with a payload of `length` bytes.
fn is_allowed(kind: u8, flags: u8, length: usize, allowance: &Allowance) -> bool {
    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    const PADDED: u8 = 8;
    match kind {
        // Padding is not useful data.
        DATA if flags & PADDED != 0 => allowance.take(),
        DATA if length >= MIN_DATA || flags & END_STREAM != 0 => true,
        RST_STREAM => allowance.take_unearned(1),
        SETTINGS => allowance.take_unearned(SETTINGS_COST),
        _ => allowance.take(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use h2::Reason;
    use tokio::io::AsyncWriteExt;

    use super::super::unfailing::Unfailing;
    use super::*;

    /// A client that sends a malformed head, and has left before it can be told.
    #[actix_rt::test]
    async fn the_reason_for_an_end_is_known_when_the_client_is_gone() {
        let (server, mut client) = tokio::io::duplex(1024);
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        // A head on stream 2, which a client does not have.
        let head = [0, 0, 1, 1, 4, 0, 0, 0, 2, 0x82];
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        client.write_all(&settings).await.unwrap();
        client.write_all(&head).await.unwrap();
        drop(client);
        let transport = Counted::new(Unfailing::new(server), Intake::new());
        let mut connection = h2::server::handshake(transport).await.unwrap();
        let ended = poll_fn(|cx| connection.poll_accept(cx)).await;
        let error = ended.unwrap().unwrap_err();
        assert!(error.is_go_away() && error.is_library(), "{error}");
        assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    }

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let header = [0, 0, length, kind, flags, 0, 0, 0, 1];
        [&header[..], &vec![0; usize::from(length)]].concat()
    }

    /// Returns how many frames of a flood are accepted, read in pieces of `size` bytes.
    fn taken(frame: &[u8], size: usize) -> usize {
        let (mut frames, allowance) = (Frames::new(), Allowance::new());
        assert!(frames.read(&[b'x'; PREFACE], &allowance));
        let count = 2_000;
        let flood = frame.repeat(count);
        let read = flood
            .chunks(size)
            .take_while(|chunk| frames.read(chunk, &allowance));
        (read.map(<[u8]>::len).sum::<usize>() / frame.len()).min(count)
    }

    #[test]
    fn floods_are_cut_off_however_they_are_read() {
        for size in [1, 7, 100] {
            for (kind, flags, length, at_most) in [
                (0, 0, 0, 1_100),
                (0, 0, 1, 1_100),
                (0, 9, 255, 1_100),
                // Heads of streams that are refused.
                (1, 5, 20, 1_100),
                (2, 0, 5, 1_100),
                (3, 0, 4, 1_100),
                (4, 0, 6, 60),
                (6, 0, 8, 1_100),
                (8, 0, 4, 1_100),
                (9, 0, 0, 1_100),
                (99, 0, 3, 1_100),
            ] {
                let taken = taken(&frame(kind, flags, length), size);
                assert!((40..at_most).contains(&taken), "{kind}: {taken}");
            }
        }
    }

    #[test]
    fn bodies_are_no_flood() {
        for (kind, flags, length) in [(0, 0, 64), (0, 1, 0)] {
            assert_eq!(taken(&frame(kind, flags, length), 1_000), 2_000, "{kind}");
        }
    }
}
