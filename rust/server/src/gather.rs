//! Collects bytes for a socket: copies small pieces into one buffer, and keeps large ones without a
//! copy, shared with other clients.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use protocol::FramedMessage;

/// Pieces from this length on are not copied (bytes). Below it a copy costs less than an additional
/// slice in a write.
const SHARED_BYTES: usize = 4 * 1024;

/// Bytes to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pieces: VecDeque<Bytes>,
    /// The buffer after the pieces.
    last: BytesMut,
    /// Length of all pieces (bytes).
    length: usize,
}

impl Gathered {
    /// Appends a message.
    pub(crate) fn push(&mut self, message: &FramedMessage) {
        for piece in message.pieces() {
            self.push_piece(piece);
        }
    }

    /// Appends bytes that may be shared.
    pub(crate) fn push_piece(&mut self, piece: &Bytes) {
        if piece.len() < SHARED_BYTES {
            self.last.extend_from_slice(piece);
        } else {
            self.seal();
            self.length += piece.len();
            self.pieces.push_back(piece.clone());
        }
    }

    /// Reserves room for a small message and its header.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.last.reserve(bytes.min(SHARED_BYTES));
    }

    /// Appends the bytes that `write` writes, which have to be few.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.last);
    }

    /// Removes the next piece, of at most `limit` bytes.
    pub(crate) fn pop(&mut self, limit: usize) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.seal();
        }
        let first = self.pieces.front_mut()?;
        let taken = first.split_to(first.len().min(limit));
        self.length -= taken.len();
        if first.is_empty() {
            self.pieces.pop_front();
        }
        Some(taken)
    }

    fn seal(&mut self) {
        if !self.last.is_empty() {
            self.length += self.last.len();
            self.pieces.push_back(self.last.split().freeze());
        }
    }
}

impl From<Bytes> for Gathered {
    fn from(bytes: Bytes) -> Self {
        let mut gathered = Self::default();
        if !bytes.is_empty() {
            gathered.length = bytes.len();
            gathered.pieces.push_back(bytes);
        }
        gathered
    }
}

impl Buf for Gathered {
    fn remaining(&self) -> usize {
        self.length + self.last.len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.last, |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let last = (!self.last.is_empty()).then_some(&self.last[..]);
        let chunks = self.pieces.iter().map(|piece| &piece[..]).chain(last);
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let taken = count.min(first.len());
            first.advance(taken);
            self.length -= taken;
            count -= taken;
            if !first.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.last.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(sizes: &[usize]) -> (Gathered, Vec<u8>) {
        let (mut gathered, mut expected) = (Gathered::default(), Vec::new());
        for (size, letter) in sizes.iter().zip(b'a'..) {
            let bytes = vec![letter; *size];
            expected.extend_from_slice(&bytes);
            gathered.push(&Bytes::from(bytes).into());
        }
        (gathered, expected)
    }

    const SIZES: [usize; 6] = [10, SHARED_BYTES, SHARED_BYTES + 1, 5, 7, SHARED_BYTES - 1];

    #[test]
    fn large_pieces_are_not_copied() {
        let large = Bytes::from(vec![b'x'; SHARED_BYTES]);
        let mut gathered = Gathered::default();
        gathered.write(|bytes| bytes.extend_from_slice(b"head"));
        gathered.push(&large.clone().into());
        assert_eq!(gathered.pop(100).unwrap(), "head");
        assert_eq!(gathered.pop(SHARED_BYTES).unwrap().as_ptr(), large.as_ptr());
        assert!(gathered.pop(1).is_none());
    }

    #[test]
    fn all_is_taken_in_its_order() {
        for step in [1, 3, 4_096, 100_000] {
            let (mut popped, expected) = gathered(&SIZES);
            let pieces: Vec<u8> = std::iter::from_fn(|| popped.pop(step)).flatten().collect();
            assert_eq!((pieces, popped.remaining()), (expected, 0));
            let (mut advanced, expected) = gathered(&SIZES);
            let mut read = Vec::new();
            while advanced.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 8];
                let count = advanced.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..count]
                    .iter()
                    .flat_map(|s| s.iter())
                    .copied()
                    .collect();
                let taken = all.len().min(step);
                read.extend_from_slice(&all[..taken]);
                advanced.advance(taken);
            }
            assert_eq!(read, expected);
        }
    }
}
