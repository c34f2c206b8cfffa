//! Settings of a PostgreSQL engine.
//!
//! Not here: connecting (`sql`, `wire`). No type here shows a secret in `Debug`.

mod url;

use std::sync::Arc;
use std::time::Duration;

use bus::HistoryLimits;
use rustls::ClientConfig;
use tokio_postgres::config::Host;

use super::fault::Fault;
use super::tables::Table;
use crate::backoff::Pauses;
use crate::credentials::Credentials;
use crate::tls::Tls;

/// Settings of a PostgreSQL engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Hosts, database, user and what else `libpq` knows; without a password.
    pub(super) server: tokio_postgres::Config,
    /// TLS; `None`: plain text.
    pub tls: Option<Tls>,
    /// The password, and a user in place of that in the URL; `None`: no password.
    pub credentials: Option<Credentials>,
    /// Whether each tenant has its own streams; the same in all nodes.
    pub by_tenant: bool,
    /// What each process keeps of all streams, or for how long the outbox keeps events; `None`: no longer
    /// than until all nodes have read them.
    pub history: Option<HistoryLimits>,
    /// The largest envelope (bytes). A row of a table may be as large.
    pub max_event_bytes: usize,
    /// Tables whose changes are events.
    pub tables: Vec<Table>,
    /// Whether events are rows of a table, which needs no logical decoding.
    pub outbox: bool,
    /// Timeouts and intervals.
    pub times: Times,
}

/// Timeouts and intervals. The defaults are right outside of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Timeout of making a connection, from resolving the name to the first answer.
    pub connect: Duration,
    /// Timeout of the callable that returns the password.
    pub password: Duration,
    /// Timeout of the answer to a statement.
    pub answer: Duration,
    /// How often an idle connection is checked.
    pub ping: Duration,
    /// How often the server is told how far the log was read.
    pub confirm: Duration,
    /// How long a publisher waits for the place of its event after the commit.
    pub position: Duration,
    /// How long the log may be behind before the link counts as silent.
    pub behind: Duration,
    /// How often the outbox is read where no `NOTIFY` comes.
    pub poll: Duration,
    /// Longest time between two looks at what the outbox need not keep.
    pub upkeep: Duration,
    /// How often nodes look, on average, whether a source has a reader.
    pub look: Duration,
    /// How often the reader of a source looks at its slot, and a node at its tables, on average.
    pub watch: Duration,
    /// How long the reader of a source may stand still: after that another node may read.
    pub lease: Duration,
    /// First pause between attempts to connect. It doubles with each failure, and is partly random.
    pub backoff: Duration,
    /// Longest pause between attempts to connect.
    pub backoff_limit: Duration,
    /// Pause after an error that only a change of the configuration solves.
    pub configuration_pause: Duration,
    /// After a link that lived this long, the pauses begin anew.
    pub settled_after: Duration,
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

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            password: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            ping: Duration::from_secs(5),
            confirm: Duration::from_secs(1),
            position: Duration::from_secs(1),
            behind: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            upkeep: Duration::from_secs(15),
            look: Duration::from_secs(2),
            watch: Duration::from_secs(10),
            lease: Duration::from_secs(10),
            backoff: Duration::from_millis(50),
            backoff_limit: Duration::from_secs(5),
            configuration_pause: Duration::from_secs(15),
            settled_after: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Parses a URL as `libpq` knows it: `postgresql://user:password@host:5432/database`, with options
    /// after `?`. TLS always verifies the server: `sslmode` is `disable` or `verify-full`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        url::parse(text)
    }

    /// Checks what is configured beside the URL.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what is wrong and what to write.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.outbox && !self.tables.is_empty() {
            let text = "tables need logical decoding, which an outbox does without: publish rows by a trigger \
                that calls fraiseql_subs.publish, or leave out outbox=true";
            return Err(ConfigError(text.to_owned()));
        }
        for (index, table) in self.tables.iter().enumerate() {
            if let Some(other) = self.tables[..index].iter().find(|it| it.may_meet(table)) {
                let (other, this) = (other.channel(), table.channel());
                if other == this {
                    let text =
                        format!("the table {table} has the same channel twice: write it once");
                    return Err(ConfigError(text));
                }
                return Err(ConfigError(format!(
                    "one change of the table {table} may be two events of one channel, as {other:?} and {this:?} can \
                     be the same: write channels that differ in a text, such as \"by_a.{{a}}\" and \
                     \"by_b.{{b}}\"",
                )));
            }
        }
        Ok(())
    }

    /// Sets the user, in place of that in the URL.
    pub fn set_user(&mut self, user: &str) {
        self.server.user(user);
    }

    /// The user, if the URL has one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.server.get_user()
    }

    /// Each host and its port.
    pub(super) fn hosts(&self) -> Vec<(Host, u16)> {
        let ports = self.server.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let hosts = self.server.get_hosts().iter().enumerate();
        hosts
            .map(|(index, host)| (host.clone(), port(index)))
            .collect()
    }

    pub(super) fn database(&self) -> &str {
        self.server.get_dbname().unwrap_or_default()
    }

    pub(super) fn application_name(&self) -> &str {
        self.server.get_application_name().unwrap_or_default()
    }

    pub(super) fn options(&self) -> Option<&str> {
        self.server.get_options()
    }

    /// Timeout of an attempt to connect to one address.
    pub(super) fn connect_timeout(&self) -> Duration {
        let of_url = self.server.get_connect_timeout();
        of_url.copied().unwrap_or(self.times.connect)
    }

    /// Reads the files of TLS; `None`: plain text.
    pub(super) async fn load_tls(&self) -> Result<Option<Arc<ClientConfig>>, Fault> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let loaded = tls.load().await;
        let loaded = loaded.map_err(|error| Fault::configuration(error.to_string()))?;
        Ok(Some(Arc::new(loaded)))
    }

    /// Asks for the user and the password, on a thread that may block.
    pub(super) async fn login(&self) -> Result<(String, Option<String>), Fault> {
        let user_of_url = self.user().unwrap_or_default().to_owned();
        let Some(credentials) = self.credentials.clone() else {
            return Ok((user_of_url, None));
        };
        let no_password = |why: String| Fault::away(format!("there is no password: {why}"));
        let asked = tokio::task::spawn_blocking(move || credentials.ask());
        match tokio::time::timeout(self.times.password, asked).await {
            Ok(Ok(Ok((user, password)))) => Ok((user.unwrap_or(user_of_url), Some(password))),
            Ok(Ok(Err(why))) => Err(no_password(why)),
            Ok(Err(_)) => Err(no_password("asking for it has failed".to_owned())),
            Err(_) => {
                let seconds = self.times.password.as_secs_f64();
                Err(no_password(format!(
                    "it was not returned within {seconds} seconds"
                )))
            }
        }
    }

    /// Warns if passwords and events leave the machine unencrypted.
    pub(super) fn warn_of_plain_text(&self) {
        let is_local = |host: &Host| match host {
            #[cfg(unix)]
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                let ip = name.parse::<std::net::IpAddr>();
                name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
            }
        };
        if self.tls.is_none() && !self.server.get_hosts().iter().all(is_local) {
            tracing::warn!(
                name: "bus.plain_text",
                target: "fraiseql_subs",
                "the connection to PostgreSQL is plain text: write sslmode=verify-full in its URL where the network is \
                 not trusted"
            );
        }
    }
}
