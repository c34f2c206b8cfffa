//! What is wrong with a table in the database, and what to do about it.
//!
//! Not here: when it is looked at (`table_watch`).

use super::Table;
use crate::postgres::cursor::TextRow;

/// Its changes do not arrive.
const NOBODY: &str = "until then its changes reach nobody";

impl Table {
    /// The query whose rows [`Self::check`] reads: one for each column.
    pub(in crate::postgres) fn check_sql(&self) -> String {
        let literal = |text: &str| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let (schema, name) = (literal(&self.name.schema), literal(&self.name.table));
        // Servers before PostgreSQL 15 have no columns for row filters and column lists. PostgreSQL asks each
        // partition for its identity when a row of it changes; a key that is deferrable is none.
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
             WHERE p.pubname = 'fraiseql_subs'), \
             (c.relkind IN ('r', 'p'))::text, \
             (SELECT pg_catalog.string_agg(l.oid::pg_catalog.regclass::text, ', ' ORDER BY l.oid) FROM \
             pg_catalog.pg_class AS l WHERE l.relkind = 'r' AND (l.oid = c.oid OR l.oid IN (SELECT relid \
             FROM pg_catalog.pg_partition_tree(c.oid))) AND l.relreplident <> 'f' AND NOT EXISTS (SELECT \
             FROM pg_catalog.pg_index AS i WHERE i.indrelid = l.oid AND i.indimmediate AND CASE \
             l.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)) \
             FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT \
             a.attisdropped WHERE n.nspname = {schema} AND c.relname = {name}"
        )
    }

    /// Checks that the table is there, is published, and has what its events need. Returns what changes when
    /// it was not published in between.
    pub(in crate::postgres) fn check(&self, rows: &[TextRow]) -> Result<String, String> {
        let Some(first) = rows.first() else {
            return Err(format!(
                "there is no table {self}: correct its name, which has double quotes where SQL needs them; {NOBODY}"
            ));
        };
        if cell(first, 4) != Some("true") {
            return Err(format!(
                "{self} is not a table, such as a view, so the log has no changes of it: name the table that has \
                 the rows; {NOBODY}"
            ));
        }
        self.check_published(cell(first, 0))?;
        if let Some(without) = cell(first, 5) {
            return Err(format!(
                "{without} has no replica identity, so PostgreSQL refuses each UPDATE and DELETE of its rows: add a \
                 primary key, or run ALTER TABLE ... REPLICA IDENTITY FULL for each; until then only inserts \
                 succeed"
            ));
        }
        let is_ours = |name: &&str| ["_old", "_unchanged"].contains(name);
        if let Some(name) = rows.iter().filter_map(|row| cell(row, 1)).find(is_ours) {
            return Err(format!(
                "the table {self} has a column {name:?}, which events have for themselves: rename it; {NOBODY}"
            ));
        }
        let of_channel = self.channel.columns().map(|column| (column, "channel"));
        let of_tenant = self.tenant.as_deref().map(|column| (column, "tenant="));
        for (column, setting) in of_channel.chain(of_tenant) {
            let row = rows.iter().find(|row| cell(row, 1) == Some(column));
            let Some(row) = row else {
                return Err(format!(
                    "the table {self} has no column {column:?}: correct its {setting}; {NOBODY}"
                ));
            };
            if self.changes.delete && cell(row, 2) != Some("true") {
                return Err(format!(
                    "the log of a DELETE in {self} does not have the column {column:?}, which its {setting} \
                     needs: run ALTER TABLE {self} REPLICA IDENTITY FULL, or leave out \"delete\"; until then \
                     clients are told `missed` for each DELETE, and inserts and updates arrive"
                ));
            }
        }
        Ok(cell(first, 3).unwrap_or_default().to_owned())
    }

    fn check_published(&self, published: Option<&str>) -> Result<(), String> {
        let (problem, until) = match published {
            Some("yes") => return Ok(()),
            Some("partly") => (
                "are published in part: some events, rows or columns are left out",
                "until then these do not arrive",
            ),
            _ => ("are not published", NOBODY),
        };
        Err(format!(
            "the changes of {self} {problem}: run `fraiseql-subs postgres install --table {}` as an \
             administrator; {until}",
            self.name.argument()
        ))
    }
}

fn cell(row: &TextRow, index: usize) -> Option<&str> {
    row.get(index)?.as_deref()
}
