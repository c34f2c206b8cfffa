//! The envelope: an event as bytes, as an engine carries it.
//!
//! Version 1, as `docs/reference/envelope.md` describes it. [`Envelope::read`] parses the head
//! only; [`Envelope::json`] parses the data. Not here: the stream and the position of an event. The
//! engine provides them, and the stream decides the tenant.

mod check;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;

use crate::TraceContext;

pub use error::EnvelopeError;

/// The version that this program writes.
pub const ENVELOPE_VERSION: u8 = 1;

/// The longest id, type, tenant and channel (bytes of UTF-8).
pub const MAX_FIELD_BYTES: usize = 254;

/// Limit of nested lists and objects in the data (levels): `serde_json` reads no more.
pub const MAX_DATA_DEPTH: usize = 127;

/// In place of a length: the field is absent.
const ABSENT: u8 = 0xFF;
/// Trace id, span id and trace flags (bytes).
const TRACE: usize = 16 + 8 + 1;
/// Version, flags, and the length of the head (bytes).
const PREFIX: usize = 4;
/// The highest version that will ever be used. A larger first byte is not an envelope: it may be
/// text, for example.
const LAST_VERSION: u8 = 31;
/// The first byte of bare JSON.
const BRACE: u8 = b'{';
/// The key of the extension that names the lowest version a reader must support.
const MIN_READER: u8 = 0x00;

/// The flags in the second byte.
mod flags {
    /// The data are compressed: reserved.
    pub(super) const COMPRESSED: u8 = 1;
    /// A signature stands between the head and the data: reserved.
    pub(super) const SIGNED: u8 = 2;
    /// The head has a trace context.
    pub(super) const TRACE: u8 = 4;
}

/// An envelope that was read. It borrows the bytes that an engine delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Identifies the event; `None`: its position becomes its id.
    pub id: Option<&'a str>,
    /// The type, which `event_types` of a subscription selects.
    pub event_type: Option<&'a str>,
    /// The tenant that the publisher named. It must be that of the stream.
    pub tenant: Option<&'a str>,
    /// The channel, at least one character; `None` for bare JSON, whose channel is the stream's.
    pub channel: Option<&'a str>,
    /// When it was published, by the publisher's clock (ms since 1970); 0: unknown. For metrics
    /// only.
    pub published_at: u64,
    /// The node that published it; 0: unknown.
    pub node: u32,
    /// The span that published it; `None`: it is not traced.
    pub trace: Option<TraceContext>,
    /// The whole envelope.
    bytes: &'a Bytes,
    /// The data as JSON text, not parsed yet.
    data: &'a [u8],
}
