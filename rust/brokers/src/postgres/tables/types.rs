//! The types of columns: which of them are numbers, arrays and so on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::super::cursor::TextRow;
use super::super::fault::Fault;

/// How a value of a type becomes JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer,
    Float,
    /// A text: JSON numbers would lose digits.
    Numeric,
    Json,
    Bytes,
    Timestamp,
    /// With its offset.
    TimestampTz,
    TimeTz,
    Text,
    Array {
        of: Box<Kind>,
        /// The character between its elements.
        separator: char,
    },
}

/// The first id of a type that is no part of PostgreSQL itself.
const FIRST_OF_USER: u32 = 16_384;
/// Limit of domains over domains, and of arrays of them (count).
const MAX_DEPTH: usize = 16;

/// The types that are made of others.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Types {
    types: HashMap<u32, Made>,
}

#[derive(Debug, Clone, Copy)]
enum Made {
    ArrayOf(u32, char),
    DomainOver(u32),
    /// Of another kind: its values are texts.
    Other,
}

impl Types {
    /// The query whose rows are read.
    pub(in super::super) const SQL: &'static str = "SELECT t.oid::text, \
        CASE WHEN t.typtype = 'd' THEN 'd' WHEN e.typarray = t.oid THEN 'a' ELSE 'o' END, \
        CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END::text, t.typdelim \
        FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem \
        WHERE t.typtype = 'd' OR e.typarray = t.oid OR t.oid >= 16384";

    pub(in super::super) fn of_rows(rows: &[TextRow]) -> Self {
        let text = |row: &TextRow, index: usize| row.get(index).cloned().flatten();
        Self::of(
            rows.iter()
                .map(|row| [0, 1, 2, 3].map(|index| text(row, index).unwrap_or_default())),
        )
    }

    /// Asks for the types that there are now.
    pub(in super::super) async fn ask(client: &Client, patience: Duration) -> Result<Self, Fault> {
        let answer = timeout(patience, client.simple_query(Self::SQL)).await;
        let late = |_| Fault::away("PostgreSQL has not said which types there are");
        let rows = answer
            .map_err(late)?
            .map_err(|error| Fault::of_sql(&error))?;
        Ok(Self::of_messages(&rows))
    }

    fn of_messages(messages: &[SimpleQueryMessage]) -> Self {
        Self::of(messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some([0, 1, 2, 3].map(|index| {
                row.try_get(index)
                    .ok()
                    .flatten()
                    .unwrap_or_default()
                    .to_owned()
            })),
            _ => None,
        }))
    }

    fn of(rows: impl Iterator<Item = [String; 4]>) -> Self {
        let read = |[id, kind, of, separator]: [String; 4]| {
            let of = of.parse().ok()?;
            let made = match &*kind {
                "d" => Made::DomainOver(of),
                "a" => Made::ArrayOf(of, separator.chars().next().unwrap_or(',')),
                _ => Made::Other,
            };
            Some((id.parse().ok()?, made))
        };
        Self {
            types: rows.filter_map(read).collect(),
        }
    }

    /// Whether a type is known.
    pub(super) fn has(&self, id: u32) -> bool {
        id < FIRST_OF_USER || self.types.contains_key(&id)
    }

    pub(super) fn add(&mut self, types: Self) {
        self.types.extend(types.types);
    }

    /// The kind of a type; of one that is not known: text.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kind_within(id, MAX_DEPTH)
    }

    fn kind_within(&self, id: u32, depth: usize) -> Kind {
        let Some(depth) = depth.checked_sub(1) else {
            return Kind::Text;
        };
        match id {
            16 => Kind::Bool,
            // int8, int2, int4, oid
            20 | 21 | 23 | 26 => Kind::Integer,
            700 | 701 => Kind::Float,
            1700 => Kind::Numeric,
            114 | 3802 => Kind::Json,
            17 => Kind::Bytes,
            1114 => Kind::Timestamp,
            1184 => Kind::TimestampTz,
            1266 => Kind::TimeTz,
            _ => match self.types.get(&id) {
                Some(Made::ArrayOf(of, separator)) => Kind::Array {
                    of: Box::new(self.kind_within(*of, depth)),
                    separator: *separator,
                },
                Some(Made::DomainOver(of)) => self.kind_within(*of, depth),
                Some(Made::Other) | None => Kind::Text,
            },
        }
    }
}
