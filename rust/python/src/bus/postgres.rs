//! `fraiseql_subs.Postgres` and its tables, and the SQL that prepares a database.
//!
//! Not here: the command line (`fraiseql_subs.commands.postgres`).

use std::path::PathBuf;
use std::sync::Arc;

use brokers::Credentials;
use brokers::postgres::{
    Changes, Config, Installation, LogSource, Table, execute_blocking, uninstall_sql,
};
use pyo3::prelude::*;

use super::login::{AskedLogin, PySecret, add_tls};
use crate::error::config_error;

/// `fraiseql_subs.Postgres`.
#[derive(FromPyObject)]
pub(crate) struct PyPostgres {
    pub(super) url: String,
    username: Option<String>,
    password: Option<PySecret>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    max_event_bytes: Option<usize>,
    tables: Vec<PyTable>,
    outbox: Option<bool>,
    pub(super) slot: Option<String>,
}

/// `fraiseql_subs.Table`.
#[derive(FromPyObject)]
struct PyTable {
    name: String,
    channel: String,
    events: Vec<String>,
    tenant: Option<String>,
}

impl PyPostgres {
    /// Adds what the URL does not say, and replaces what both say; but for a login that has to be asked
    /// for, which it returns.
    pub(super) fn apply(self, config: &mut Config) -> Result<Option<AskedLogin>, String> {
        let mut asked = None;
        if let Some(slot) = &self.slot {
            LogSource::check_slot(slot).map_err(|error| error.to_string())?;
        }
        if let Some(user) = self.username {
            config.set_user(&user);
        }
        match self.password {
            None => {}
            Some(PySecret::Text(text)) => {
                config.credentials = Some(Credentials::fixed(None, text));
            }
            Some(PySecret::Function(function)) => {
                let password = Arc::new(function);
                asked = Some(AskedLogin {
                    user: None,
                    password,
                });
            }
        }
        let identity = (self.client_cert, self.client_key);
        add_tls(
            config.tls.as_mut(),
            self.ca,
            identity,
            "sslmode=verify-full",
        )?;
        config.max_event_bytes = self.max_event_bytes.unwrap_or(config.max_event_bytes);
        let tables = self.tables.into_iter().map(PyTable::read);
        config.tables = tables.collect::<Result<_, _>>()?;
        config.outbox = self.outbox.unwrap_or(config.outbox);
        config.check().map_err(|error| error.to_string())?;
        Ok(asked)
    }
}

impl PyTable {
    fn read(self) -> Result<Table, String> {
        let has = |event: &str| self.events.iter().any(|of| of == event);
        let changes = Changes {
            insert: has("insert"),
            update: has("update"),
            delete: has("delete"),
        };
        Table::new(&self.name, &self.channel, changes, self.tenant)
    }
}

/// Returns the SQL that prepares a database.
#[pyfunction]
pub(crate) fn postgres_install_sql(
    tables: Vec<String>,
    publishers: Vec<String>,
    nodes: Vec<String>,
    outbox: bool,
    switch: bool,
) -> PyResult<String> {
    let installation = Installation {
        outbox,
        switch,
        tables,
        publishers,
        nodes,
    };
    installation.sql().map_err(config_error)
}

/// Returns the SQL that removes what was installed, and the slots of sources.
#[pyfunction]
pub(crate) fn postgres_uninstall_sql(slots: Vec<String>) -> String {
    uninstall_sql(&slots)
}

/// Runs SQL in one transaction. Returns why it has failed, or `None`, and the warnings of PostgreSQL.
#[pyfunction]
pub(crate) fn postgres_execute(
    py: Python<'_>,
    url: &str,
    sql: &str,
) -> PyResult<(Option<String>, Vec<String>)> {
    let config = Config::from_url(url).map_err(|error| config_error(error.to_string()))?;
    Ok(match py.detach(|| execute_blocking(&config, sql)) {
        Ok(warnings) => (None, warnings),
        Err(failure) => (Some(failure), Vec::new()),
    })
}
