//! What `bus=` says: which engine carries events between processes, and how publishing waits for it.
//!
//! Not here: publishing (`publish`).

use std::sync::Arc;
use std::time::Duration;

use brokers::BusUrl;
use bus::HistoryLimits;
use bus::LinkOptions;
use bus::engine::Engine;
use bus::publishing::{OnUnavailable, PublishOptions};
use pyo3::prelude::*;
use runtime::EngineConfig;

use crate::error::config_error;

/// `fraiseql_subs.config.BusOptions`.
#[derive(FromPyObject)]
pub(crate) struct PyBusOptions {
    url: String,
    on_unavailable: String,
    publish_timeout: f64,
}

/// An engine as it is configured.
#[derive(Clone)]
pub(crate) struct BusConfig {
    url: BusUrl,
    link: LinkOptions,
}

impl PyBusOptions {
    /// Reads what is configured; `None`: there is one process.
    pub(crate) fn read(&self) -> PyResult<Option<BusConfig>> {
        let url =
            BusUrl::parse(&self.url).map_err(|error| config_error(format!("bus: {error}")))?;
        let Some(url) = url else { return Ok(None) };
        let on_unavailable = match &*self.on_unavailable {
            "fail" => OnUnavailable::Fail,
            "queue" => OnUnavailable::Queue,
            _ => OnUnavailable::Wait,
        };
        let publish = PublishOptions {
            on_unavailable,
            ..PublishOptions::default()
        };
        let publish_timeout = Duration::try_from_secs_f64(self.publish_timeout)
            .map_err(|error| config_error(format!("publish_timeout: {error}")))?;
        Ok(Some(BusConfig {
            url,
            link: LinkOptions {
                publish,
                publish_timeout,
            },
        }))
    }
}

/// Refuses a URL that names no engine, or a wrong one.
#[pyfunction]
pub(crate) fn check_bus(url: &str) -> PyResult<()> {
    let parsed = BusUrl::parse(url).and_then(|url| url.map(|url| url.engine(None)).transpose());
    match parsed {
        Ok(_) => Ok(()),
        Err(error) => Err(config_error(format!("bus: {error}"))),
    }
}

impl BusConfig {
    /// Creates the engine for one start of a manager. It keeps what `history` says.
    pub(crate) fn engine(&self, history: Option<&HistoryLimits>) -> PyResult<EngineConfig> {
        let engine: Arc<dyn Engine> = self
            .url
            .engine(history)
            .map_err(|error| config_error(format!("bus: {error}")))?;
        Ok(EngineConfig {
            engine,
            link: self.link.clone(),
        })
    }
}
