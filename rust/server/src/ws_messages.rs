//! The messages of one WebSocket as a stream, with a bound of the work of one turn.
//!
//! Not here: decoding of messages (`ws_decoder`).

use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::yield_now;

use crate::allowance::Allowance;
use crate::inflate::Inflater;
use crate::ws_decoder::{Incoming, MessageDecoder};

/// The messages of one connection. Ends with the connection.
pub(crate) struct Messages {
    socket: Box<dyn AsyncRead + Unpin>,
    decoder: MessageDecoder,
    /// Decompressed bytes in this turn.
    inflated: usize,
    /// When the first message of this turn was passed on.
    begun: Option<Instant>,
}

/// Time after which no further message is passed on in one turn. A document that was never seen
/// before takes up to some milliseconds.
const TURN: Duration = Duration::from_millis(1);

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
            begun: None,
        }
    }

    /// Whether the turn has taken what one may take.
    fn is_turn_over(&self) -> bool {
        self.inflated >= TURN_INFLATED_BYTES
            || self.begun.is_some_and(|begun| begun.elapsed() >= TURN)
    }

    fn end_turn(&mut self) {
        self.inflated = 0;
        self.begun = None;
    }

    /// Ends the turn. The next one begins after other tasks, those that other threads wake included:
    /// for these a worker looks rarely while a task wakes itself.
    fn yield_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.end_turn();
        pin!(yield_now()).poll(cx).map(|()| None)
    }
}

impl Stream for Messages {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.is_turn_over() {
            return self.yield_turn(cx);
        }
        for _ in 0..TURN_READS {
            let message = self.decoder.decode();
            self.inflated += self.decoder.take_inflated();
            if let Some(message) = message {
                self.begun.get_or_insert_with(Instant::now);
                return Poll::Ready(Some(message));
            }
            // On the stack, so that an idle connection has no buffer.
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut bytes = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.socket).poll_read(cx, &mut bytes) {
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => {
                    self.decoder.feed(bytes.filled());
                }
                // A broken transport is handled like a closed one.
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    self.end_turn();
                    return Poll::Pending;
                }
            }
        }
        // There may be endless fragments.
        self.yield_turn(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::StreamExt;

    use super::*;

    const MESSAGES: usize = 8;

    /// A text frame of a client, with a mask of zeros.
    fn frame() -> Vec<u8> {
        vec![0x81, 0x82, 0, 0, 0, 0, b'h', b'i']
    }

    #[tokio::test]
    async fn other_tasks_run_between_messages_that_take_long() {
        let received = frame().repeat(MESSAGES);
        let allowance = Rc::new(Allowance::new());
        let mut messages = Messages::new(
            &received,
            Box::new(tokio::io::empty()),
            1_000,
            allowance,
            None,
        );
        let turns = Cell::new(0);
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        };
        let read = async {
            let mut seen = Vec::new();
            while messages.next().await.is_some() {
                seen.push(turns.get());
                std::thread::sleep(TURN);
            }
            seen
        };
        let seen = tokio::select! {
            biased;
            seen = read => seen,
            () = others => Vec::new(),
        };
        assert_eq!(seen.len(), MESSAGES);
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    }
}
