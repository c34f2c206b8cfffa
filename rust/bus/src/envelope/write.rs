//! Writes an envelope.

use bytes::Bytes;

use super::{
    ABSENT, ENVELOPE_VERSION, Envelope, EnvelopeError, MAX_DATA_DEPTH, MAX_FIELD_BYTES, PREFIX,
};
use crate::Draft;

/// Size of the head without its texts: four lengths, the time and the node (bytes).
const FIXED: usize = 4 + 8 + 4;

impl Envelope<'_> {
    /// Writes a draft as an envelope. `published_at`: ms since 1970. `node`: the publishing node.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::NoChannel`]; [`EnvelopeError::FieldTooLong`] past [`MAX_FIELD_BYTES`];
    /// [`EnvelopeError::TooDeep`] past [`MAX_DATA_DEPTH`].
    pub fn write(draft: &Draft, published_at: u64, node: u32) -> Result<Bytes, EnvelopeError> {
        if draft.channel.is_empty() {
            return Err(EnvelopeError::NoChannel);
        }
        if draft.data.depth() > MAX_DATA_DEPTH {
            return Err(EnvelopeError::TooDeep);
        }
        let fields = [
            ("id", draft.id.as_deref()),
            ("type", draft.event_type.as_deref()),
            ("tenant", draft.tenant_id.as_deref()),
            ("channel", Some(&*draft.channel)),
        ];
        let mut texts = 0;
        for (field, text) in fields {
            let bytes = text.map_or(0, str::len);
            if bytes > MAX_FIELD_BYTES {
                return Err(EnvelopeError::FieldTooLong { field, bytes });
            }
            texts += bytes;
        }
        let head = FIXED + texts;
        let data = draft.data.text();
        let mut written = Vec::with_capacity(PREFIX + head + data.len());
        written.extend([ENVELOPE_VERSION, 0]);
        written.extend((head as u16).to_le_bytes());
        for (_, text) in fields {
            match text {
                None => written.push(ABSENT),
                Some(text) => {
                    written.push(text.len() as u8);
                    written.extend(text.as_bytes());
                }
            }
        }
        written.extend(published_at.to_le_bytes());
        written.extend(node.to_le_bytes());
        written.extend(data.as_bytes());
        Ok(written.into())
    }
}
