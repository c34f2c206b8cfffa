//! Settings of a NATS engine.
//!
//! Not here: connecting (`link`). No type here shows a secret in `Debug`.

mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::backoff::Pauses;
use crate::credentials::Credentials;
use crate::tls::Tls;

/// The most partitions.
const MAX_PARTITIONS: u32 = 64;

/// Settings of a NATS engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Some of the servers, at least one. They name the others of their cluster.
    pub servers: Vec<Address>,
    /// TLS; `None`: plain text, unless a server requires TLS.
    pub tls: Option<Tls>,
    /// How the program logs in.
    pub login: Login,
    /// The first token of all subjects, and the name of the JetStream stream. Nodes with another prefix
    /// use another bus.
    pub prefix: String,
    /// The number of JetStream streams, 1 to 64, the same in all nodes.
    pub partitions: u32,
    /// Whether each tenant has its own streams; the same in all nodes.
    pub by_tenant: bool,
    /// How long JetStream keeps events for resuming clients; `None`: NATS without JetStream, only live
    /// events are delivered.
    pub history: Option<Duration>,
    /// On how many servers JetStream keeps each event: 1, 3 or 5; `None`: as the stream is, or 1.
    pub replicas: Option<usize>,
    /// How many bytes JetStream keeps in each partition; `None`: as the stream is, or no limit.
    pub max_bytes: Option<u64>,
    /// The largest envelope (bytes).
    pub max_event_bytes: usize,
    /// Timeouts and intervals.
    pub times: Times,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How a program logs in. Files are read again, and secrets asked for again, before each connection.
#[derive(Debug, Clone)]
pub enum Login {
    /// Without a user.
    Anonymous,
    /// A user and a password.
    Password(Credentials),
    /// The URL has a user without a password; it is added, or the configuration is refused.
    UserAlone(String),
    /// A token, in the place of the password.
    Token(Credentials),
    /// A credentials file, as `nsc` writes it.
    Credentials(PathBuf),
    /// A file with the seed of an nkey.
    Nkey(PathBuf),
}

/// Timeouts and intervals. The defaults are right outside of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Timeout of making a connection.
    pub connect: Duration,
    /// Timeout of the callable that returns a secret.
    pub password: Duration,
    /// Timeout of an answer.
    pub answer: Duration,
    /// How long a link is silent before a ping is sent. It is closed when two were not answered.
    pub ping_after: Duration,
    /// First pause between attempts to connect. It doubles with each failure, and is partly random.
    pub backoff: Duration,
    /// Longest pause between attempts to connect.
    pub backoff_limit: Duration,
    /// Pause after an error that only a change of the configuration solves.
    pub configuration_pause: Duration,
    /// After a link that lived this long, the pauses begin anew.
    pub settled_after: Duration,
    /// How long changed streams are collected.
    pub collect: Duration,
    /// How often JetStream is asked whether its streams are still the same.
    pub refresh_after: Duration,
}

/// A URL or one of its options is wrong. The text never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

impl Times {
    /// The pauses between attempts to connect.
    pub(super) fn pauses(&self) -> Pauses {
        Pauses {
            first: self.backoff,
            limit: self.backoff_limit,
            configuration: self.configuration_pause,
            settled_after: self.settled_after,
        }
    }
}

impl Config {
    /// Parses a URL: `nats://h1,h2` or `tls://h1,h2`, with `user:password@` before the hosts and
    /// options after `?`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        let config = Self::parse(text)?;
        config.check()?;
        Ok(config)
    }

    /// Parses a URL as [`Self::from_url`] does, for a caller that changes the settings afterwards:
    /// [`Self::check`] checks their ranges.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        url::parse(text)
    }

    /// Checks the settings that have a range.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError(text.to_owned()));
        if self.servers.is_empty() {
            return wrong("the bus has no server: name one at least");
        }
        if matches!(self.login, Login::UserAlone(_)) {
            return wrong(
                "the URL of the bus has a user without a password: write user:password@host, \
                 ?token=... for a token, or set the password beside the URL, as in \
                 Nats(url, password=...)",
            );
        }
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            return wrong("partitions is wrong: write a number from 1 to 64, such as 1");
        }
        // A JetStream stream has the prefix as its name, which may have no dot.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.prefix.is_empty() || self.prefix.len() > 32 || !self.prefix.bytes().all(is_plain) {
            return wrong(
                "prefix is wrong: write 1 to 32 letters, digits, '-' or '_', such as fs1",
            );
        }
        if self.history.is_some_and(|age| age < Duration::from_secs(1)) {
            return wrong(
                "the history of a bus keeps events for 1 second at least; write history=off for \
                 none",
            );
        }
        if !matches!(self.replicas, None | Some(1 | 3 | 5)) {
            return wrong("replicas is wrong: write 1, 3 or 5");
        }
        if self
            .max_bytes
            .is_some_and(|bytes| bytes < 1 << 20 || i64::try_from(bytes).is_err())
        {
            return wrong("max_bytes is wrong: write a number of bytes from 1048576");
        }
        Ok(())
    }

    /// Warns if passwords and events leave the machine unencrypted.
    pub(super) fn warn_of_plain_text(&self) {
        let is_local = |address: &Address| {
            let ip = address.host.parse::<std::net::IpAddr>();
            address.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
        };
        if self.tls.is_none() && !self.servers.iter().all(is_local) {
            tracing::warn!(
                name: "bus.plain_text",
                target: "fraiseql_subs",
                "the bus is plain text: write tls:// where the network is not trusted"
            );
        }
    }

    fn new(servers: Vec<Address>) -> Self {
        Self {
            servers,
            tls: None,
            login: Login::Anonymous,
            prefix: "fs1".to_owned(),
            partitions: 1,
            by_tenant: false,
            history: Some(Duration::from_mins(5)),
            replicas: None,
            max_bytes: None,
            max_event_bytes: 1_000_000,
            times: Times::default(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            password: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            ping_after: Duration::from_secs(4),
            backoff: Duration::from_millis(50),
            backoff_limit: Duration::from_secs(5),
            configuration_pause: Duration::from_secs(15),
            settled_after: Duration::from_secs(10),
            collect: Duration::from_millis(2),
            refresh_after: Duration::from_secs(5),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}
