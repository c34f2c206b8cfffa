//! Creates the engine that a URL names.

use std::sync::Arc;

use bus::engine::Engine;

/// An engine, as its URL describes it.
#[derive(Debug, Clone)]
pub enum BusUrl {
    /// NATS.
    #[cfg(feature = "nats")]
    Nats(Box<crate::nats::Config>),
    /// Redis, or a server with its protocol.
    #[cfg(feature = "redis")]
    Redis(Box<crate::redis::Config>),
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Config>),
}

/// A URL names no engine, or is wrong. The text never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusUrlError {
    /// No engine has this scheme.
    #[error(
        "the scheme {scheme:?} is unknown: write memory://, redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://, nats://, tls:// or postgresql://"
    )]
    UnknownScheme {
        /// The text before `://`.
        scheme: String,
    },
    /// The text is not a URL.
    #[error("it is no URL: write one such as redis://127.0.0.1:6379")]
    NoUrl,
    /// `memory://` is followed by other text.
    #[error("memory:// is followed by other text: write memory:// alone")]
    Memory,
    /// The URL of a NATS engine is wrong.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] crate::nats::ConfigError),
    /// The URL of a Redis engine is wrong.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] crate::redis::ConfigError),
    /// The URL of a PostgreSQL engine is wrong.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] crate::postgres::ConfigError),
}

impl BusUrl {
    /// The name of the engine, for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "nats")]
            Self::Nats(_) => "nats",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "redis",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgresql",
        }
    }

    /// Parses a URL. Returns `None` for `memory://`, which needs no engine.
    ///
    /// # Errors
    ///
    /// [`BusUrlError`]. A setting out of its range is refused by [`Self::engine`], so that it can be
    /// changed before.
    pub fn parse(text: &str) -> Result<Option<Self>, BusUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(BusUrlError::NoUrl)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(None),
            "memory" => Err(BusUrlError::Memory),
            #[cfg(feature = "nats")]
            "nats" | "tls" => {
                let config = crate::nats::Config::parse(text)?;
                Ok(Some(Self::Nats(Box::new(config))))
            }
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "redis+unix" | "redis+sentinel" | "rediss+sentinel"
            | "redis+cluster" | "rediss+cluster" => {
                let config = crate::redis::Config::parse(text)?;
                Ok(Some(Self::Redis(Box::new(config))))
            }
            #[cfg(feature = "postgres")]
            "postgresql" | "postgres" => {
                let config = crate::postgres::Config::from_url(text)?;
                Ok(Some(Self::Postgres(Box::new(config))))
            }
            // Only a possible scheme is shown: other text may be a password.
            _ if scheme
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'+') =>
            {
                Err(BusUrlError::UnknownScheme {
                    scheme: scheme.chars().take(20).collect(),
                })
            }
            _ => Err(BusUrlError::NoUrl),
        }
    }

    /// Creates an engine that is not started. It keeps the events that `history` allows; `None`: none.
    /// `by_tenant`: whether each tenant has its own streams.
    ///
    /// # Errors
    ///
    /// [`BusUrlError`] if a setting is out of its range.
    pub fn engine(
        &self,
        history: Option<&bus::HistoryLimits>,
        by_tenant: bool,
    ) -> Result<Arc<dyn Engine>, BusUrlError> {
        match self {
            #[cfg(feature = "nats")]
            Self::Nats(config) => {
                let mut config = (**config).clone();
                // The setting `history=off` in the URL takes precedence.
                config.history = config.history.and(history.map(|history| history.age));
                config.by_tenant = by_tenant;
                Ok(Arc::new(crate::nats::Nats::new(config)?))
            }
            #[cfg(feature = "redis")]
            Self::Redis(config) => {
                let mut config = (**config).clone();
                let kept = history.map(|history| crate::redis::StreamHistory {
                    events: history.events as u64,
                    age: history.age,
                });
                // The setting `history=off` in the URL takes precedence.
                config.history = config.history.and(kept);
                config.by_tenant = by_tenant;
                Ok(Arc::new(crate::redis::Redis::new(config)?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                let mut config = (**config).clone();
                config.history = history.cloned();
                config.by_tenant = by_tenant;
                if config.outbox {
                    return Ok(Arc::new(crate::postgres::Outbox::new(config)?));
                }
                // The server keeps no events: each node keeps what it has received.
                Ok(Arc::new(crate::postgres::Postgres::new(config)?))
            }
        }
    }
}
