//! Compresses messages for clients that have agreed on permessage-deflate (RFC 7692).
//!
//! Many clients receive the same response, so it is compressed once for all of them: the bytes
//! before and after it, which differ, are put around the compressed response without being
//! compressed themselves. Each part ends at a byte, so the parts need no other joint.
//! Not here: frames (`ws_encoder`), the agreement (`ws_extension`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use protocol::FramedMessage;

use crate::ws_extension::Window;

/// Shorter responses are not compressed (bytes): it saves little, and takes time.
const MIN_BYTES: usize = 1024;

/// Longer responses are not compressed (bytes), because other clients would wait.
const MAX_BYTES: usize = 256 * 1024;

/// The level of zlib: the first with codes of its own for each block.
const LEVEL: u32 = 2;

/// Compressed responses that are kept for further clients (count), and their size with that of the
/// responses themselves (bytes). The newest is kept in any case.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1024 * 1024;

/// Longest block that is not compressed (bytes), and what precedes each: RFC 1951, section 3.2.4.
const STORED_BYTES: usize = 0xffff;
const STORED_HEADER: usize = 5;

/// The compressors of a worker, and what they have compressed.
#[derive(Default)]
pub(crate) struct Deflaters {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// One for each window, made for the first message.
    streams: [Option<Compress>; Window::ALL.len()],
    kept: VecDeque<Kept>,
    /// Size of what is kept (bytes).
    kept_bytes: usize,
    /// Where compressors write.
    buffer: Vec<u8>,
}

/// A response that was compressed.
struct Kept {
    response: Bytes,
    /// For each window, once a client with it has received the response.
    deflated: [Option<Outcome>; Window::ALL.len()],
}

/// What became of a response; `None`: it did not become smaller.
type Outcome = Option<Bytes>;

impl Kept {
    fn len(&self) -> usize {
        let deflated = self.deflated.iter().flatten().flatten();
        self.response.len() + deflated.map(Bytes::len).sum::<usize>()
    }

    /// Whether it is this very response. As it is kept, no other one has its address.
    fn is_of(&self, response: &Bytes) -> bool {
        self.response.as_ptr() == response.as_ptr() && self.response.len() == response.len()
    }
}

/// Compresses the messages of one client.
#[derive(Clone)]
pub(crate) struct Deflate {
    deflaters: Rc<Deflaters>,
    window: Window,
}

/// A compressed message.
pub(crate) struct Deflated<'m> {
    before: &'m [u8],
    response: Bytes,
    after: &'m [u8],
}

impl Deflate {
    pub(crate) fn new(deflaters: Rc<Deflaters>, window: Window) -> Self {
        Self { deflaters, window }
    }

    /// Compresses a message; `None`: it is sent as it is.
    pub(crate) fn compress<'m>(&self, message: &'m FramedMessage) -> Option<Deflated<'m>> {
        let [before, response, after] = message.pieces();
        if !(MIN_BYTES..=MAX_BYTES).contains(&response.len()) {
            return None;
        }
        let mut state = self.deflaters.state.borrow_mut();
        let deflated = Deflated {
            before,
            response: state.deflated(response, self.window)?,
            after,
        };
        (deflated.len() < message.len()).then_some(deflated)
    }
}

impl State {
    /// Returns the compressed response; `None`: it did not become smaller.
    fn deflated(&mut self, response: &Bytes, window: Window) -> Outcome {
        let place = self.kept.iter().rposition(|kept| kept.is_of(response));
        if let Some(known) = place.and_then(|at| self.kept[at].deflated[window.index()].as_ref()) {
            return known.clone();
        }
        let deflated = self.deflate(response, window);
        if let Some(at) = place {
            self.kept_bytes += deflated.as_ref().map_or(0, Bytes::len);
            self.kept[at].deflated[window.index()] = Some(deflated.clone());
            self.drop_oldest();
        } else if !response.is_unique() {
            // The response of one client alone is not kept.
            let mut of_windows = [const { None }; Window::ALL.len()];
            of_windows[window.index()] = Some(deflated.clone());
            self.keep(Kept {
                response: response.clone(),
                deflated: of_windows,
            });
        }
        deflated
    }

    fn deflate(&mut self, response: &[u8], window: Window) -> Outcome {
        let stream = self.streams[window.index()].get_or_insert_with(|| {
            let level = Compression::new(LEVEL);
            Compress::new_with_window_bits(level, false, window.bits())
        });
        stream.reset();
        self.buffer.clear();
        self.buffer.reserve_exact(response.len());
        let flush = FlushCompress::Sync;
        stream
            .compress_vec(response, &mut self.buffer, flush)
            .ok()?;
        // With room left, the flush is complete. Without, nothing is saved.
        let is_whole =
            stream.total_in() == response.len() as u64 && self.buffer.len() < response.len();
        is_whole.then(|| Bytes::copy_from_slice(&self.buffer))
    }

    fn keep(&mut self, new: Kept) {
        self.kept_bytes += new.len();
        self.kept.push_back(new);
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while let Some(oldest) = self.kept.front()
            && self.kept.len() > 1
            && (self.kept.len() > KEPT
                || self.kept_bytes > KEPT_BYTES
                || oldest.response.is_unique())
        {
            self.kept_bytes -= oldest.len();
            self.kept.pop_front();
        }
    }
}

impl Deflated<'_> {
    /// Returns its length (bytes).
    pub(crate) fn len(&self) -> usize {
        stored_len(self.before) + self.response.len() + stored_len(self.after) + 1
    }

    /// Writes what precedes the response.
    pub(crate) fn write_before(&self, bytes: &mut BytesMut) {
        write_stored(self.before, bytes);
    }

    /// Returns the response, which other clients share.
    pub(crate) fn response(&self) -> &Bytes {
        &self.response
    }

    /// Writes what follows the response, and the end of the message (section 7.2.1): the begin of
    /// an empty block, whose other bytes are not sent.
    pub(crate) fn write_after(&self, bytes: &mut BytesMut) {
        write_stored(self.after, bytes);
        bytes.put_u8(0);
    }
}

fn stored_len(piece: &[u8]) -> usize {
    piece.len() + piece.len().div_ceil(STORED_BYTES) * STORED_HEADER
}

/// Writes blocks that are not compressed.
fn write_stored(piece: &[u8], bytes: &mut BytesMut) {
    for block in piece.chunks(STORED_BYTES) {
        let length = block.len() as u16;
        bytes.put_u8(0);
        bytes.put_u16_le(length);
        bytes.put_u16_le(!length);
        bytes.put_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::Inflater;
    use protocol::{OperationId, Session, Subprotocol};

    fn client(deflaters: &Rc<Deflaters>, window: Window) -> Deflate {
        Deflate::new(deflaters.clone(), window)
    }

    fn orders(count: usize) -> Bytes {
        let orders: String = (0..count)
            .map(|n| format!(r#"{{"id":{},"status":"PAID"}},"#, n * 7919))
            .collect();
        format!(r#"{{"data":{{"orders":[{orders}null]}}}}"#).into()
    }

    /// Bytes of which none can be saved.
    fn noise(size: usize) -> Bytes {
        let mut state = 1_u64;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..size).map(next).collect()
    }

    fn bytes_of(deflated: &Deflated<'_>) -> BytesMut {
        let mut bytes = BytesMut::new();
        deflated.write_before(&mut bytes);
        bytes.extend_from_slice(deflated.response());
        deflated.write_after(&mut bytes);
        assert_eq!(bytes.len(), deflated.len());
        bytes
    }

    fn framed(id: &str, response: &Bytes) -> FramedMessage {
        let framing = Session::websocket(Subprotocol::TransportWs).framing(&OperationId::from(id));
        framing.frame(response, None)
    }

    fn kept(deflaters: &Deflaters) -> usize {
        let state = deflaters.state.borrow();
        let sizes = state.kept.iter().map(Kept::len);
        assert_eq!(sizes.sum::<usize>(), state.kept_bytes);
        state.kept.len()
    }

    #[test]
    fn a_message_is_read_as_it_was() {
        let deflaters = Rc::default();
        for window in Window::ALL {
            for id in [String::from("1"), "x".repeat(200_000)] {
                for count in [40, 400, 4_000] {
                    let message = framed(&id, &orders(count));
                    let client = client(&deflaters, window);
                    let deflated = client.compress(&message).unwrap();
                    let bytes = bytes_of(&deflated);
                    assert!(bytes.len() < message.len() / 2 + id.len());
                    let read = Inflater::default().inflate(&bytes, 1 << 20).unwrap();
                    assert_eq!(read, message.clone().into_bytes());
                }
            }
        }
    }

    #[test]
    fn clients_share_a_compressed_response() {
        let deflaters = Rc::default();
        let response = orders(40);
        let compressed = |id, window| {
            let message = framed(id, &response);
            let deflated = client(&deflaters, window).compress(&message).unwrap();
            deflated.response().clone()
        };
        let first = compressed("1", Window::Full);
        assert_eq!(compressed("2", Window::Full).as_ptr(), first.as_ptr());
        let small = compressed("3", Window::Small);
        assert_ne!(small.as_ptr(), first.as_ptr());
        assert_eq!(compressed("4", Window::Small).as_ptr(), small.as_ptr());
        assert_eq!(compressed("5", Window::Full).as_ptr(), first.as_ptr());
        assert_eq!(kept(&deflaters), 1);
    }

    #[test]
    fn as_many_responses_are_kept_for_clients_with_different_windows() {
        let deflaters = Rc::default();
        let responses: Vec<Bytes> = (0..KEPT).map(|n| orders(40 + n % 5)).collect();
        let addresses = || -> Vec<*const u8> {
            let of_all = Window::ALL.iter().flat_map(|window| {
                responses.iter().map(|response| {
                    let message = framed("1", response);
                    let deflated = client(&deflaters, *window).compress(&message);
                    deflated.unwrap().response().as_ptr()
                })
            });
            of_all.collect()
        };
        assert_eq!(addresses(), addresses());
    }

    #[test]
    fn short_long_and_random_responses_are_sent_as_they_are() {
        let deflaters = Rc::default();
        let client = client(&deflaters, Window::Full);
        for response in [
            Bytes::from("a".repeat(MIN_BYTES - 1)),
            Bytes::from("a".repeat(MAX_BYTES + 1)),
            noise(20_000),
        ] {
            assert!(client.compress(&framed("1", &response)).is_none());
        }
        for size in [MIN_BYTES, MAX_BYTES] {
            let message = framed("1", &"a".repeat(size).into());
            assert!(client.compress(&message).is_some());
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_up_when_all_have_it() {
        let deflaters = Rc::default();
        let client = client(&deflaters, Window::Full);
        let alone = framed("1", &orders(40));
        assert!(client.compress(&alone).is_some());
        assert_eq!(kept(&deflaters), 0);
        let send = |responses: &[Bytes]| {
            for response in responses {
                assert!(client.compress(&framed("1", response)).is_some());
            }
            kept(&deflaters)
        };
        let small: Vec<Bytes> = (0..3 * KEPT).map(|n| orders(40 + n % 5)).collect();
        assert_eq!(send(&small), KEPT);
        let large: Vec<Bytes> = (0..20).map(|n| orders(6_000 + n)).collect();
        assert!((1..KEPT_BYTES / large[0].len() + 1).contains(&send(&large)));
        drop(large);
        assert_eq!(send(&small[..1]), 1);
    }
}
