//! What `bus=` says: which engine carries events between processes, and how publishing waits for it.
//!
//! Not here: publishing (`publish`), calls of a password function (`password`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use brokers::redis::Config;
use brokers::{BusUrl, Credentials, Tls};
use bus::HistoryLimits;
use bus::LinkOptions;
use bus::engine::Engine;
use bus::publishing::{OnUnavailable, PublishOptions};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use runtime::EngineConfig;

use crate::error::config_error;
use crate::password::PasswordFunction;
use crate::postgres::PyPostgres;

/// `fraiseql_subs._bus.BusOptions`.
#[derive(FromPyObject)]
pub(crate) struct PyBusOptions {
    bus: PyBus,
    on_unavailable: String,
    publish_timeout: f64,
}

/// What `bus=` takes.
#[derive(FromPyObject)]
pub(crate) enum PyBus {
    Url(String),
    Redis(PyRedis),
    Postgres(PyPostgres),
}

/// `fraiseql_subs.Redis`.
#[derive(FromPyObject)]
pub(crate) struct PyRedis {
    url: String,
    username: Option<String>,
    password: Option<PyPassword>,
    sentinel_password: Option<String>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    partitions: Option<u32>,
    prefix: Option<String>,
    max_event_bytes: Option<usize>,
    accept_raw: bool,
}

#[derive(FromPyObject)]
pub(crate) enum PyPassword {
    Text(String),
    Function(Py<PyAny>),
}

/// An engine as it is configured.
#[derive(Clone)]
pub(crate) struct BusConfig {
    url: BusUrl,
    link: LinkOptions,
    login: Option<AskedLogin>,
}

/// Who connects, where a function returns the password.
#[derive(Clone)]
pub(crate) struct AskedLogin {
    pub(crate) user: Option<String>,
    pub(crate) password: Arc<Py<PyAny>>,
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
        self.bus.read(link).map_err(bus_fault)
    }
}

fn bus_fault(problem: String) -> PyErr {
    config_error(format!("bus: {problem}"))
}

/// Refuses a URL, or settings of an engine, that cannot be used.
#[pyfunction]
pub(crate) fn check_bus(bus: PyBus) -> PyResult<()> {
    let link = LinkOptions {
        publish: PublishOptions::default(),
        publish_timeout: Duration::ZERO,
        accept_raw: false,
    };
    match bus.read(link).map_err(bus_fault)? {
        Some(config) => config.engine(None, false).map(drop),
        None => Ok(()),
    }
}

impl PyBus {
    fn accepts_raw(&self) -> bool {
        matches!(self, Self::Redis(redis) if redis.accept_raw)
    }

    fn read(self, link: LinkOptions) -> Result<Option<BusConfig>, String> {
        let parse = |text: &str| BusUrl::parse(text).map_err(|error| error.to_string());
        let (url, login) = match self {
            Self::Url(text) => match parse(&text)? {
                Some(url) => (url, None),
                None => return Ok(None),
            },
            Self::Redis(mut redis) => {
                let Some(BusUrl::Redis(mut config)) = parse(&std::mem::take(&mut redis.url))?
                else {
                    return Err(
                        "Redis(...) takes the URL of a Redis, such as redis://host:6379".to_owned(),
                    );
                };
                let login = redis.apply(&mut config)?;
                (BusUrl::Redis(config), login)
            }
            Self::Postgres(mut postgres) => {
                let url = parse(&std::mem::take(&mut postgres.url))?;
                let Some(BusUrl::Postgres(mut config)) = url else {
                    return Err("Postgres(...) takes the URL of a PostgreSQL, such as \
                         postgresql://user@host/database"
                        .to_owned());
                };
                let login = postgres.apply(&mut config)?;
                (BusUrl::Postgres(config), login)
            }
        };
        Ok(Some(BusConfig { url, link, login }))
    }
}

/// Replaces files of TLS; `scheme`: what to write for TLS.
pub(crate) fn set_tls(
    tls: Option<&mut Tls>,
    scheme: &str,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
) -> Result<(), String> {
    if ca.is_none() && client_cert.is_none() && client_key.is_none() {
        return Ok(());
    }
    let tls =
        tls.ok_or_else(|| format!("ca=, client_cert= and client_key= need TLS: write {scheme}"))?;
    tls.authorities = ca.or(tls.authorities.take());
    match (client_cert, client_key) {
        (None, None) => {}
        (Some(certificate), Some(key)) => tls.identity = Some((certificate, key)),
        _ => return Err("client_cert= and client_key= belong together: set both".to_owned()),
    }
    Ok(())
}

impl PyRedis {
    /// Adds what the URL does not say, and replaces what both say; but for a login that has to be asked
    /// for, which it returns.
    fn apply(self, config: &mut Config) -> Result<Option<AskedLogin>, String> {
        let of_url = config.credentials.take();
        let user_of_url = of_url.as_ref().and_then(Credentials::user_of_url);
        let mut asked = None;
        match (self.username, self.password) {
            (None, None) => config.credentials = of_url,
            (Some(user), None) => {
                let with_user = of_url.and_then(|of_url| of_url.of_user(user));
                let missing = "Redis(username=...) needs a password: set password=";
                config.credentials = Some(with_user.ok_or(missing)?);
            }
            (user, Some(PyPassword::Text(text))) => {
                config.credentials = Some(Credentials::fixed(user.or(user_of_url), text));
            }
            (user, Some(PyPassword::Function(function))) => {
                let (user, password) = (user.or(user_of_url), Arc::new(function));
                asked = Some(AskedLogin { user, password });
            }
        }
        if let Some(text) = self.sentinel_password {
            config.sentinel_credentials = Some(Credentials::fixed(None, text));
        }
        set_tls(
            config.tls.as_mut(),
            "rediss://",
            self.ca,
            self.client_cert,
            self.client_key,
        )?;
        config.partitions = self.partitions.unwrap_or(config.partitions);
        config.max_event_bytes = self.max_event_bytes.unwrap_or(config.max_event_bytes);
        if let Some(prefix) = self.prefix {
            config.prefix = prefix;
        }
        Ok(asked)
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
        Ok(EngineConfig {
            engine,
            link: self.link.clone(),
        })
    }

    /// The engine, with what asks for its password.
    fn url(&self) -> BusUrl {
        let mut url = self.url.clone();
        if let Some(AskedLogin { user, password }) = self.login.clone() {
            let password = PasswordFunction::new(password);
            let asked = Credentials::from_callable(move || Ok((user.clone(), password.ask()?)));
            match &mut url {
                BusUrl::Redis(config) => config.credentials = Some(asked),
                BusUrl::Postgres(config) => config.credentials = Some(asked),
            }
        }
        url
    }

    /// Visits the function of the application, unless a running engine has it as well.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.login {
            Some(login) if Arc::strong_count(&login.password) == 1 => visit.call(&*login.password),
            _ => Ok(()),
        }
    }
}
