//! Decompresses messages of servers (RFC 7692) without context takeover.

use flate2::{Decompress, FlushDecompress};

/// What the server has removed from the end of a message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Room for more of a message (bytes).
const ROOM: usize = 64 * 1024;

/// The decompressor of all connections, and its last message.
pub(crate) struct Inflater {
    stream: Decompress,
    message: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            stream: Decompress::new(false),
            message: Vec::new(),
        }
    }
}

impl Inflater {
    /// Returns the decompressed message; `None`: it is not DEFLATE, or longer than `limit`.
    pub(crate) fn inflate(&mut self, payload: &[u8], limit: usize) -> Option<&[u8]> {
        self.stream.reset(false);
        self.message.clear();
        for mut input in [payload, &TAIL] {
            loop {
                let (read, written) = (self.stream.total_in(), self.message.len());
                self.message.reserve(ROOM);
                self.stream
                    .decompress_vec(input, &mut self.message, FlushDecompress::Sync)
                    .ok()?;
                let used = (self.stream.total_in() - read) as usize;
                input = &input[used..];
                let has_more = self.message.len() == self.message.capacity();
                if self.message.len() > limit || (used == 0 && self.message.len() == written) {
                    return None;
                }
                if input.is_empty() && !has_more {
                    break;
                }
            }
        }
        Some(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_after_the_other() {
        let mut inflater = Inflater::default();
        for _ in 0..2 {
            let stored = b"\x00\x05\x00\xfa\xffHello\x00";
            assert_eq!(inflater.inflate(stored, 5).unwrap(), b"Hello");
            let deflated = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
            assert_eq!(inflater.inflate(deflated, 5).unwrap(), b"Hello");
            assert_eq!(inflater.inflate(deflated, 4), None);
            assert_eq!(inflater.inflate(b"\xff", 5), None);
        }
    }
}
