//! Changes of tables as events.
//!
//! An event has the row as its data: a member for each column. `_old` has the values before the change,
//! where the replica identity of the table has them, and the row was on the same stream. `_unchanged` lists the columns that the log does not
//! have, because they are stored apart and were not changed.
//!
//! Not here: reading the log (`subscriber`).

mod json;
mod name;
mod places;
mod rows;
mod template;
mod types;

use std::fmt;

use self::template::Template;
use super::cursor::TextRow;
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

    /// The columns that decide where an event goes.
    fn columns(&self) -> impl Iterator<Item = &str> {
        self.channel.columns().chain(self.tenant.as_deref())
    }

    /// The query whose rows [`Self::check`] reads.
    pub(super) fn check_sql(&self) -> String {
        let literal = |text: &str| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let (schema, name) = (literal(&self.name.schema), literal(&self.name.table));
        // Servers before PostgreSQL 15 have no columns for row filters and column lists.
        format!(
            "SELECT CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t WHERE t.pubname = \
             'fraiseql_subs' AND t.schemaname = {schema} AND t.tablename = {name}) THEN 'no' WHEN EXISTS \
             (SELECT FROM pg_catalog.pg_publication AS p WHERE p.pubname = 'fraiseql_subs' AND NOT \
             (p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot)) OR EXISTS \
             (SELECT FROM pg_catalog.pg_publication_rel AS r JOIN pg_catalog.pg_publication AS p ON p.oid = \
             r.prpubid WHERE p.pubname = 'fraiseql_subs' AND r.prrelid = c.oid AND \
             coalesce(pg_catalog.to_jsonb(r) ->> 'prqual', pg_catalog.to_jsonb(r) ->> 'prattrs') IS NOT \
             NULL) THEN 'partly' ELSE 'yes' END, a.attname, \
             (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = \
             c.oid AND a.attnum = ANY (i.indkey) AND CASE c.relreplident WHEN 'd' THEN i.indisprimary \
             WHEN 'i' THEN i.indisreplident ELSE false END))::text, \
             (SELECT pg_catalog.concat_ws('.', c.oid, p.oid, p.xmin, r.oid) FROM pg_catalog.pg_publication \
             AS p LEFT JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = c.oid \
             WHERE p.pubname = 'fraiseql_subs') \
             FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT \
             a.attisdropped WHERE n.nspname = {schema} AND c.relname = {name}"
        )
    }

    /// Names it among the tables of a node, which may have one on several channels.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.name, self.channel)
    }

    /// Checks that the table is there, is published, and has what its channel needs. Returns what changes when
    /// it was not published in between.
    pub(super) fn check(&self, rows: &[TextRow]) -> Result<String, String> {
        let text = |row: &TextRow, index: usize| row.get(index).cloned().flatten();
        let Some(first) = rows.first() else {
            return Err(format!(
                "there is no table {self}: correct its name, which has double quotes where SQL needs them"
            ));
        };
        let problem = match text(first, 0).as_deref() {
            Some("yes") => None,
            Some("partly") => {
                Some("are published in part: some events, rows or columns are left out")
            }
            _ => Some("are not published"),
        };
        if let Some(problem) = problem {
            return Err(format!(
                "the changes of {self} {problem}: run `fraiseql-subs postgres install --table {}` as an \
                 administrator",
                self.name.argument()
            ));
        }
        let is_ours = |row: &&TextRow| {
            let name = text(row, 1);
            name.is_some_and(|name| ["_old", "_unchanged"].contains(&&*name))
        };
        if let Some(name) = rows.iter().find(is_ours).and_then(|row| text(row, 1)) {
            return Err(format!(
                "the table {self} has a column {name:?}, which events have for themselves: rename it"
            ));
        }
        for column in self.columns() {
            let Some(row) = rows
                .iter()
                .find(|row| text(row, 1).as_deref() == Some(column))
            else {
                return Err(format!(
                    "the table {self} has no column {column:?}: correct its channel"
                ));
            };
            if self.changes.delete && text(row, 2).as_deref() != Some("true") {
                return Err(format!(
                    "the log of a DELETE in {self} does not have the column {column:?}, which its channel \
                     needs: run ALTER TABLE {self} REPLICA IDENTITY FULL, or leave out \"delete\""
                ));
            }
        }
        Ok(text(first, 3).unwrap_or_default())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
