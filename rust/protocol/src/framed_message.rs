//! One message, or one part of a body, as the pieces that are written to the socket.

use bytes::{BufMut, Bytes, BytesMut};

/// A response with the bytes before and after it. Many clients may share the response, so it is not
/// copied before it is written to a socket.
#[derive(Debug, Clone, Default)]
pub struct FramedMessage {
    head: Bytes,
    body: Bytes,
    tail: Bytes,
}

impl FramedMessage {
    pub(crate) fn new(head: Bytes, body: Bytes, tail: Bytes) -> Self {
        Self { head, body, tail }
    }

    /// Returns its pieces in order; some may be empty.
    #[must_use]
    pub fn pieces(&self) -> [&Bytes; 3] {
        [&self.head, &self.body, &self.tail]
    }

    /// Returns its length (bytes).
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends it to a buffer.
    pub fn write(&self, out: &mut impl BufMut) {
        for piece in self.pieces() {
            out.put_slice(piece);
        }
    }

    /// Returns the message in one piece. Copies it only if there are bytes before or after the
    /// response.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.head.is_empty() && self.tail.is_empty() {
            return self.body;
        }
        let mut bytes = BytesMut::with_capacity(self.len());
        self.write(&mut bytes);
        bytes.freeze()
    }
}

impl From<Bytes> for FramedMessage {
    fn from(body: Bytes) -> Self {
        Self::new(Bytes::new(), body, Bytes::new())
    }
}

/// Compares the content, independent of the pieces.
impl PartialEq for FramedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_bytes() == other.clone().into_bytes()
    }
}

impl Eq for FramedMessage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_alone_is_not_copied() {
        let body = Bytes::from_static(b"{}");
        let message = FramedMessage::from(body.clone());
        assert_eq!(message.into_bytes().as_ptr(), body.as_ptr());
    }

    #[test]
    fn the_pieces_are_one_message() {
        let message = FramedMessage::new("a".into(), "bc".into(), "d".into());
        assert_eq!(message, FramedMessage::from(Bytes::from("abcd")));
        assert_eq!(message.len(), 4);
        assert_eq!(message.into_bytes(), "abcd");
    }
}
