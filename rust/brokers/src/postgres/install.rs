//! The SQL that prepares a database, and its removal.
//!
//! Not here: when it is run (the command `fraiseql-subs postgres`).

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_postgres::AsyncMessage;
use tokio_postgres::error::SqlState;

use super::config::Config;
use super::fault::Fault;
use super::tables::{TableName, quoted};
use super::{outbox, publisher, sql};

/// The name of the publication, which has the tables whose changes are events.
pub(super) const PUBLICATION: &str = "fraiseql_subs";
/// The version of the schema that this program needs.
pub(super) const VERSION: i32 = 2;

const BEGIN: &str = include_str!("sql/begin.sql");
const INSTALL: &str = include_str!("sql/install.sql");
const LOG: &str = include_str!("sql/log.sql");
const OUTBOX: &str = include_str!("sql/outbox.sql");
const GRANTS: &str = include_str!("sql/grants.sql");
const SOURCE: &str = include_str!("sql/source.sql");
const TABLE: &str = include_str!("sql/table.sql");
const UNINSTALL: &str = include_str!("sql/uninstall.sql");

/// What a publisher calls, by SQL and as a program.
const PUBLISHER: [&str; 3] = [
    "fraiseql_subs.version()",
    "fraiseql_subs.form()",
    "fraiseql_subs.publish(text, jsonb, text, text, text)",
];

const COMMIT: &str = "\nCOMMIT;\n";

const PRIVILEGES: &str = "
-- To be run by an administrator, where it is wanted:
-- nodes read the log of the whole database, which needs REPLICATION. Such a role can read each table.
--     ALTER ROLE the_role_of_nodes REPLICATION;
-- Every role may write such messages without fraiseql_subs.publish until that is revoked:
--     DO $do$
--     DECLARE emit regprocedure;
--     BEGIN
--         FOR emit IN SELECT oid FROM pg_catalog.pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
--             EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', emit);
--         END LOOP;
--     END
--     $do$;
-- The role that installs this then needs it: GRANT EXECUTE ON FUNCTION ... TO the_role;
";

const REPLICATION: &str = "
DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role} AND (rolreplication OR rolsuper)) THEN
        RAISE WARNING '% needs REPLICATION as well', quote_ident({role})
            USING HINT = format('Let an administrator run ALTER ROLE %I REPLICATION.', {role});
    END IF;
END
$do$;
";

const CREATE: &str = "let an administrator run GRANT CREATE ON DATABASE the_database TO the_role";

const BLOCKED: &str = "another transaction has locked what is changed: end it, see pg_stat_activity, and run \
    this again";

/// What a database is prepared for.
#[derive(Debug, Clone, Default)]
pub struct Installation {
    /// Whether events are rows of a table, which needs no logical decoding.
    pub outbox: bool,
    /// Whether a database that is prepared in the other form is changed: its events, or its publication, are
    /// dropped.
    pub switch: bool,
    /// Tables whose changes are events, such as `public.orders`, as [`TableName::parse`] reads them.
    pub tables: Vec<String>,
    /// Roles that publish: by `fraiseql_subs.publish`, or as a program that serves nobody.
    pub publishers: Vec<String>,
    /// Roles as which nodes connect.
    pub nodes: Vec<String>,
}

impl Installation {
    /// Returns the SQL that prepares a database: one transaction, which psql can run as well.
    ///
    /// # Errors
    ///
    /// The name of a table is wrong.
    pub fn sql(&self) -> Result<String, String> {
        let parts: &[&str] = match self.outbox {
            true => &[BEGIN, INSTALL, OUTBOX, GRANTS],
            false => &[BEGIN, INSTALL, LOG, SOURCE, GRANTS],
        };
        let switch = if self.switch { "true" } else { "false" };
        let mut sql = parts.concat().replace("{switch}", switch);
        for table in &self.tables {
            let name = TableName::parse(table)?.quoted();
            sql += &TABLE.replace("{table}", &literal(&name));
        }
        let by_programs = match self.outbox {
            true => outbox::PUBLISH,
            false => publisher::CHECK,
        };
        grants(&mut sql, "publishes", &self.publishers, |sql, role| {
            let _ = writeln!(sql, "GRANT USAGE ON SCHEMA fraiseql_subs TO {role};");
            for function in PUBLISHER.into_iter().chain([by_programs]) {
                let _ = writeln!(sql, "GRANT EXECUTE ON FUNCTION {function} TO {role};");
            }
        });
        grants(&mut sql, "is a node", &self.nodes, |sql, role| {
            let _ = writeln!(sql, "GRANT USAGE ON SCHEMA fraiseql_subs TO {role};");
            let _ = writeln!(
                sql,
                "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fraiseql_subs TO {role};"
            );
        });
        if !self.outbox {
            for role in &self.nodes {
                sql += &REPLICATION.replace("{role}", &literal(role));
            }
        }
        if !self.outbox {
            sql += PRIVILEGES;
        }
        sql += COMMIT;
        Ok(sql)
    }
}

/// Returns the SQL that removes what [`Installation::sql`] has made, and the slots of sources: that of the
/// default name, and `slots`.
#[must_use]
pub fn uninstall_sql(slots: &[String]) -> String {
    let slots = slots.iter().map(|slot| literal(slot));
    let slots = std::iter::once(literal(super::DEFAULT_SLOT)).chain(slots);
    let slots = slots.collect::<Vec<_>>().join(", ");
    [BEGIN, &UNINSTALL.replace("{slots}", &slots), COMMIT].concat()
}

/// Runs SQL that is one transaction. Returns the warnings of PostgreSQL.
///
/// # Errors
///
/// The reason, without a secret, with the hint of PostgreSQL. Nothing was changed, but for slots that it
/// names.
pub async fn execute(config: &Config, statements: &str) -> Result<Vec<String>, String> {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = warnings.clone();
    let run = async {
        let hear = move |message| {
            if let AsyncMessage::Notice(notice) = message
                && notice.severity() == "WARNING"
            {
                let hint = notice.hint().map(|hint| format!(" ({hint})"));
                let text = format!("{}{}", notice.message(), hint.unwrap_or_default());
                heard.lock().push(text);
            }
        };
        let (client, connection) = sql::connect_and_hear(config, hear).await?;
        let work = async {
            client.batch_execute(statements).await.map_err(|error| {
                let fault = Fault::of_sql(&error);
                let may_not = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
                match error.code() {
                    Some(&SqlState::LOCK_NOT_AVAILABLE) => fault.advise(BLOCKED),
                    _ if may_not && fault.reason.contains("denied for database") => {
                        fault.advise(CREATE)
                    }
                    _ => fault,
                }
            })
        };
        tokio::select! {
            biased;
            done = work => done,
            fault = connection.ended() => Err(fault),
        }
    };
    run.await.map_err(|fault| fault.reason)?;
    Ok(std::mem::take(&mut *warnings.lock()))
}

/// Runs SQL as [`execute`] does, and blocks the thread until it is done.
///
/// # Errors
///
/// Those of [`execute`].
pub fn execute_blocking(config: &Config, statements: &str) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("there are no resources: {error}"))?;
    // The command line alone calls this, on a thread without an event loop: no coroutine is awaited.
    runtime.block_on(execute(config, statements))
}

/// Adds the grants of some roles; those of a placeholder as a comment if there are none.
fn grants(sql: &mut String, what: &str, roles: &[String], write: impl Fn(&mut String, &str)) {
    if roles.is_empty() {
        let mut example = String::new();
        write(&mut example, "the_role");
        let _ = writeln!(sql, "\n-- For a role that {what}:");
        for line in example.lines() {
            let _ = writeln!(sql, "--     {line}");
        }
    }
    for role in roles {
        let _ = writeln!(
            sql,
            "\n-- {} {what}.",
            quoted(role).replace(['\n', '\r'], " ")
        );
        write(sql, &quoted(role));
    }
}

fn literal(text: &str) -> String {
    // An escape string is read alike whatever standard_conforming_strings is. Without a dollar it cannot
    // end the body that it stands in.
    let text = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{}'", text.replace('$', "\\044"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let installation = Installation {
            outbox: false,
            switch: false,
            tables: vec!["public.\"it's\\$do$\"".to_owned()],
            publishers: vec!["app\"; DROP".to_owned()],
            nodes: Vec::new(),
        };
        let sql = installation.sql().unwrap();
        let literal = r#"regclass := E'"public"."it''s\\\044do\044"'"#;
        assert!(sql.contains(literal), "{sql}");
        assert!(sql.contains("TO \"app\"\"; DROP\";"));
        assert!(sql.contains(
            "--     GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fraiseql_subs TO the_role;"
        ));
    }
}
