//! What `sources=` says: what is published elsewhere, and enters the engine through one of the nodes.
//!
//! Not here: how a source works (`brokers`).

use std::sync::Arc;

use brokers::postgres::{Config, DEFAULT_SLOT, LogSource};
use brokers::{BusUrl, Credentials};
use bus::engine::Engine;
use bus::source::Source;
use pyo3::prelude::*;

use super::login::AskedLogin;
use super::postgres::PyPostgres;
use crate::error::config_error;
use crate::password::PasswordFunction;

/// A source as it is configured.
#[derive(Clone)]
pub(super) struct SourceConfig {
    config: Box<Config>,
    slot: String,
    pub(super) login: Option<AskedLogin>,
}

impl SourceConfig {
    pub(super) fn read(postgres: PyPostgres) -> Result<Self, String> {
        let parsed = BusUrl::parse(&postgres.url).map_err(|error| error.to_string())?;
        let Some(BusUrl::Postgres(mut config)) = parsed else {
            return Err("pass Postgres(...) with the URL of a PostgreSQL, such as \
                 postgresql://user@host/database"
                .to_owned());
        };
        let slot = postgres.slot.clone();
        let login = postgres.apply(&mut config)?;
        Ok(Self {
            config,
            slot: slot.unwrap_or_else(|| DEFAULT_SLOT.to_owned()),
            login,
        })
    }

    /// Creates the source for one start of a manager.
    pub(super) fn source(&self) -> PyResult<Arc<dyn Source>> {
        let mut config = (*self.config).clone();
        if let Some(AskedLogin { user, password }) = self.login.clone() {
            let password = PasswordFunction::new(password);
            let asked = move || Ok((user.clone(), password.ask()?));
            config.credentials = Some(Credentials::from_callable(asked));
        }
        let source = LogSource::new(config, &self.slot);
        Ok(Arc::new(source.map_err(|error| fault(&error.to_string()))?))
    }
}

/// Refuses an engine by which a source cannot publish.
pub(super) fn check_engine(url: &BusUrl, engine: &dyn Engine) -> PyResult<()> {
    if matches!(url, BusUrl::Postgres(_)) {
        return Err(fault(
            "the bus is PostgreSQL, whose nodes read its log themselves: pass tables= to the bus, or set \
             bus= to a Redis or NATS",
        ));
    }
    let capabilities = engine.capabilities();
    if capabilities.idempotency.is_none() || capabilities.history.is_none() {
        return Err(fault(
            "the bus keeps no history, so an event would be published twice when another node takes over: \
             leave out history=None and ?history=off",
        ));
    }
    Ok(())
}

/// There is no engine.
pub(super) fn without_engine() -> PyErr {
    fault(
        "the bus is memory://, which reaches no other process: set bus= to a Redis or NATS, such as \
         \"redis://127.0.0.1:6379\", or for a few nodes to the PostgreSQL itself",
    )
}

pub(super) fn fault(problem: &str) -> PyErr {
    config_error(format!("sources: {problem}"))
}
