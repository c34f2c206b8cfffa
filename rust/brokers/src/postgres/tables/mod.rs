//! Changes of tables as events.
//!
//! An event has the row as its data: a member for each column. `_old` has the values before the change,
//! where the replica identity of the table has them, and the row was on the same stream. `_unchanged` lists the columns that the log does not
//! have, because they are stored apart and were not changed.
//!
//! Not here: reading the log (`subscriber`), what is wrong with a table (`check`).

mod check;
mod json;
mod name;
mod places;
mod rows;
mod template;
mod types;

use std::fmt;

use self::template::Template;
use super::pgoutput::Relation;
pub use name::TableName;
pub(super) use name::quoted;
pub(super) use rows::{Lacking, Row, RowChange, RowFault, Tables};
pub(super) use types::Types;

/// A table whose changes are events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: TableName,
    channel: Template,
    changes: Changes,
    tenant: Option<String>,
}

/// Which changes are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Rows that are inserted.
    pub insert: bool,
    /// Rows that are updated.
    pub update: bool,
    /// Rows that are deleted.
    pub delete: bool,
}

impl Table {
    /// A table and the channel of its events.
    ///
    /// `name` is that of [`TableName::parse`]. `channel` may have columns in braces,
    /// as in `orders.{customer_id}`. `tenant` is the column with the tenant of a row, where tenants are
    /// isolated.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to write.
    pub fn new(
        name: &str,
        channel: &str,
        changes: Changes,
        tenant: Option<String>,
    ) -> Result<Self, String> {
        let name = TableName::parse(name)?;
        if !(changes.insert || changes.update || changes.delete) {
            return Err(format!("the table {name} has no events: name one of them"));
        }
        Ok(Self {
            name,
            channel: Template::parse(channel)?,
            changes,
            tenant,
        })
    }

    /// Whether another one may put the same change on the same channel: events of one change have one position.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        self.name == other.name && self.channel.may_meet(&other.channel)
    }

    /// The channel, with columns in braces.
    pub(super) fn channel(&self) -> String {
        self.channel.to_string()
    }

    fn is_of(&self, relation: &Relation) -> bool {
        self.name.schema == relation.schema && self.name.table == relation.name
    }

    /// Whether a channel may have events of the table.
    pub(super) fn may_be_on(&self, channel: &str) -> bool {
        self.channel.may_be(channel)
    }

    /// Names it among the tables of a node, which may have one on several channels.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.name, self.channel)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
