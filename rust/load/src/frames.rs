//! Frames of RFC 6455 for a client, without sockets.
//!
//! [`FrameReader`] receives bytes from a socket, cut at any position, and passes on whole messages.
//! It copies no bytes if a read ends with the end of a frame.
//! Not here: handling of messages (`scan`, `client`).

/// A longer message ends the connection (bytes); a server that sends one is broken.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The bit of a compressed message (RFC 7692).
const RSV1: u8 = 0x40;
const WHOLE_TEXT: u8 = 0x80 | TEXT;
const WHOLE_BINARY: u8 = 0x80 | BINARY;

/// A message or control frame of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A complete text or binary message.
    Message(&'a [u8]),
    /// The compressed payload of such a message.
    Compressed(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// The close frame, with its code, 1005 if it has none, and its reason.
    Close(u16, &'a [u8]),
}

/// A violation of the protocol by a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// RFC 6455, section 5.1.
    #[error("the server sent a masked frame")]
    Masked,
    /// Bits of no extension that was offered, or RSV1 elsewhere than in an unfragmented message.
    #[error("the server sent a frame with reserved bits")]
    Reserved,
    /// Opcodes 3 to 7 and 11 to 15.
    #[error("the server sent a frame of unknown opcode {0}")]
    Opcode(u8),
    /// A continuation without a message, or a new message inside another.
    #[error("the server sent fragments out of order")]
    Fragments,
    /// Over 64 MiB.
    #[error("the server sent a message of over 64 MiB")]
    TooLong,
}

/// Joins the frames of one connection to messages.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// The beginning of an incomplete frame.
    rest: Vec<u8>,
    /// The fragments of a message so far.
    fragments: Option<Vec<u8>>,
}

struct Header {
    opcode: u8,
    last: bool,
    compressed: bool,
    start: usize,
    end: usize,
}

impl FrameReader {
    /// Reads the next bytes of the stream and calls `take` for each message that they complete.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the stream violates RFC 6455; no further bytes can be read.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Incoming<'_>),
    ) -> Result<(), FrameError> {
        if self.rest.is_empty() {
            let used = frames(&mut self.fragments, bytes, &mut take)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            self.rest.extend_from_slice(bytes);
            let used = frames(&mut self.fragments, &self.rest, &mut take)?;
            self.rest.drain(..used);
        }
        if self.rest.is_empty() {
            // Releases the buffer, as there may be thousands of connections.
            self.rest = Vec::new();
        }
        Ok(())
    }
}

/// Reads the complete frames at the beginning of `bytes`; returns their length in bytes.
fn frames(
    fragments: &mut Option<Vec<u8>>,
    bytes: &[u8],
    take: &mut impl FnMut(Incoming<'_>),
) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some(header) = header(&bytes[used..])? {
        let Some(payload) = bytes[used..].get(header.start..header.end) else {
            break;
        };
        used += header.end;
        match (header.opcode, &mut *fragments) {
            (TEXT | BINARY, None) if header.compressed => take(Incoming::Compressed(payload)),
            (TEXT | BINARY, None) if header.last => take(Incoming::Message(payload)),
            (TEXT | BINARY, None) => *fragments = Some(payload.to_vec()),
            (CONTINUATION, Some(message)) => {
                if message.len() + payload.len() > MAX_MESSAGE_BYTES {
                    return Err(FrameError::TooLong);
                }
                message.extend_from_slice(payload);
                if header.last {
                    take(Incoming::Message(message));
                    *fragments = None;
                }
            }
            (PING, _) => take(Incoming::Ping(payload)),
            (PONG, _) => {}
            (CLOSE, _) => match payload {
                [high, low, reason @ ..] => {
                    take(Incoming::Close(u16::from_be_bytes([*high, *low]), reason));
                }
                _ => take(Incoming::Close(1005, b"")),
            },
            (TEXT | BINARY | CONTINUATION, _) => return Err(FrameError::Fragments),
            (opcode, _) => return Err(FrameError::Opcode(opcode)),
        }
    }
    Ok(used)
}

/// Returns the header at the beginning of `bytes`, if it is complete.
fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let compressed = match first & 0x70 {
        0 => false,
        RSV1 if matches!(first & 0x8F, WHOLE_TEXT | WHOLE_BINARY) => true,
        _ => return Err(FrameError::Reserved),
    };
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (start, length) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (2, u64::from(length)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_BYTES {
        return Err(FrameError::TooLong);
    }
    Ok(Some(Header {
        opcode: first & 0x0F,
        last: first & 0x80 != 0,
        compressed,
        start,
        end: start + length,
    }))
}

/// Appends a frame of a client.
///
/// The mask is zero: masks protect proxies from pages in a browser, and there is neither.
fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Appends a text message.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_frame(out, TEXT, text);
}

/// Appends the answer to a ping.
pub(crate) fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_frame(out, PONG, payload);
}

/// Appends a close frame with a code.
pub(crate) fn put_close(out: &mut Vec<u8>, code: u16) {
    put_frame(out, CLOSE, &code.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An owned [`Incoming`].
    #[derive(Debug, Clone, PartialEq)]
    enum Seen {
        Message(Vec<u8>),
        Ping(Vec<u8>),
        Close(u16, Vec<u8>),
    }

    fn see(seen: &mut Vec<Seen>) -> impl FnMut(Incoming<'_>) {
        |incoming| {
            seen.push(match incoming {
                Incoming::Message(bytes) => Seen::Message(bytes.to_vec()),
                Incoming::Compressed(bytes) => panic!("{bytes:x?}"),
                Incoming::Ping(bytes) => Seen::Ping(bytes.to_vec()),
                Incoming::Close(code, reason) => Seen::Close(code, reason.to_vec()),
            });
        }
    }

    fn server_frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
        match payload.len() {
            length @ ..126 => frame.push(length as u8),
            length @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    /// Frames that a server may send: a message in fragments with pings in between, or a pong.
    fn sent() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
        let payload = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..40),
            2 => prop::collection::vec(any::<u8>(), 120..400),
            1 => Just(vec![b'x'; 70_000]),
        ];
        let pieces = prop::collection::vec((payload, any::<bool>()), 1..4);
        prop::collection::vec(pieces, 0..6).prop_map(|messages| {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for pieces in messages {
                let (mut message, last) = (Vec::new(), pieces.len() - 1);
                for (number, (piece, pinged)) in pieces.into_iter().enumerate() {
                    let opcode = if number == 0 { TEXT } else { CONTINUATION };
                    bytes.extend(server_frame(opcode, number == last, &piece));
                    message.extend(piece);
                    if pinged && number < last {
                        bytes.extend(server_frame(PING, true, b"are you there"));
                        bytes.extend(server_frame(PONG, true, b""));
                        expected.push(Seen::Ping(b"are you there".to_vec()));
                    }
                }
                expected.push(Seen::Message(message));
            }
            (bytes, expected)
        })
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_the_stream_is_cut(
            (bytes, expected) in sent(),
            cuts in prop::collection::vec(1_usize..300, 0..200),
        ) {
            let mut reader = FrameReader::default();
            let mut seen = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                reader.read(now, see(&mut seen)).unwrap();
                rest = later;
            }
            reader.read(rest, see(&mut seen)).unwrap();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FrameReader::default().read(&bytes, |_| ());
        }
    }

    #[test]
    fn single_bytes_make_messages() {
        let mut reader = FrameReader::default();
        let mut seen = Vec::new();
        let mut bytes = server_frame(TEXT, true, &[b'y'; 300]);
        bytes.extend(server_frame(CLOSE, true, b"\x11\x30too slow"));
        for byte in bytes {
            reader.read(&[byte], see(&mut seen)).unwrap();
        }
        let close = Seen::Close(4400, b"too slow".to_vec());
        assert_eq!(seen, [Seen::Message(vec![b'y'; 300]), close]);
    }

    #[test]
    fn invalid_frames_of_a_server_are_errors() {
        let read = |bytes: &[u8]| FrameReader::default().read(bytes, |_| ());
        assert_eq!(read(&[0x81, 0x80]), Err(FrameError::Masked));
        for first in [0x41, 0xA1, 0x91, 0xC0, 0xC9] {
            assert_eq!(read(&[first, 0x00]), Err(FrameError::Reserved));
        }
        assert_eq!(read(&[0x83, 0x00]), Err(FrameError::Opcode(3)));
        assert_eq!(read(&[0x80, 0x00]), Err(FrameError::Fragments));
        assert_eq!(read(&[0x01, 0, 0x01, 0]), Err(FrameError::Fragments));
        let huge = [0x81, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(read(&huge), Err(FrameError::TooLong));
    }
}
