//! What a Redis engine is told: where the servers are, who it is, what it keeps, how long it waits.
//!
//! Not here: connecting (`socket`, `link`). Nothing here shows a secret in `Debug`.

mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A Redis engine as it is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the servers are.
    pub topology: Topology,
    /// TLS; `None`: plain text.
    pub tls: Option<Tls>,
    /// Who connects to Redis; `None`: the user `default` without a password.
    pub credentials: Option<Credentials>,
    /// Who connects to the sentinels. Passwords of Redis are not shown to them.
    pub sentinel_credentials: Option<Credentials>,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
    /// What all keys and channels begin with. Nodes with another prefix are another bus.
    pub prefix: String,
    /// How many parts the bus has: a power of two up to 1,024, the same in all nodes.
    pub partitions: u32,
    /// What Redis keeps for clients that return; `None`: it carries live events alone.
    pub history: Option<StreamHistory>,
    /// For how long an event that is published again with the same id is the same event.
    pub idempotency: Duration,
    /// The largest envelope (bytes).
    pub max_event_bytes: usize,
    /// How long the engine waits.
    pub times: Times,
}

/// What Redis keeps of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHistory {
    /// The newest events, at least this many of them; Redis may keep some more.
    pub events: u64,
    /// A stream without events for this long is forgotten. At least a second.
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
        /// What they call the master.
        master: String,
    },
    /// A Redis Cluster.
    Cluster {
        /// Some of its servers; the others are learnt from them.
        seeds: Vec<Address>,
    },
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// How TLS is spoken. Files are read again for each connection. The certificate of the server is
/// always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that the server's certificate may come from, as PEM; `None`: those that the
    /// system trusts.
    pub authorities: Option<PathBuf>,
    /// The certificate of this client and its key, as PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What asks for a user (`None`: `default`) and a password, before each connection.
///
/// An error says in words for the log why there is none, without a secret.
#[derive(Clone)]
pub struct Credentials {
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
    may_wait: bool,
}

/// A user and a password, or why there are none.
type Answer = Result<(Option<String>, String), String>;

/// How long the engine waits. The defaults are right outside of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For a connection, from the name of the server to the first answer.
    pub connect: Duration,
    /// For a callable to return the password, before each connection.
    pub password: Duration,
    /// For the answer to a command.
    pub answer: Duration,
    /// How long a link is silent before it is asked for a sign of life.
    pub ping_after: Duration,
    /// How long a link is silent before it is dropped.
    pub dead_after: Duration,
    /// The first pause between attempts to connect; it doubles, and its length is random.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_limit: Duration,
    /// The pause after an error that only a change of the configuration mends.
    pub configuration_pause: Duration,
    /// A link that lived this long is made again at once.
    pub settled_after: Duration,
    /// How long wanted streams are collected for one command.
    pub collect: Duration,
    /// How long no event comes through the subscriber link before a probe is published.
    pub probe_after: Duration,
    /// For a probe to come back.
    pub probe_answer: Duration,
    /// The longest time between probes that do not come back.
    pub probe_limit: Duration,
    /// How often a cluster is asked which master has what, without a reason.
    pub look_after: Duration,
}

/// A URL or an option of it is wrong. The text never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

impl Config {
    /// Reads a URL: `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://h1,h2/master` or
    /// `redis+cluster://h1,h2`, with `user:password@` before the hosts and options after `?`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names what is wrong and what to write.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        let config = url::parse(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what has a range.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names what is wrong and what to write.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError(text));
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
                "db={} is wrong: a cluster has the database 0 alone",
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

    /// How long making a link may take.
    pub(super) fn patience(&self) -> Duration {
        let asks = self.credentials.as_ref();
        let waits = asks.is_some_and(|credentials| credentials.may_wait);
        let password = if waits {
            self.times.password
        } else {
            Duration::ZERO
        };
        password + self.times.connect
    }

    /// Warns where passwords and events leave the machine unencrypted.
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
                target: "fraiseql_subs",
                "the bus is plain text: write rediss:// where the network is not trusted"
            );
        }
    }

    /// The command that publishes: in a cluster that of sharded channels.
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
            look_after: Duration::from_secs(30),
        }
    }
}

impl Credentials {
    /// Asks a callable before each connection, so that a password may change. It may block, and is
    /// called on a thread for that.
    pub fn from_callable(
        ask: impl Fn() -> Result<(Option<String>, String), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            may_wait: true,
        }
    }

    /// A user and a password that stay the same.
    #[must_use]
    pub fn fixed(user: Option<String>, password: String) -> Self {
        Self {
            ask: Arc::new(move || Ok((user.clone(), password.clone()))),
            may_wait: false,
        }
    }

    pub(super) fn ask(&self) -> Answer {
        (self.ask)()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
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
