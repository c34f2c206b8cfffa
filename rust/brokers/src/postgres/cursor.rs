//! Reads numbers and texts from a message of the protocol.

use bytes::Bytes;

use super::fault::Fault;

/// A row of texts; `None` is NULL.
pub(super) type TextRow = Vec<Option<String>>;

/// The rest of a message.
#[derive(Debug)]
pub(super) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(super) fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, Fault> {
        if length > self.rest.len() {
            return Err(malformed());
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text that ends with a zero byte.
    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.ok_or_else(malformed)?)?;
        self.bytes(1)?;
        String::from_utf8(text.into()).map_err(|_| malformed())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(N)?;
        <[u8; N]>::try_from(&bytes[..]).map_err(|_| malformed())
    }
}

/// A message has another form than PostgreSQL sends.
pub(super) fn malformed() -> Fault {
    Fault::away("PostgreSQL has sent a message that this program cannot read")
}
