//! What is known of a message of the log that is too large, and was skipped: its beginning.

use bus::Envelope;
use bytes::{Buf, Bytes};

use super::log::PREFIX;

/// What a skipped message was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// A row of a table.
    Row(u32),
    /// An event that was published.
    Event {
        is_transactional: bool,
        /// The place after it in the log.
        end: u64,
        /// The beginning of its envelope.
        head: Bytes,
    },
    /// A message of another program.
    Foreign { is_transactional: bool },
    /// Not known.
    Unknown,
}

impl Skipped {
    /// Reads the beginning of a message.
    pub(super) fn read(head: &Bytes) -> Self {
        match head.first() {
            Some(b'I' | b'U' | b'D') => head
                .get(1..5)
                .and_then(|id| id.try_into().ok())
                .map_or(Self::Unknown, |id| Self::Row(u32::from_be_bytes(id))),
            Some(b'M') => Self::message(head.slice(1..)).unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    fn message(mut rest: Bytes) -> Option<Self> {
        if rest.len() < 9 {
            return None;
        }
        let is_transactional = rest.get_u8() & 1 == 1;
        let end = rest.get_u64();
        let length = rest.iter().position(|byte| *byte == 0)?;
        let prefix = rest.split_to(length);
        if prefix != PREFIX.as_bytes() {
            return Some(Self::Foreign { is_transactional });
        }
        // The end of the prefix, and the length of the content.
        let head = rest.get(5..).map(|head| rest.slice_ref(head))?;
        Some(Self::Event {
            is_transactional,
            end,
            head,
        })
    }
}

/// The tenant and the channel of an event of which only the beginning is known.
pub(super) fn stream_of(head: &Bytes) -> Option<(Option<&str>, &str)> {
    let envelope = Envelope::read(head, false).ok()?;
    Some((envelope.tenant, envelope.channel?))
}

#[cfg(test)]
mod tests {
    use bus::Draft;

    use super::*;

    #[test]
    fn the_beginning_says_what_it_was() {
        assert_eq!(
            Skipped::read(&Bytes::from_static(b"I\0\0\0\x09N\0\x03")),
            Skipped::Row(9)
        );
        assert_eq!(
            Skipped::read(&Bytes::from_static(b"U\0\0")),
            Skipped::Unknown
        );
        assert_eq!(
            Skipped::read(&Bytes::from_static(b"M\x01")),
            Skipped::Unknown
        );
        assert_eq!(Skipped::read(&Bytes::new()), Skipped::Unknown);
        let foreign = Bytes::from_static(b"M\x01\0\0\0\0\0\0\0\x07other\0\0\0\0\x01x");
        let expected = Skipped::Foreign {
            is_transactional: true,
        };
        assert_eq!(Skipped::read(&foreign), expected);
    }

    #[test]
    fn the_beginning_of_an_event_says_of_which_stream_it_is() {
        let draft = Draft {
            channel: "orders".into(),
            event_type: None,
            tenant_id: Some("acme".into()),
            id: None,
            data: serde_json::Value::from("x".repeat(1000)).into(),
            trace: None,
        };
        let envelope = Envelope::write(&draft, 0, 0).unwrap();
        let mut bytes = b"M\0\0\0\0\0\0\0\0\x07fs1\0".to_vec();
        bytes.extend((envelope.len() as u32).to_be_bytes());
        bytes.extend(&envelope[..200]);
        let Skipped::Event {
            is_transactional: false,
            end: 7,
            head,
        } = Skipped::read(&bytes.into())
        else {
            panic!("it is no event");
        };
        assert_eq!(stream_of(&head), Some((Some("acme"), "orders")));
    }
}
