//! Reads an envelope: its head at once, its data on request.

use bytes::Bytes;
use indexed_json::IndexedJson;

use super::check::Checked;
use super::{
    ABSENT, BRACE, ENVELOPE_VERSION, Envelope, EnvelopeError, LAST_VERSION, MIN_READER, flags,
};
use crate::TraceContext;

impl<'a> Envelope<'a> {
    /// Reads the head, without a copy. Does not read the data.
    ///
    /// With `accept_raw`, bytes that begin with `{` are the data of an event without any other
    /// field. They come from a producer that does not write envelopes.
    ///
    /// # Errors
    ///
    /// All of [`EnvelopeError`] except those about data and writing.
    pub fn read(bytes: &'a Bytes, accept_raw: bool) -> Result<Self, EnvelopeError> {
        match bytes.first() {
            Some(&BRACE) if accept_raw => Ok(Self::raw(bytes)),
            Some(&BRACE) => Err(EnvelopeError::Raw),
            None | Some(&ENVELOPE_VERSION) => {
                let (envelope, _) = Self::read_head(bytes, flags::TRACE)?;
                Ok(envelope)
            }
            Some(&version @ 1..=LAST_VERSION) => Self::read_newer(bytes, version),
            Some(&byte) => Err(EnvelopeError::NoVersion { byte }),
        }
    }

    /// Returns the data as JSON text: a slice of the bytes that were read, not a copy.
    #[must_use]
    pub fn data(&self) -> Bytes {
        self.bytes.slice_ref(self.data)
    }

    /// Reads the data. An integer of more than 64 bits becomes the nearest float. Of two members
    /// with the same name, the last one is used.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Json`] when the data are not JSON, are nested deeper than
    /// [`super::MAX_DATA_DEPTH`] levels, or have a number that is too large for a float.
    pub fn json(&self) -> Result<IndexedJson, EnvelopeError> {
        let text = std::str::from_utf8(self.data);
        let text = text.map_err(|error| EnvelopeError::Json(error.to_string()))?;
        IndexedJson::read(text).map_err(|error| EnvelopeError::Json(error.to_string()))
    }

    /// Checks that [`Self::json`] can read the data, without keeping what is read.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub fn check_data(&self) -> Result<(), EnvelopeError> {
        serde_json::from_slice::<Checked>(self.data)
            .map(drop)
            .map_err(|error| EnvelopeError::Json(error.to_string()))
    }

    fn raw(bytes: &'a Bytes) -> Self {
        Self {
            id: None,
            event_type: None,
            tenant: None,
            channel: None,
            published_at: 0,
            node: 0,
            trace: None,
            bytes,
            data: bytes,
        }
    }

    /// Reads an envelope of a later version, if it declares that readers of version 1 can read it.
    /// Any other error is reported as [`EnvelopeError::Newer`]: the format may have changed.
    fn read_newer(bytes: &'a Bytes, version: u8) -> Result<Self, EnvelopeError> {
        match Self::read_head(bytes, u8::MAX) {
            Ok((envelope, Some(min_reader))) if min_reader <= ENVELOPE_VERSION => Ok(envelope),
            _ => Err(EnvelopeError::Newer { version }),
        }
    }

    /// Reads the head. Also returns the lowest version that a reader must support, if it is
    /// declared.
    fn read_head(bytes: &'a Bytes, known: u8) -> Result<(Self, Option<u8>), EnvelopeError> {
        let [_, flags, low, high, rest @ ..] = &bytes[..] else {
            return Err(EnvelopeError::TooShort { bytes: bytes.len() });
        };
        check_flags(*flags, known)?;
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((head, data)) = rest.split_at_checked(length) else {
            let (head, rest) = (length, rest.len());
            return Err(EnvelopeError::HeadTooLong { head, rest });
        };
        let mut head = Head { rest: head };
        let mut envelope = Self {
            id: head.text("id")?,
            event_type: head.text("type")?,
            tenant: head.text("tenant")?,
            channel: Some(head.text("channel")?.unwrap_or_default()),
            published_at: u64::from_le_bytes(head.array("published_at")?),
            node: u32::from_le_bytes(head.array("node")?),
            trace: None,
            bytes,
            data,
        };
        if envelope.channel == Some("") {
            return Err(EnvelopeError::NoChannel);
        }
        if flags & flags::TRACE != 0 {
            envelope.trace = head.trace()?;
        }
        let min_reader = head.extensions()?;
        Ok((envelope, min_reader))
    }
}

fn check_flags(flags: u8, known: u8) -> Result<(), EnvelopeError> {
    for (flag, what) in [(flags::COMPRESSED, "compressed"), (flags::SIGNED, "signed")] {
        if flags & flag != 0 {
            return Err(EnvelopeError::Reserved { what });
        }
    }
    match flags & !known {
        0 => Ok(()),
        unused => Err(EnvelopeError::Flags { flags, unused }),
    }
}

/// The part of a head that has not been read yet.
struct Head<'a> {
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], EnvelopeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(EnvelopeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EnvelopeError> {
        let taken = self.take(N, field)?;
        <[u8; N]>::try_from(taken).map_err(|_| EnvelopeError::Truncated { field })
    }

    fn text(&mut self, field: &'static str) -> Result<Option<&'a str>, EnvelopeError> {
        let [length] = self.array(field)?;
        if length == ABSENT {
            return Ok(None);
        }
        std::str::from_utf8(self.take(length.into(), field)?)
            .map(Some)
            .map_err(|_| EnvelopeError::NotUtf8 { field })
    }

    /// Reads a trace context; `None`: it is malformed, which must not cost the event.
    fn trace(&mut self) -> Result<Option<TraceContext>, EnvelopeError> {
        let (trace_id, span_id) = (self.array("trace_id")?, self.array("span_id")?);
        let [flags, length] = self.array("trace_flags")?;
        let state = match length {
            ABSENT => None,
            length => std::str::from_utf8(self.take(length.into(), "tracestate")?).ok(),
        };
        Ok(TraceContext::new(trace_id, span_id, flags, state))
    }

    /// Skips all extensions. Returns the value of [`MIN_READER`], if it is there.
    fn extensions(&mut self) -> Result<Option<u8>, EnvelopeError> {
        let mut seen = [false; 256];
        let mut min_reader = None;
        while !self.rest.is_empty() {
            let [key] = self.array("extension")?;
            let length = u16::from_le_bytes(self.array("extension")?);
            let value = self.take(length.into(), "extension")?;
            if std::mem::replace(&mut seen[usize::from(key)], true) {
                return Err(EnvelopeError::Duplicate { key });
            }
            if key == MIN_READER {
                // Later versions may add bytes after the first one.
                min_reader = value.first().copied();
            }
        }
        Ok(min_reader)
    }
}
