//! The messages in the bytes that a server has sent.
//!
//! Messages are read into one buffer; one that is larger than the limit is skipped without being stored.
//! Not here: the connection (`wire`).

use bytes::{Buf, Bytes, BytesMut};

use super::cursor::{Cursor, malformed};
use super::fault::Fault;

/// How much of a message that is too large is kept (bytes): it has the head of an envelope with the longest
/// names.
const HEAD: usize = 2048;
/// Tag, and length.
const PREFIX: usize = 5;

/// Bytes that were received.
pub(super) struct Received {
    bytes: BytesMut,
    /// How many bytes of a message that is too large are still to come.
    skipped: usize,
    /// Limit of a message (bytes).
    pub(super) limit: usize,
}

/// A message of the stream of the log.
#[derive(Debug)]
pub(super) enum Frame {
    /// Data of a plugin.
    Data(Bytes),
    /// Data of a plugin that are too large, and are skipped: their beginning.
    TooLarge(Bytes),
    /// How far the server has read the log.
    Progress {
        /// All that was committed up to here was sent before.
        end: u64,
        wants_reply: bool,
    },
}

/// A message: its tag, and its content.
pub(super) enum Message {
    Whole(u8, Bytes),
    TooLarge(u8, Bytes),
}

impl Received {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            skipped: 0,
            limit,
        }
    }

    /// Where further bytes are added.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() - self.bytes.len() < 8 * 1024 {
            self.bytes.reserve(64 * 1024);
        }
        &mut self.bytes
    }

    /// Takes a message, if a whole one is there.
    pub(super) fn take(&mut self) -> Result<Option<Message>, Fault> {
        let skipped = self.skipped.min(self.bytes.len());
        self.bytes.advance(skipped);
        self.skipped -= skipped;
        if self.bytes.len() < PREFIX {
            return Ok(None);
        }
        let tag = self.bytes[0];
        let length = (&self.bytes[1..PREFIX]).get_u32() as usize;
        if length < 4 {
            return Err(malformed());
        }
        let total = length + 1;
        if total > self.limit {
            if self.bytes.len() < HEAD.min(total) {
                return Ok(None);
            }
            let mut head = self.bytes.split_to(HEAD.min(total)).freeze();
            self.skipped = total - head.len();
            head.advance(PREFIX);
            return Ok(Some(Message::TooLarge(tag, head)));
        }
        if self.bytes.len() < total {
            return Ok(None);
        }
        let mut message = self.bytes.split_to(total).freeze();
        message.advance(PREFIX);
        Ok(Some(Message::Whole(tag, message)))
    }
}

/// Reads a message of the stream; `None`: it has no meaning here.
pub(super) fn frame(message: Message) -> Result<Option<Frame>, Fault> {
    let (tag, body, is_whole) = match message {
        Message::Whole(tag, body) => (tag, body, true),
        Message::TooLarge(tag, head) => (tag, head, false),
    };
    let mut body = Cursor::new(body);
    match tag {
        b'd' => match body.u8()? {
            b'w' => {
                // The place in the log, its end, and the time of the server.
                body.bytes(24)?;
                let data = body.rest();
                Ok(Some(if is_whole {
                    Frame::Data(data)
                } else {
                    Frame::TooLarge(data)
                }))
            }
            b'k' => {
                let end = body.u64()?;
                body.u64()?;
                let wants_reply = body.u8()? != 0;
                Ok(Some(Frame::Progress { end, wants_reply }))
            }
            _ => Err(malformed()),
        },
        b'E' => Err(Fault::of_fields(&fields(body)?)),
        b'c' | b'C' => Err(Fault::away("PostgreSQL has ended the stream of the log")),
        _ => Ok(None),
    }
}

/// The fields of an error: a letter and a text each.
pub(super) fn fields(mut body: Cursor) -> Result<Vec<(u8, String)>, Fault> {
    let mut fields = Vec::new();
    loop {
        match body.u8()? {
            0 => return Ok(fields),
            letter => fields.push((letter, body.text()?)),
        }
    }
}
