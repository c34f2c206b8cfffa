//! Settings of a Redis engine.
//!
//! Not here: connecting (`socket`, `link`). No type here shows a secret in `Debug`.

mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::backoff::Pauses;
use crate::credentials::Credentials;
use crate::tls::Tls;

/// Settings of a Redis engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the servers are.
    pub topology: Topology,
    /// TLS; `None`: plain text.
    pub tls: Option<Tls>,
    /// The user and password for Redis; `None`: the user `default` without a password.
    pub credentials: Option<Credentials>,
    /// The user and password for the sentinels. They never receive those for Redis.
    pub sentinel_credentials: Option<Credentials>,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
    /// The prefix of all keys and channels. Nodes with another prefix use another bus.
    pub prefix: String,
    /// The number of partitions: a power of two up to 1,024, the same in all nodes.
    pub partitions: u32,
    /// Whether each tenant has its own streams; the same in all nodes.
    pub by_tenant: bool,
    /// What Redis keeps for resuming clients; `None`: nothing, only live events are delivered.
    pub history: Option<StreamHistory>,
    /// How long Redis recognizes an event that is published again with the same id.
    pub idempotency: Duration,
    /// The largest envelope (bytes).
    pub max_event_bytes: usize,
    /// Timeouts and intervals.
    pub times: Times,
}

/// What Redis keeps of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHistory {
    /// How many of the newest events are kept, at least. Redis may keep more.
    pub events: u64,
    /// After this time without an event the stream is deleted. At least a second.
    pub age: Duration,
}

/// Where the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single(Address),
    /// The master that sentinels name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<Address>,
        /// The name by which they know the master.
        master: String,
    },
    /// A Redis Cluster.
    Cluster {
        /// Some of its servers. They name the others.
        seeds: Vec<Address>,
    },
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Timeouts and intervals. The defaults are right outside of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Timeout of making a connection, from resolving the name to the first answer.
    pub connect: Duration,
    /// Timeout of the callable that returns the password.
    pub password: Duration,
    /// Timeout of the answer to a command.
    pub answer: Duration,
    /// How long a link is silent before a ping is sent.
    pub ping_after: Duration,
    /// How long a link is silent before it is closed.
    pub dead_after: Duration,
    /// First pause between attempts to connect. It doubles with each failure, and is partly random.
    pub backoff: Duration,
    /// Longest pause between attempts to connect.
    pub backoff_limit: Duration,
    /// Pause after an error that only a change of the configuration solves.
    pub configuration_pause: Duration,
    /// After a link that lived this long, the pauses begin anew.
    pub settled_after: Duration,
    /// How long changed streams are collected for one command.
    pub collect: Duration,
    /// How long the subscriber link receives no event before a probe is published.
    pub probe_after: Duration,
    /// How long a probe may take to come back.
    pub probe_answer: Duration,
    /// Longest time between probes that do not come back.
    pub probe_limit: Duration,
    /// How often a cluster is asked for its masters when nothing requires it.
    pub refresh_after: Duration,
    /// How often the settings that all nodes share are stored again, in case the server has lost them.
    pub settings_after: Duration,
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
    /// Parses a URL: `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://h1,h2/master` or
    /// `redis+cluster://h1,h2`, with `user:password@` before the hosts and options after `?`.
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
    /// [`Self::check`] checks their ranges, and that a user has a password.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        url::parse(text)
    }

    /// Checks the settings that have a range, and that a user has a password.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError(text));
        let credentials = self.credentials.as_ref();
        if credentials.is_some_and(Credentials::is_user_alone) {
            return wrong(
                "the URL of the bus has a user without a password: write user:password@host, \
                 :password@host for the user default, or set the password beside the URL, as in \
                 Redis(url, password=...)"
                    .to_owned(),
            );
        }
        if !self.partitions.is_power_of_two() || self.partitions > 1024 {
            return wrong(format!(
                "partitions={} is wrong: write a power of two from 1 to 1024, such as 64",
                self.partitions
            ));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.prefix.is_empty() || self.prefix.len() > 32 || !self.prefix.bytes().all(is_plain) {
            return wrong(
                "prefix is wrong: write 1 to 32 letters, digits, '-', '_' or '.', such as fs1"
                    .to_owned(),
            );
        }
        if matches!(self.topology, Topology::Cluster { .. }) && self.database != 0 {
            return wrong(format!(
                "db={} is wrong: a cluster has only database 0",
                self.database
            ));
        }
        if self.database < 0 {
            return wrong("db is wrong: write a number from 0".to_owned());
        }
        if self
            .history
            .is_some_and(|history| history.events == 0 || history.age < Duration::from_secs(1))
        {
            return wrong(
                "the history of a bus keeps at least 1 event for 1 second; write history=off for \
                 none"
                    .to_owned(),
            );
        }
        if self.idempotency < Duration::from_secs(1) {
            return wrong("ids are remembered for at least 1 second".to_owned());
        }
        Ok(())
    }

    /// The longest time that making a link may take.
    pub(super) fn patience(&self) -> Duration {
        let asks = self.credentials.as_ref();
        let waits = asks.is_some_and(Credentials::may_wait);
        let password = if waits {
            self.times.password
        } else {
            Duration::ZERO
        };
        password + self.times.connect
    }

    /// Warns if passwords and events leave the machine unencrypted.
    pub(super) fn warn_of_plain_text(&self) {
        let addresses = match &self.topology {
            Topology::Single(address) => std::slice::from_ref(address),
            Topology::Sentinel { sentinels, .. } => sentinels,
            Topology::Cluster { seeds } => seeds,
        };
        let is_local = |address: &Address| match address {
            Address::Unix(_) => true,
            Address::Tcp(host, _) => {
                let ip = host.parse::<std::net::IpAddr>();
                host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
            }
        };
        if self.tls.is_none() && !addresses.iter().all(is_local) {
            tracing::warn!(
                name: "bus.plain_text",
                target: "fraiseql_subs",
                "the bus is plain text: write rediss:// where the network is not trusted"
            );
        }
    }

    /// The command that publishes: `SPUBLISH` in a cluster, `PUBLISH` otherwise.
    pub(super) fn publish_command(&self) -> &'static str {
        match self.topology {
            Topology::Cluster { .. } => "SPUBLISH",
            Topology::Single(_) | Topology::Sentinel { .. } => "PUBLISH",
        }
    }

    pub(super) fn new(topology: Topology) -> Self {
        Self {
            topology,
            tls: None,
            credentials: None,
            sentinel_credentials: None,
            database: 0,
            prefix: "fs1".to_owned(),
            partitions: 64,
            by_tenant: false,
            history: Some(StreamHistory::default()),
            idempotency: Duration::from_mins(5),
            max_event_bytes: 1024 * 1024,
            times: Times::default(),
        }
    }
}

impl Default for StreamHistory {
    /// 1,000 events, 5 minutes.
    fn default() -> Self {
        Self {
            events: 1000,
            age: Duration::from_mins(5),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            password: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            ping_after: Duration::from_secs(5),
            dead_after: Duration::from_secs(10),
            backoff: Duration::from_millis(50),
            backoff_limit: Duration::from_secs(5),
            configuration_pause: Duration::from_secs(15),
            settled_after: Duration::from_secs(10),
            collect: Duration::from_millis(2),
            probe_after: Duration::from_secs(15),
            probe_answer: Duration::from_secs(10),
            probe_limit: Duration::from_mins(10),
            refresh_after: Duration::from_secs(30),
            settings_after: Duration::from_secs(10),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
