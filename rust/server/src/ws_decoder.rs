//! Decodes WebSocket messages (RFC 6455): joins frames, checks text, bounds sizes.
//!
//! Not here: the bytes of a frame's header (`ws_frame`), decompressing (`inflate`), handling of
//! messages (`runtime`).

use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use protocol::Close;

use crate::allowance::Allowance;
use crate::causes;
use crate::inflate::{InflateError, Inflater};
use crate::ws_frame::{FrameHeader, OpCode, ReadHeader, unmask};

/// One message from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Text(ByteString),
    Binary,
    Ping(Bytes),
    Pong,
    /// The client closes, or has answered the server's close.
    Close,
    /// The client broke a rule; the close for the client. Of its later input only a close is
    /// handled.
    Violation(Close),
}

/// Shorter fragments are counted, unless they are the last of their message (bytes).
const MIN_FRAGMENT: u64 = 64;

/// A message may become so many times larger by decompression. Past that it also takes from the
/// allowance: one for each `BYTES_OF_ONE`.
const FREE_FACTOR: usize = 16;
const BYTES_OF_ONE: usize = 16 * 1024;

/// Decodes received bytes into messages.
pub(crate) struct MessageDecoder {
    allowance: Rc<Allowance>,
    limit_bytes: usize,
    /// Decompresses messages, if that was agreed.
    inflater: Option<Rc<Inflater>>,
    /// Decompressed bytes since the last [`Self::take_inflated`].
    inflated: usize,
    buffer: BytesMut,
    /// Whether a message has begun and not ended; after a violation its fragments are not kept.
    is_fragmented: bool,
    /// The fragments of a message so far.
    fragments: Option<Fragments>,
    state: DecoderState,
    /// Bytes of a frame past the limit that are not received yet (count).
    skip: u64,
    /// Whether the end was reported.
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecoderState {
    Reading,
    /// A rule was broken; frames can still be decoded.
    Failed,
    /// Frame boundaries are lost; further input is dropped.
    Lost,
}

struct Fragments {
    is_text: bool,
    is_compressed: bool,
    bytes: BytesMut,
}

impl MessageDecoder {
    pub(crate) fn new(
        limit_bytes: usize,
        allowance: Rc<Allowance>,
        inflater: Option<Rc<Inflater>>,
    ) -> Self {
        Self {
            allowance,
            limit_bytes,
            inflater,
            inflated: 0,
            buffer: BytesMut::new(),
            is_fragmented: false,
            fragments: None,
            state: DecoderState::Reading,
            skip: 0,
            is_over: false,
        }
    }

    /// Returns the decompressed bytes since the last call.
    pub(crate) fn take_inflated(&mut self) -> usize {
        std::mem::take(&mut self.inflated)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.state == DecoderState::Lost {
            return;
        }
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        self.buffer.extend_from_slice(&bytes[skipped..]);
    }

    pub(crate) fn decode(&mut self) -> Option<Incoming> {
        let message = self.decode_next();
        if self.buffer.is_empty() {
            // An idle client has no buffer.
            self.buffer = BytesMut::new();
        }
        message
    }

    fn decode_next(&mut self) -> Option<Incoming> {
        loop {
            if self.state == DecoderState::Lost {
                // The client's close could not be recognised: RFC 6455, section 7.1.7, closes the
                // socket without it.
                let is_told = std::mem::replace(&mut self.is_over, true);
                return (!is_told).then_some(Incoming::Close);
            }
            let has_failed = self.state == DecoderState::Failed;
            match self.decode_message() {
                Ok(Some(message)) if !has_failed || message == Incoming::Close => {
                    return Some(message);
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(close) => {
                    self.fragments = None;
                    if self.state == DecoderState::Reading {
                        self.state = DecoderState::Failed;
                    }
                    if !has_failed {
                        return Some(Incoming::Violation(close));
                    }
                }
            }
        }
    }

    fn decode_message(&mut self) -> Result<Option<Incoming>, Close> {
        loop {
            let read = FrameHeader::read(&self.buffer);
            let (ReadHeader::Begun(header)
            | ReadHeader::Measured(header)
            | ReadHeader::Whole(header)) = read
            else {
                return Ok(None);
            };
            self.check(&header)?;
            if let ReadHeader::Begun(_) = read {
                return Ok(None);
            }
            self.check_length(&header)?;
            if let ReadHeader::Measured(_) = read {
                return Ok(None);
            }
            // The length is below the limit, which is a `usize`.
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            if self.buffer.len() - header.size < length {
                // Memory is not reserved for announced bytes.
                return Ok(None);
            }
            self.buffer.advance(header.size);
            let mut payload = self.buffer.split_to(length);
            unmask(&mut payload, header.mask.unwrap_or_default());
            if let Some(message) = self.take(&header, payload.freeze())? {
                return Ok(Some(message));
            }
        }
    }

    /// Checks the first two bytes of a frame (RFC 6455, sections 5.1, 5.2, 5.4, 5.5).
    fn check(&mut self, header: &FrameHeader) -> Result<(), Close> {
        let is_control = header.opcode.is_some_and(OpCode::is_control);
        let may_be_compressed =
            self.inflater.is_some() && matches!(header.opcode, Some(OpCode::Text | OpCode::Binary));
        let problem = match header.opcode {
            _ if header.reserved != 0 && self.inflater.is_none() => {
                "The reserved bits must be 0: no extension was agreed"
            }
            _ if header.reserved & !FrameHeader::COMPRESSED != 0 => {
                "The bits RSV2 and RSV3 must be 0"
            }
            Some(_) if header.reserved != 0 && !may_be_compressed => {
                "The bit RSV1 may be set in the first frame of a message only"
            }
            None => "The opcode is reserved",
            Some(_) if is_control && !header.is_final => "Control frames must not be fragmented",
            Some(_) if is_control && !header.may_be_control() => {
                "Control frames may have at most 125 bytes"
            }
            Some(_) if header.mask.is_none() => "Frames of clients must be masked",
            Some(OpCode::Continuation) if !self.is_fragmented => {
                "A continuation continues no message"
            }
            Some(OpCode::Text | OpCode::Binary) if self.is_fragmented => {
                "A message began before the end of another"
            }
            Some(_) => return Ok(()),
        };
        self.lose();
        Err(Close::new(1002, problem))
    }

    /// Refuses a frame that is too large before its payload is received, and skips it.
    fn check_length(&mut self, header: &FrameHeader) -> Result<(), Close> {
        if !header.is_length_minimal() {
            self.lose();
            return Err(Close::new(
                1002,
                "The length of a frame must be written with as few bytes as it takes",
            ));
        }
        if header.length <= self.limit_bytes as u64 {
            return Ok(());
        }
        let whole = header.length.saturating_add(header.size as u64);
        let here =
            usize::try_from(whole).map_or(self.buffer.len(), |whole| whole.min(self.buffer.len()));
        self.buffer.advance(here);
        self.skip = whole - here as u64;
        self.note_fragment(header);
        Err(Close::message_too_big(self.limit_bytes))
    }

    /// Records whether the message continues after this frame.
    fn note_fragment(&mut self, header: &FrameHeader) {
        if !header.opcode.is_some_and(OpCode::is_control) {
            self.is_fragmented = !header.is_final;
        }
    }

    /// Handles one valid frame.
    fn take(&mut self, header: &FrameHeader, payload: Bytes) -> Result<Option<Incoming>, Close> {
        self.note_fragment(header);
        if !is_message(header) && !self.allowance.take() {
            self.lose();
            return Err(Close::too_many_frames());
        }
        let is_compressed = header.reserved == FrameHeader::COMPRESSED;
        match header.opcode {
            Some(OpCode::Text) if header.is_final => self.text(payload, is_compressed).map(Some),
            Some(OpCode::Binary) if header.is_final => Ok(Some(Incoming::Binary)),
            Some(OpCode::Text | OpCode::Binary) => {
                self.fragments = Some(Fragments {
                    is_text: header.opcode == Some(OpCode::Text),
                    is_compressed,
                    bytes: BytesMut::from(&payload[..]),
                });
                Ok(None)
            }
            Some(OpCode::Continuation) => self.join(&payload, header.is_final),
            Some(OpCode::Ping) => Ok(Some(Incoming::Ping(payload))),
            Some(OpCode::Pong) => Ok(Some(Incoming::Pong)),
            Some(OpCode::Close) => match causes::close(&payload) {
                None => Ok(Some(Incoming::Close)),
                Some(violation) => {
                    self.lose();
                    Err(violation)
                }
            },
            // The frame was refused by its header.
            None => Ok(None),
        }
    }

    /// Records that frame boundaries are lost.
    fn lose(&mut self) {
        self.state = DecoderState::Lost;
        self.buffer = BytesMut::new();
    }

    fn join(&mut self, payload: &[u8], is_last: bool) -> Result<Option<Incoming>, Close> {
        // After a violation there are no fragments.
        let Some(fragments) = &mut self.fragments else {
            return Ok(None);
        };
        if fragments.bytes.len() + payload.len() > self.limit_bytes {
            return Err(Close::message_too_big(self.limit_bytes));
        }
        fragments.bytes.extend_from_slice(payload);
        if !is_last {
            return Ok(None);
        }
        match self.fragments.take() {
            Some(whole) if whole.is_text => {
                let bytes = whole.bytes.freeze();
                self.text(bytes, whole.is_compressed).map(Some)
            }
            _ => Ok(Some(Incoming::Binary)),
        }
    }

    fn text(&mut self, payload: Bytes, is_compressed: bool) -> Result<Incoming, Close> {
        let bytes = match &self.inflater {
            // After a violation no message is handled.
            Some(_) if is_compressed && self.state == DecoderState::Failed => Bytes::new(),
            Some(inflater) if is_compressed => {
                let inflated = inflater.inflate(&payload, self.limit_bytes);
                let inflated = inflated.map_err(|error| match error {
                    InflateError::TooLarge => Close::message_too_big(self.limit_bytes),
                    InflateError::Padded => Close::too_much_inflated(),
                    InflateError::Invalid => Close::invalid_compression(),
                })?;
                self.note_inflated(inflated.len(), payload.len())?;
                inflated.into()
            }
            _ => payload,
        };
        ByteString::try_from(bytes)
            .map(Incoming::Text)
            .map_err(|_| Close::invalid_text())
    }

    /// Counts the bytes of a decompressed message: a few bytes on the wire may take much time.
    fn note_inflated(&mut self, inflated: usize, payload: usize) -> Result<(), Close> {
        self.inflated += inflated;
        let excess = inflated.saturating_sub(payload.saturating_mul(FREE_FACTOR));
        let count = u32::try_from(excess / BYTES_OF_ONE).unwrap_or(u32::MAX);
        if self.allowance.take_unearned(count) {
            return Ok(());
        }
        Err(Close::too_much_inflated())
    }
}

/// Whether a frame is a message, or a fragment that is large enough not to be counted.
fn is_message(header: &FrameHeader) -> bool {
    match header.opcode {
        Some(OpCode::Ping | OpCode::Pong) => false,
        Some(OpCode::Text | OpCode::Binary | OpCode::Continuation) if !header.is_final => {
            header.length >= MIN_FRAGMENT
        }
        _ => true,
    }
}

#[cfg(test)]
mod compressed_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 200;

    /// Returns a client frame with an all-zero mask, so that the payload stays readable.
    pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => bytes.push(0x80 | length),
            _ => {
                bytes.push(0x80 | 0x7e);
                bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn decode(chunks: &[&[u8]]) -> Vec<Incoming> {
        let mut decoder = MessageDecoder::new(LIMIT, Rc::new(Allowance::new()), None);
        let mut messages = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk);
            messages.extend(std::iter::from_fn(|| decoder.decode()));
        }
        messages
    }

    #[test]
    fn fragments_with_a_ping_between_and_an_empty_end_are_one_message() {
        let bytes = [
            frame(0x01, b"he"),
            frame(0x89, b"p"),
            frame(0x00, b"llo"),
            frame(0x80, b""),
        ]
        .concat();
        let expected = [Incoming::Ping("p".into()), Incoming::Text("hello".into())];
        assert_eq!(decode(&[&bytes]), expected);
        let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&one_by_one), expected);
    }

    #[test]
    fn a_length_that_is_not_written_in_its_shortest_form_is_a_violation_however_it_is_cut() {
        let in_two = |opcode, length: u16| [&[opcode, 0xfe][..], &length.to_be_bytes()].concat();
        let in_eight = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes()].concat();
        for header in [
            in_two(0x81, 0),
            in_two(0x81, 125),
            in_two(0x89, 0),
            in_two(0x88, 2),
            in_two(0x8a, 126),
            in_eight(0),
            in_eight(0xffff),
            in_eight(1 << 63),
            in_eight(u64::MAX),
        ] {
            let bytes = [&header[..], &[0; 8]].concat();
            for size in [1, 3, bytes.len()] {
                let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                let messages = decode(&chunks);
                let [Incoming::Violation(close), Incoming::Close] = &messages[..] else {
                    panic!("{header:x?} in pieces of {size}: {messages:?}");
                };
                assert_eq!(close.code, 1002, "{header:x?}");
            }
        }
        let shortest = [in_two(0x81, 126), vec![0; 4], vec![b'a'; 126]].concat();
        assert_eq!(
            decode(&[&shortest]),
            [Incoming::Text("a".repeat(126).into())]
        );
    }

    #[test]
    fn a_character_may_be_split_by_fragments() {
        let bytes = [frame(0x01, b"\xc3"), frame(0x80, b"\xa9")].concat();
        assert_eq!(decode(&[&bytes]), [Incoming::Text("é".into())]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_violation_1007() {
        let messages = decode(&[&frame(0x81, b"\xff\xfe")]);
        assert_eq!(messages, [Incoming::Violation(Close::invalid_text())]);
    }

    #[test]
    fn an_announced_length_past_the_limit_is_refused_before_its_bytes_come() {
        let mut header = vec![0x81, 0x80 | 127];
        header.extend((1u64 << 40).to_be_bytes());
        let messages = decode(&[&header]);
        assert_eq!(
            messages,
            [Incoming::Violation(Close::message_too_big(LIMIT))]
        );
    }

    #[test]
    fn fragments_that_add_up_past_the_limit_are_refused() {
        let half = vec![b'a'; 150];
        let bytes = [frame(0x01, &half), frame(0x80, &half)].concat();
        assert_eq!(
            decode(&[&bytes]),
            [Incoming::Violation(Close::message_too_big(LIMIT))]
        );
    }

    #[test]
    fn a_flood_of_frames_that_bring_nothing_is_a_violation() {
        let flood = Incoming::Violation(Close::too_many_frames());
        for (begin, one) in [
            (vec![], frame(0x8a, b"")),
            (vec![], frame(0x89, b"a")),
            (frame(0x01, b"a"), frame(0x00, b"")),
            (frame(0x02, b""), frame(0x00, b"")),
        ] {
            let bytes = [begin, one.repeat(5_000)].concat();
            for size in [1_000, bytes.len()] {
                let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                let messages = decode(&chunks);
                let [.., violation, close] = &messages[..] else {
                    panic!("{messages:?}");
                };
                assert_eq!((violation, close), (&flood, &Incoming::Close));
                assert!(messages.len() < 1_200, "{}", messages.len());
            }
        }
    }

    #[test]
    fn messages_and_fragments_of_some_size_are_no_flood() {
        let whole = frame(0x81, b"a").repeat(3_000);
        assert_eq!(decode(&[&whole]).len(), 3_000);
        let message = [frame(0x01, &[b'a'; 64]), frame(0x80, b"")].concat();
        assert_eq!(decode(&[&message.repeat(3_000)]).len(), 3_000);
    }

    #[test]
    fn after_a_violation_only_the_close_matters() {
        let broken = [
            frame(0x81, b"\xff"),
            frame(0x81, &vec![b'a'; LIMIT + 1]),
            [frame(0x01, &[b'a'; 150]), frame(0x80, &[b'a'; 150])].concat(),
        ];
        for broken in broken {
            let text = frame(0x81, b"fine");
            let bytes = [broken.clone(), broken, text, frame(0x88, b"")].concat();
            for size in [1, 7, bytes.len()] {
                let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                let messages = decode(&chunks);
                assert_eq!(messages.len(), 2, "{messages:?}");
                assert!(matches!(messages[0], Incoming::Violation(_)));
                assert_eq!(messages[1], Incoming::Close);
            }
        }
    }

    #[test]
    fn protocol_violations_are_described_without_library_texts() {
        let cases: [(Vec<u8>, u16, &str); 14] = [
            (
                vec![0x81, 1, b'a'],
                1002,
                "Frames of clients must be masked",
            ),
            (
                frame(0xc1, b"a"),
                1002,
                "The reserved bits must be 0: no extension was agreed",
            ),
            (frame(0x83, b"a"), 1002, "The opcode is reserved"),
            (frame(0x8b, b"a"), 1002, "The opcode is reserved"),
            (
                frame(0x80, b"a"),
                1002,
                "A continuation continues no message",
            ),
            (
                frame(0x00, b"a"),
                1002,
                "A continuation continues no message",
            ),
            (
                [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
                1002,
                "A message began before the end of another",
            ),
            (
                frame(0x09, b"a"),
                1002,
                "Control frames must not be fragmented",
            ),
            (
                frame(0x89, &[0; 126]),
                1002,
                "Control frames may have at most 125 bytes",
            ),
            (
                frame(0x88, b"a"),
                1002,
                "A close needs a code of two bytes, or none",
            ),
            (
                frame(0x88, &1005u16.to_be_bytes()),
                1002,
                "The close code 1005 must not be sent",
            ),
            (
                frame(0x88, &[0, 0]),
                1002,
                "The close code 0 must not be sent",
            ),
            (
                frame(0x88, b"\x03\xe8\xff"),
                1007,
                "The reason of a close must be UTF-8",
            ),
            (frame(0x81, b"\xff"), 1007, "Text messages must be UTF-8"),
        ];
        for (bytes, code, reason) in cases {
            for size in [1, bytes.len()] {
                let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                let messages = decode(&chunks);
                let close = Close::new(code, reason);
                assert_eq!(messages.first(), Some(&Incoming::Violation(close)));
            }
        }
        let fine = frame(0x88, b"\x03\xe8bye");
        assert_eq!(decode(&[&fine]), [Incoming::Close]);
    }
}
