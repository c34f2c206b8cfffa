//! Decompresses messages of clients (RFC 7692, section 7.2.2), up to a limit.
//!
//! One decompressor serves all connections of a worker, because no state is kept between messages.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

/// What the sender of a message has removed from its end.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty last block. It is one only where a block has ended, not within a message that was cut.
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// What follows a last block of the sender: the begin of an empty block, whose other bytes it has
/// removed.
const AFTER_LAST: [u8; 1] = [0];

/// Bytes that are decompressed before it is checked what became of them.
const PIECE_BYTES: usize = 4096;

/// Bytes that a message may be longer than what it is decompressed to, and the eighth of that.
/// Compressors add a few bytes to each block: RFC 1951, section 3.2.4.
const OVERHEAD_BYTES: u64 = 1024;

/// First buffer for a message: so many times its compressed size, and so much at least (bytes).
const FIRST_FACTOR: usize = 4;
const FIRST_BYTES: usize = 256;

/// Why a message was not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is larger than the limit. It was not decompressed any further.
    TooLarge,
    /// It is longer than what it is decompressed to: blocks without data take time.
    Padded,
    /// It is not DEFLATE, or has no end.
    Invalid,
}

/// The decompressor of a worker.
#[derive(Default)]
pub(crate) struct Inflater {
    /// Made for the first message.
    stream: RefCell<Option<Decompress>>,
}

impl Inflater {
    /// Decompresses a message, which may have `limit` bytes.
    pub(crate) fn inflate(&self, payload: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
        let mut stream = self.stream.borrow_mut();
        let stream = stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        let first = payload.len().saturating_mul(FIRST_FACTOR).max(FIRST_BYTES);
        let mut message = Vec::with_capacity(first.min(limit + 1));
        for piece in payload.chunks(PIECE_BYTES) {
            if extend(stream, piece, &mut message, limit)?.is_some() {
                let rest = &payload[stream.total_in() as usize..];
                let is_whole = rest.is_empty() || rest == AFTER_LAST;
                return if is_whole {
                    Ok(message)
                } else {
                    Err(InflateError::Invalid)
                };
            }
            let written = stream.total_out();
            if stream.total_in() > written + written / 8 + OVERHEAD_BYTES {
                return Err(InflateError::Padded);
            }
        }
        let written = message.len();
        let goes_on = extend(stream, &TAIL, &mut message, limit)?.is_none();
        let ends = goes_on && extend(stream, &LAST, &mut message, limit)? == Some(&[]);
        if ends && message.len() == written {
            Ok(message)
        } else {
            Err(InflateError::Invalid)
        }
    }
}

/// Decompresses all of `input`; returns what follows a block that says that it is the last, if
/// there was one.
fn extend<'i>(
    stream: &mut Decompress,
    mut input: &'i [u8],
    message: &mut Vec<u8>,
    limit: usize,
) -> Result<Option<&'i [u8]>, InflateError> {
    loop {
        let (read, written) = (stream.total_in(), message.len());
        let status = stream
            .decompress_vec(input, message, FlushDecompress::Sync)
            .map_err(|_| InflateError::Invalid)?;
        let used = (stream.total_in() - read) as usize;
        input = &input[used..];
        if message.len() > limit {
            return Err(InflateError::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(Some(input));
        }
        if message.len() == message.capacity() {
            // One byte past the limit tells that there is more.
            message.reserve_exact(message.len().max(1).min(limit + 1 - message.len()));
        } else if input.is_empty() {
            return Ok(None);
        } else if used == 0 && message.len() == written {
            return Err(InflateError::Invalid);
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    const LIMIT: usize = 100_000;
    fn inflate(payload: &[u8]) -> Result<Vec<u8>, InflateError> {
        Inflater::default().inflate(payload, LIMIT)
    }

    fn deflated(text: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 1_000);
        let mut stream = Compress::new(Compression::new(6), false);
        stream.compress_vec(text, &mut out, flush).unwrap();
        out
    }

    fn message(text: &[u8]) -> Vec<u8> {
        let mut out = deflated(text, FlushCompress::Sync);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for payload in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xffHello\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflate(payload).unwrap(), b"Hello", "{payload:x?}");
        }
        assert_eq!(inflate(b"\x00").unwrap(), b"");
    }

    #[test]
    fn messages_of_all_sizes_up_to_the_limit_are_read_and_none_past_it() {
        let text: Vec<u8> = (0..=LIMIT as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8)
            .collect();
        for size in [0, 1, 255, 256, 257, 70_000, LIMIT - 1, LIMIT] {
            assert_eq!(inflate(&message(&text[..size])).unwrap(), text[..size]);
        }
        assert_eq!(inflate(&message(&text)), Err(InflateError::TooLarge));
    }

    #[test]
    fn a_bomb_is_not_expanded() {
        let bomb = message(&vec![b'a'; 100 * LIMIT]);
        let inflater = Inflater::default();
        assert_eq!(inflater.inflate(&bomb, LIMIT), Err(InflateError::TooLarge));
        let stream = inflater.stream.borrow();
        let expanded = stream.as_ref().unwrap().total_out();
        assert!(expanded <= LIMIT as u64 + 1, "{expanded}");
    }

    #[test]
    fn streams_that_are_not_deflate_are_refused() {
        for payload in [
            &b"\x07"[..],
            b"\xff\xff\xff",
            b"\x00\x05\x00\xfa\xfeHello\x00",
            b"{\"type\":\"connection_init\"}",
        ] {
            assert_eq!(inflate(payload), Err(InflateError::Invalid), "{payload:x?}");
        }
    }

    #[test]
    fn a_message_that_was_cut_is_refused() {
        let text = br#"{"type":"subscribe","id":"1","payload":{"query":"subscription { a }"}}"#;
        let whole = message(text);
        for length in 1..whole.len() {
            let result = inflate(&whole[..length]);
            assert!(result.is_err(), "{length}: {result:?}");
        }
        let stored = [&b"\x00\x05\x00\xfa\xff"[..], b"Hello\x00"].concat();
        for length in 2..stored.len() - 1 {
            assert_eq!(inflate(&stored[..length]), Err(InflateError::Invalid));
        }
    }

    #[test]
    fn blocks_without_data_are_not_decompressed_to_the_end() {
        let empty_stored = [0, 0, 0, 0xff, 0xff].repeat(200_000);
        // 10 bits each: a block with fixed codes that has only its end.
        let empty_fixed = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(200_000);
        for padding in [empty_stored, empty_fixed] {
            let inflater = Inflater::default();
            let padded = [&padding[..], &message(b"Hello")].concat();
            assert_eq!(inflater.inflate(&padded, LIMIT), Err(InflateError::Padded));
            let read = inflater.stream.borrow().as_ref().unwrap().total_in();
            assert!(read <= PIECE_BYTES as u64 + OVERHEAD_BYTES, "{read}");
        }
    }

    #[test]
    fn a_message_of_many_flushes_is_read() {
        // As a compressor that is flushed for each word of a text.
        let mut stream = Compress::new(Compression::new(6), false);
        let mut out = Vec::with_capacity(LIMIT);
        let mut text = Vec::new();
        for n in 0..2_000_u32 {
            let word = format!("word {} ", n.wrapping_mul(2_654_435_761));
            stream
                .compress_vec(word.as_bytes(), &mut out, FlushCompress::Sync)
                .unwrap();
            text.extend_from_slice(word.as_bytes());
        }
        out.truncate(out.len() - TAIL.len());
        assert_eq!(inflate(&out).unwrap(), text);
    }

    #[test]
    fn only_the_end_follows_a_last_block() {
        let last = deflated(b"Hello", FlushCompress::Finish);
        for end in [&b""[..], b"\x00"] {
            assert_eq!(inflate(&[&last[..], end].concat()).unwrap(), b"Hello");
        }
        for rest in [&last[..], b"\x00\x00", b"a"] {
            let bytes = [&last[..], rest].concat();
            assert_eq!(inflate(&bytes), Err(InflateError::Invalid));
        }
    }

    #[test]
    fn nothing_is_kept_between_messages() {
        let inflater = Inflater::default();
        let first = message(b"{\"type\":\"connection_init\"}");
        // Copies 26 bytes from the window, which are none of its own.
        let text = inflater.inflate(&first, LIMIT).unwrap();
        let mut takeover = Compress::new(Compression::new(9), false);
        let mut both = Vec::with_capacity(1_000);
        takeover
            .compress_vec(&text, &mut both, FlushCompress::Sync)
            .unwrap();
        let begin = both.len();
        takeover
            .compress_vec(&text, &mut both, FlushCompress::Sync)
            .unwrap();
        let second = &both[begin..both.len() - TAIL.len()];
        assert_eq!(inflater.inflate(second, LIMIT), Err(InflateError::Invalid));
        assert_eq!(inflater.inflate(&first, LIMIT).unwrap(), text);
    }
}
