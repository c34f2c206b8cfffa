//! Decompresses messages of clients (RFC 7692, section 7.2.2), up to a limit.
//!
//! One decompressor serves all connections of a worker, because no state is kept between messages.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

/// What the sender of a message has removed from its end.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What follows a last block of DEFLATE: the begin of an empty block, and the tail.
const AFTER_LAST: [u8; 1] = [0];

/// First buffer for a message: so many times its compressed size, and so much at least (bytes).
const FIRST_FACTOR: usize = 4;
const FIRST_BYTES: usize = 256;

/// Why a message was not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is larger than the limit. It was not decompressed any further.
    TooLarge,
    /// It is not DEFLATE.
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
        if let Some(rest) = extend(stream, payload, &mut message, limit)? {
            let is_whole = rest == AFTER_LAST;
            return if is_whole {
                Ok(message)
            } else {
                Err(InflateError::Invalid)
            };
        }
        match extend(stream, &TAIL, &mut message, limit)? {
            // The tail ends a block and begins none.
            None => Ok(message),
            Some(_) => Err(InflateError::Invalid),
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
    fn only_the_end_follows_a_last_block() {
        let last = deflated(b"Hello", FlushCompress::Finish);
        assert_eq!(inflate(&[&last[..], b"\x00"].concat()).unwrap(), b"Hello");
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
