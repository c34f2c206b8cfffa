//! The envelope: how one event is written as bytes for an engine.
//!
//! Version 1, as `docs/reference/envelope.md` describes it. [`Envelope::read`] reads the head only;
//! the data stay bytes until [`Envelope::json`]. Not here: which stream an event came on (the engine
//! says so, and it decides the tenant), and where it is in its stream.

mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;

pub use error::EnvelopeError;

/// The version that is written.
pub const ENVELOPE_VERSION: u8 = 1;

/// The longest id, type, tenant and channel (bytes of UTF-8).
pub const MAX_FIELD_BYTES: usize = 254;

/// Lists and objects inside each other that the data may have (count): what `serde_json` reads.
pub const MAX_DATA_DEPTH: usize = 127;

/// In place of a length: the field is absent.
const ABSENT: u8 = 0xFF;
/// Version, flags, and the length of the head (bytes).
const PREFIX: usize = 4;
/// The last number that a version will have: what is no envelope, such as text, is known as such.
const LAST_VERSION: u8 = 31;
/// The first byte of bare JSON.
const BRACE: u8 = b'{';
/// The extension that says which version a reader must know at least.
const MIN_READER: u8 = 0x00;

/// What the second byte says.
mod flags {
    /// The data are compressed: reserved.
    pub(super) const COMPRESSED: u8 = 1;
    /// A signature stands between the head and the data: reserved.
    pub(super) const SIGNED: u8 = 2;
    /// The head has a trace context.
    pub(super) const TRACE: u8 = 4;
}

/// An event as it is read: borrowed from the bytes that an engine delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Identifies the event; `None`: the reader makes an id of its position.
    pub id: Option<&'a str>,
    /// What subscribers select by `event_types`.
    pub event_type: Option<&'a str>,
    /// The tenant that the publisher named. The stream decides; another name here is a fault.
    pub tenant: Option<&'a str>,
    /// The channel, at least one character; `None` for bare JSON, whose channel is the stream's.
    pub channel: Option<&'a str>,
    /// When it was published, by the publisher's clock (ms since 1970); 0: unknown. For metrics only.
    pub published_at: u64,
    /// The node that published it; 0: unknown.
    pub node: u32,
    /// The whole envelope.
    bytes: &'a Bytes,
    /// The data as JSON text, not read yet.
    data: &'a [u8],
}
