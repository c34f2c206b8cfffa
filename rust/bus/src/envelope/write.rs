//! Writes an envelope.

use bytes::Bytes;

use super::{
    ABSENT, ENVELOPE_VERSION, Envelope, EnvelopeError, MAX_DATA_DEPTH, MAX_FIELD_BYTES, PREFIX,
    TRACE, flags,
};
use crate::{Draft, TraceContext};

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
        let trace = draft.trace.as_deref();
        let head = FIXED + texts + trace.map_or(0, trace_bytes);
        let data = draft.data.text();
        let mut written = Vec::with_capacity(PREFIX + head + data.len());
        written.extend([ENVELOPE_VERSION, trace.map_or(0, |_| flags::TRACE)]);
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
        if let Some(trace) = trace {
            write_trace(&mut written, trace);
        }
        written.extend(data.as_bytes());
        Ok(written.into())
    }
}

/// Size of a trace context (bytes).
fn trace_bytes(trace: &TraceContext) -> usize {
    TRACE + 1 + trace.state.as_deref().map_or(0, str::len)
}

fn write_trace(written: &mut Vec<u8>, trace: &TraceContext) {
    written.extend(trace.trace_id);
    written.extend(trace.span_id);
    written.push(trace.flags);
    match trace.state.as_deref() {
        None => written.push(ABSENT),
        // It has at most `MAX_TRACE_STATE_BYTES`.
        Some(state) => {
            written.push(state.len() as u8);
            written.extend(state.as_bytes());
        }
    }
}
