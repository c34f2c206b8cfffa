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
