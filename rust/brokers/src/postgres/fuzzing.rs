//! Entry points for the targets of `fuzz/`: what is read of the bytes of a server. No other code uses this
//! module.

use bus::{Envelope, StreamKey};
use bytes::Bytes;

use super::pgoutput::Change;
use super::received::{Frame, Received, frame};
use super::tables::{Changes, Row, RowChange, Table, Tables, Types};

/// Reads the messages of a stream that arrives in pieces; those past `limit` (bytes) are skipped. Returns
/// each as text, and whether the stream could be read to its end.
pub fn read_stream<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    limit: usize,
) -> (Vec<String>, bool) {
    let mut received = Received::new(limit);
    let mut read = Vec::new();
    for piece in pieces {
        received.room().extend_from_slice(piece);
        loop {
            let message = match received.take() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => return (read, false),
            };
            match frame(message) {
                Ok(Some(Frame::Data(data))) => read.push(format!("{data:?}")),
                Ok(found) => read.push(format!("{found:?}")),
                Err(_) => return (read, false),
            }
        }
    }
    (read, true)
}

/// Reads messages of the log, and makes events of them. Returns their streams and envelopes.
///
/// # Panics
///
/// An event has an envelope that cannot be read.
pub fn events(messages: impl IntoIterator<Item = Bytes>) -> Vec<(StreamKey, Bytes)> {
    let changes = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    let table = |channel: &str| Table::new("public.t", channel, changes, Some("a".to_owned()));
    let tables: Vec<Table> = ["t", "t.{a}.{b}"]
        .map(table)
        .into_iter()
        .flatten()
        .collect();
    let mut tables = Tables::new(&tables, Types::default());
    let mut made = Vec::new();
    for message in messages {
        let (table, row) = match Change::read(message) {
            Ok(Change::Relation(relation)) => {
                tables.define(relation);
                continue;
            }
            Ok(Change::Insert { table, new }) => (table, row(RowChange::Insert, Some(new), None)),
            Ok(Change::Update { table, old, new }) => {
                (table, row(RowChange::Update, Some(new), old))
            }
            Ok(Change::Delete { table, old }) => (table, row(RowChange::Delete, None, Some(old))),
            _ => continue,
        };
        let events = tables.events(table, &row, true, |name| Some(name.key()));
        made.extend(events.into_iter().flatten());
    }
    for (stream, envelope) in &made {
        let read = Envelope::read(envelope, false);
        let is_of_stream =
            read.is_ok_and(|read| read.json().is_ok() && read.channel == Some(&*stream.channel));
        assert!(is_of_stream, "{stream:?} {envelope:?}");
    }
    made
}

fn row(
    change: RowChange,
    new: Option<super::pgoutput::Tuple>,
    old: Option<super::pgoutput::Old>,
) -> Row {
    Row { change, new, old }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of the protocol, or a part of one.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let content = prop::collection::vec(any::<u8>(), 0..600);
        let tag = prop::sample::select(b"ddddEcCZN".to_vec());
        let kind = prop::sample::select(b"wkx".to_vec());
        (tag, kind, content, -1..2_i32).prop_map(|(tag, kind, content, wrong)| {
            let length = (content.len() as u32 + 5).saturating_add_signed(wrong);
            let mut bytes = vec![tag];
            bytes.extend(length.to_be_bytes());
            bytes.push(kind);
            bytes.extend(content);
            bytes
        })
    }

    /// Values of a row.
    fn tuple() -> impl Strategy<Value = Vec<u8>> {
        let text = "[a-z0-9{}\\[\\]\",:\\\\+. -]{0,12}|\\PC{0,4}";
        let value = prop_oneof![
            1 => Just(vec![b'n']),
            1 => Just(vec![b'u']),
            6 => text.prop_map(|text| {
                let mut bytes = vec![b't'];
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text.bytes());
                bytes
            }),
        ];
        prop::collection::vec(value, 0..9).prop_map(|values| {
            let mut bytes = (values.len() as u16).to_be_bytes().to_vec();
            bytes.extend(values.concat());
            bytes
        })
    }

    /// The definition of a table, with columns of several types.
    fn relation() -> impl Strategy<Value = Vec<u8>> {
        let kinds = vec![
            16_u32, 17, 20, 25, 114, 701, 1007, 1009, 1114, 1184, 1700, 3802, 99_999,
        ];
        let column = (0..2_u8, "[abc_]{0,2}", prop::sample::select(kinds));
        prop::collection::vec(column, 0..8).prop_map(|columns| {
            let mut bytes = b"R\0\0\0\x09public\0t\0d".to_vec();
            bytes.extend((columns.len() as u16).to_be_bytes());
            for (flags, name, kind) in columns {
                bytes.push(flags);
                bytes.extend(name.bytes());
                bytes.push(0);
                bytes.extend(kind.to_be_bytes());
                bytes.extend([0xFF; 4]);
            }
            bytes
        })
    }

    fn change() -> impl Strategy<Value = Vec<u8>> {
        let mark = || prop::sample::select(b"KO".to_vec());
        prop_oneof![
            1 => relation(),
            2 => tuple().prop_map(|new| [b"I\0\0\0\x09N".to_vec(), new].concat()),
            3 => (mark(), tuple(), tuple()).prop_map(|(mark, old, new)| {
                [b"U\0\0\0\x09".to_vec(), vec![mark], old, vec![b'N'], new].concat()
            }),
            1 => (mark(), tuple()).prop_map(|(mark, old)| {
                [b"D\0\0\0\x09".to_vec(), vec![mark], old].concat()
            }),
            1 => prop::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        #[test]
        fn the_messages_of_a_stream_do_not_depend_on_its_pieces(
            messages in prop::collection::vec(message(), 0..8),
            limit in 0..800_usize,
            size in 1..700_usize,
        ) {
            let stream = messages.concat();
            let at_once = read_stream([&stream[..]], limit);
            prop_assert_eq!(read_stream(stream.chunks(size), limit), at_once);
        }

        #[test]
        fn each_event_of_any_messages_can_be_read(
            first in relation(),
            changes in prop::collection::vec(change(), 0..12),
        ) {
            let messages = [vec![first], changes].concat();
            events(messages.into_iter().map(Bytes::from));
        }
    }
}
