//! The messages of one WebSocket as a stream, with a bound of the work of one turn.
//!
//! Not here: decoding of messages (`ws_decoder`).

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::allowance::Allowance;
use crate::inflate::Inflater;
use crate::ws_decoder::{Incoming, MessageDecoder};

/// The messages of one connection. Ends with the connection.
pub(crate) struct Messages {
    socket: Box<dyn AsyncRead + Unpin>,
    decoder: MessageDecoder,
    /// Decompressed bytes in this turn.
    inflated: usize,
}

/// Limit of one read (bytes).
const READ_BYTES: usize = 16 * 1024;

/// Reads of one turn (count).
const TURN_READS: usize = 4;

/// Decompressed bytes of one turn. The message that reaches it is still passed on.
const TURN_INFLATED_BYTES: usize = 64 * 1024;

impl Messages {
    /// Creates the stream; `received`: bytes that arrived with the handshake.
    pub(crate) fn new(
        received: &[u8],
        socket: Box<dyn AsyncRead + Unpin>,
        limit_bytes: usize,
        allowance: Rc<Allowance>,
        inflater: Option<Rc<Inflater>>,
    ) -> Self {
        let mut decoder = MessageDecoder::new(limit_bytes, allowance, inflater);
        decoder.feed(received);
        Self {
            socket,
            decoder,
            inflated: 0,
        }
    }
}

impl Stream for Messages {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.inflated >= TURN_INFLATED_BYTES {
            // A few bytes on the wire take as much time as many: other tasks first.
            self.inflated = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for _ in 0..TURN_READS {
            let message = self.decoder.decode();
            self.inflated += self.decoder.take_inflated();
            if let Some(message) = message {
                return Poll::Ready(Some(message));
            }
            // On the stack, so that an idle connection has no buffer.
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut bytes = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes)) {
                Ok(()) if !bytes.filled().is_empty() => self.decoder.feed(bytes.filled()),
                // A broken transport is handled like a closed one.
                Ok(()) | Err(_) => return Poll::Ready(None),
            }
        }
        self.inflated = 0;
        // Continue in the next turn, after other tasks: there may be endless fragments.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
