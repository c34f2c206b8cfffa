//! What `bus=` says: which engine carries events between processes, and how publishing waits for it.
//!
//! Not here: publishing (`publish`), calls of a password function (`password`).

mod login;
mod nats;
pub(crate) mod postgres;
mod redis;
mod source;

use std::sync::Arc;
use std::time::Duration;

use brokers::nats::Login;
use brokers::{BusUrl, Credentials};
use bus::HistoryLimits;
use bus::LinkOptions;
use bus::engine::Engine;
use bus::publishing::{OnUnavailable, PublishOptions};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use runtime::EngineConfig;

use crate::error::config_error;
use crate::password::PasswordFunction;
use login::AskedLogin;
use nats::PyNats;
use postgres::PyPostgres;
use redis::PyRedis;
use source::SourceConfig;

/// `fraiseql_subs._bus.BusOptions`.
#[derive(FromPyObject)]
pub(crate) struct PyBusOptions {
    bus: PyBus,
    on_unavailable: String,
    publish_timeout: f64,
    sources: Vec<PyPostgres>,
}

/// What `bus=` takes.
#[derive(FromPyObject)]
pub(crate) enum PyBus {
    Url(String),
    Redis(PyRedis),
    Nats(PyNats),
    Postgres(PyPostgres),
}

/// An engine as it is configured.
#[derive(Clone)]
pub(crate) struct BusConfig {
    url: BusUrl,
    link: LinkOptions,
    login: Option<AskedLogin>,
    sources: Vec<SourceConfig>,
}

impl PyBusOptions {
    /// Reads what is configured; `None`: there is one process.
    pub(crate) fn read(self) -> PyResult<Option<BusConfig>> {
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
        let link = LinkOptions {
            publish,
            publish_timeout,
            accept_raw: self.bus.accepts_raw(),
        };
        let sources = self.sources.into_iter().map(SourceConfig::read);
        let sources = sources.collect::<Result<Vec<_>, _>>();
        let sources = sources.map_err(|problem| source::fault(&problem))?;
        match self.bus.read(link).map_err(bus_fault)? {
            None if !sources.is_empty() => Err(source::without_engine()),
            config => Ok(config.map(|config| BusConfig { sources, ..config })),
        }
    }
}

fn bus_fault(problem: String) -> PyErr {
    config_error(format!("bus: {problem}"))
}

/// Refuses a URL, or settings of an engine, that cannot be used. Settings are named by their class: they may be
/// those of a source.
#[pyfunction]
pub(crate) fn check_bus(bus: PyBus) -> PyResult<()> {
    let link = LinkOptions {
        publish: PublishOptions::default(),
        publish_timeout: Duration::ZERO,
        accept_raw: false,
    };
    let name = bus.name();
    let fault = |problem: String| config_error(format!("{name}: {problem}"));
    match bus.read(link).map_err(fault)? {
        Some(config) => {
            let engine = config.url().engine(None, false);
            engine.map(drop).map_err(|error| fault(error.to_string()))
        }
        None => Ok(()),
    }
}

impl PyBus {
    /// The setting, or the class of the settings.
    fn name(&self) -> &'static str {
        match self {
            Self::Url(_) => "bus",
            Self::Redis(_) => "Redis",
            Self::Nats(_) => "Nats",
            Self::Postgres(_) => "Postgres",
        }
    }

    fn accepts_raw(&self) -> bool {
        match self {
            Self::Url(_) | Self::Postgres(_) => false,
            Self::Redis(redis) => redis.accept_raw,
            Self::Nats(nats) => nats.accept_raw,
        }
    }

    fn read(self, link: LinkOptions) -> Result<Option<BusConfig>, String> {
        let parse = |text: &str| BusUrl::parse(text).map_err(|error| error.to_string());
        let (url, login) = match self {
            Self::Url(text) => match parse(&text)? {
                Some(url) => (url, None),
                None => return Ok(None),
            },
            Self::Redis(redis) => {
                let Some(BusUrl::Redis(mut config)) = parse(&redis.url)? else {
                    let example = "Redis(...) takes the URL of a Redis, such as redis://host:6379";
                    return Err(example.to_owned());
                };
                let login = redis.apply(&mut config)?;
                (BusUrl::Redis(config), login)
            }
            Self::Nats(nats) => {
                let Some(BusUrl::Nats(mut config)) = parse(&nats.url)? else {
                    let example = "Nats(...) takes the URL of NATS, such as nats://host:4222";
                    return Err(example.to_owned());
                };
                let login = nats.apply(&mut config)?;
                (BusUrl::Nats(config), login)
            }
            Self::Postgres(postgres) => {
                let Some(BusUrl::Postgres(mut config)) = parse(&postgres.url)? else {
                    return Err("Postgres(...) takes the URL of a PostgreSQL, such as \
                         postgresql://user@host/database"
                        .to_owned());
                };
                let login = postgres.apply(&mut config)?;
                (BusUrl::Postgres(config), login)
            }
        };
        Ok(Some(BusConfig {
            url,
            link,
            login,
            sources: Vec::new(),
        }))
    }
}

impl BusConfig {
    /// Creates the engine for one start of a manager. It keeps what `history` says. `by_tenant`:
    /// whether tenants are isolated.
    pub(crate) fn engine(
        &self,
        history: Option<&HistoryLimits>,
        by_tenant: bool,
    ) -> PyResult<EngineConfig> {
        let engine: Arc<dyn Engine> = self
            .url()
            .engine(history, by_tenant)
            .map_err(|error| bus_fault(error.to_string()))?;
        if !self.sources.is_empty() {
            source::check_engine(&self.url, &*engine)?;
        }
        let sources = self.sources.iter().map(SourceConfig::source);
        Ok(EngineConfig {
            name: self.url.name(),
            engine,
            link: self.link.clone(),
            sources: sources.collect::<PyResult<_>>()?,
        })
    }

    /// The engine, with what asks for its password.
    fn url(&self) -> BusUrl {
        let mut url = self.url.clone();
        if let Some(AskedLogin { user, password }) = self.login.clone() {
            let password = PasswordFunction::new(password);
            let asked = |user: Option<String>, password: PasswordFunction| {
                Credentials::from_callable(move || Ok((user.clone(), password.ask()?)))
            };
            match &mut url {
                BusUrl::Redis(config) => config.credentials = Some(asked(user, password)),
                BusUrl::Postgres(config) => config.credentials = Some(asked(user, password)),
                BusUrl::Nats(config) => {
                    config.login = match user {
                        Some(user) => Login::Password(asked(Some(user), password)),
                        None => Login::Token(asked(None, password)),
                    };
                }
            }
        }
        url
    }

    /// Visits the functions of the application, unless a running engine has them as well.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let of_sources = self.sources.iter().map(|source| &source.login);
        for login in of_sources.chain([&self.login]).flatten() {
            if Arc::strong_count(&login.password) == 1 {
                visit.call(&*login.password)?;
            }
        }
        Ok(())
    }
}
