//! Decodes the messages of the plugin `pgoutput`, protocol version 1.
//!
//! Texts of values are slices of the received bytes. Not here: values as JSON (`tables`).

use bytes::Bytes;

use super::cursor::{Cursor, malformed};
use super::fault::Fault;

/// A message of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A committed transaction begins.
    Begin {
        /// The place of its commit in the log.
        commit: u64,
        /// When it was committed (µs since 2000), by the clock of the server.
        at: u64,
        /// The lower half of its id.
        id: u32,
    },
    /// The transaction ends.
    Commit {
        /// The place after its commit in the log.
        end: u64,
    },
    /// The columns of a table, before its first row and after each change of its definition.
    Relation(Relation),
    /// A row was inserted.
    Insert { table: u32, new: Tuple },
    /// A row was updated. `old`: its values before, where the replica identity has them.
    Update {
        table: u32,
        old: Option<Old>,
        new: Tuple,
    },
    /// A row was deleted.
    Delete { table: u32, old: Old },
    /// Tables were truncated.
    Truncate { tables: Vec<u32> },
    /// A message that was written to the log.
    Message {
        is_transactional: bool,
        /// The place after it in the log.
        end: u64,
        prefix: String,
        content: Bytes,
    },
    /// A message that has no meaning here.
    Other,
}

/// The definition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// The definition of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Whether the replica identity has it.
    pub(super) is_identity: bool,
    /// The id of its type.
    pub(super) kind: u32,
}

/// The values of a row, in the order of the columns.
pub(super) type Tuple = Vec<Value>;

/// The values of a row before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Old {
    /// Whether only columns of the replica identity have their value; the others are null here.
    pub(super) is_key: bool,
    pub(super) values: Tuple,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// Stored apart and not changed, so the log does not have it.
    Unchanged,
    /// As PostgreSQL writes it.
    Text(Bytes),
}

impl Change {
    /// Decodes a message.
    pub(super) fn read(message: Bytes) -> Result<Self, Fault> {
        let mut body = Cursor::new(message);
        Ok(match body.u8()? {
            b'B' => Self::Begin {
                commit: body.u64()?,
                at: body.u64()?,
                id: body.u32()?,
            },
            b'C' => {
                // Flags, and the place of the commit.
                body.u8()?;
                body.u64()?;
                Self::Commit { end: body.u64()? }
            }
            b'R' => Self::Relation(relation(&mut body)?),
            b'I' => {
                let table = body.u32()?;
                match body.u8()? {
                    b'N' => Self::Insert {
                        table,
                        new: tuple(&mut body)?,
                    },
                    _ => return Err(malformed()),
                }
            }
            b'U' => {
                let table = body.u32()?;
                let mut mark = body.u8()?;
                let mut old = None;
                if mark != b'N' {
                    old = Some(old_of(mark, &mut body)?);
                    mark = body.u8()?;
                }
                match mark {
                    b'N' => Self::Update {
                        table,
                        old,
                        new: tuple(&mut body)?,
                    },
                    _ => return Err(malformed()),
                }
            }
            b'D' => {
                let table = body.u32()?;
                let mark = body.u8()?;
                Self::Delete {
                    table,
                    old: old_of(mark, &mut body)?,
                }
            }
            b'T' => {
                let count = body.u32()?;
                body.u8()?;
                let tables = (0..count).map(|_| body.u32()).collect::<Result<_, _>>()?;
                Self::Truncate { tables }
            }
            b'M' => {
                let is_transactional = body.u8()? & 1 == 1;
                let end = body.u64()?;
                let prefix = body.text()?;
                let length = body.u32()? as usize;
                let content = body.bytes(length)?;
                Self::Message {
                    is_transactional,
                    end,
                    prefix,
                    content,
                }
            }
            _ => Self::Other,
        })
    }
}

fn relation(body: &mut Cursor) -> Result<Relation, Fault> {
    let id = body.u32()?;
    let schema = body.text()?;
    let name = body.text()?;
    // The kind of the replica identity; the columns say which of them belong to it.
    body.u8()?;
    let count = body.u16()?;
    let column = |_| {
        let flags = body.u8()?;
        let name = body.text()?;
        let kind = body.u32()?;
        body.u32()?;
        Ok(Column {
            name,
            is_identity: flags & 1 == 1,
            kind,
        })
    };
    let columns = (0..count).map(column).collect::<Result<_, Fault>>()?;
    // The schema pg_catalog is sent as an empty text.
    let schema = if schema.is_empty() {
        "pg_catalog".to_owned()
    } else {
        schema
    };
    Ok(Relation {
        id,
        schema,
        name,
        columns,
    })
}

fn old_of(mark: u8, body: &mut Cursor) -> Result<Old, Fault> {
    let is_key = match mark {
        b'K' => true,
        b'O' => false,
        _ => return Err(malformed()),
    };
    Ok(Old {
        is_key,
        values: tuple(body)?,
    })
}

fn tuple(body: &mut Cursor) -> Result<Tuple, Fault> {
    let count = body.u16()?;
    let value = |_| {
        Ok(match body.u8()? {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            b't' => {
                let length = body.u32()? as usize;
                Value::Text(body.bytes(length)?)
            }
            _ => return Err(malformed()),
        })
    };
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_decoded() {
        let mut bytes = vec![b'M', 1];
        bytes.extend(77_u64.to_be_bytes());
        bytes.extend(b"fs1\0");
        bytes.extend(3_u32.to_be_bytes());
        bytes.extend([1, 2, 3]);
        let expected = Change::Message {
            is_transactional: true,
            end: 77,
            prefix: "fs1".to_owned(),
            content: Bytes::from_static(&[1, 2, 3]),
        };
        assert_eq!(Change::read(bytes.clone().into()), Ok(expected));
        for length in 0..bytes.len() {
            assert!(
                Change::read(bytes[..length].to_vec().into()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn an_update_with_the_old_row_is_decoded() {
        let mut bytes = vec![b'U', 0, 0, 0, 9, b'K', 0, 1, b't', 0, 0, 0, 1, b'7'];
        bytes.extend([b'N', 0, 2, b'n', b'u']);
        let old = Old {
            is_key: true,
            values: vec![Value::Text("7".into())],
        };
        let new = vec![Value::Null, Value::Unchanged];
        let expected = Change::Update {
            table: 9,
            old: Some(old),
            new,
        };
        assert_eq!(Change::read(bytes.into()), Ok(expected));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, tag in prop::sample::select(b"BCRIUDTMYO".to_vec())) {
            let mut message = vec![tag];
            message.extend(bytes);
            let _ = Change::read(message.into());
        }
    }
}
