//! Connections for statements.
//!
//! Not here: connections in replication mode (`wire`).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::FromSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::Config;
use super::endpoints::{self, Endpoint};
use super::fault::{Fault, WITH_OUTBOX, WITHOUT_OUTBOX};
use super::install;
use super::socket::DEAD_AFTER;

/// A connection. It works while [`Self::ended`] is awaited.
pub(super) struct Connection(Pin<Box<dyn Future<Output = Fault> + Send>>);

impl Connection {
    /// Runs the connection until it ends. Returns why.
    pub(super) async fn ended(self) -> Fault {
        self.0.await
    }

    /// Runs the first statement.
    async fn begin(
        &mut self,
        statement: impl Future<Output = Result<(), tokio_postgres::Error>>,
    ) -> Result<(), Fault> {
        tokio::select! {
            biased;
            done = statement => done.map_err(|error| Fault::of_sql(&error).of_link()),
            fault = &mut self.0 => Err(fault),
        }
    }

    fn of<S, T>(
        mut connection: tokio_postgres::Connection<S, T>,
        heard: impl Fn(AsyncMessage) + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self(Box::pin(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(message)) => heard(message),
                    Some(Err(error)) => return Fault::of_sql(&error),
                    None => return Fault::away("the connection was closed"),
                }
            }
        }))
    }
}

/// Makes names and operators those of PostgreSQL: any role may have made others in `public`, or where the
/// settings of the database or of the URL look. A statement, as poolers refuse it as a setting of the login.
const SEARCH_PATH: &str = "SET search_path = pg_catalog, pg_temp";

/// Connects and logs in.
pub(super) async fn connect(config: &Config) -> Result<(Client, Connection), Fault> {
    connect_and_hear(config, |_| {}).await
}

/// Connects and logs in. Tries the hosts in their order; of several, a standby is passed over. `heard` is
/// called with what the server sends unasked.
pub(super) async fn connect_and_hear(
    config: &Config,
    heard: impl Fn(AsyncMessage) + Clone + Send + 'static,
) -> Result<(Client, Connection), Fault> {
    let (user, password) = config.login().await?;
    let tls = config.load_tls().await?;
    endpoints::first(config, |endpoint| {
        let mut server = settings(config, &endpoint);
        server.user(&user);
        if let Some(password) = &password {
            server.password(password);
        }
        let login = log_in(server, tls.clone(), heard.clone());
        async {
            let (client, mut connection) = login.await?;
            connection.begin(client.batch_execute(SEARCH_PATH)).await?;
            Ok((client, connection))
        }
    })
    .await
}

/// The settings of a connection to one server.
fn settings(config: &Config, endpoint: &Endpoint) -> tokio_postgres::Config {
    let mut server = tokio_postgres::Config::new();
    match endpoint {
        Endpoint::Tcp { name, address } => server
            .host(name)
            .hostaddr(address.ip())
            .port(address.port()),
        #[cfg(unix)]
        Endpoint::Unix { directory, port } => server.host_path(directory).port(*port),
    };
    server
        .dbname(config.database())
        .application_name(config.application_name())
        .keepalives_idle(DEAD_AFTER / 2)
        .tcp_user_timeout(DEAD_AFTER);
    if let Some(options) = config.options() {
        server.options(options);
    }
    if config.hosts().len() > 1 {
        server.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    server
}

async fn log_in(
    mut server: tokio_postgres::Config,
    tls: Option<Arc<ClientConfig>>,
    heard: impl Fn(AsyncMessage) + Send + 'static,
) -> Result<(Client, Connection), Fault> {
    let failed = |error: tokio_postgres::Error| Fault::of_sql(&error).of_link();
    let Some(tls) = tls else {
        server.ssl_mode(SslMode::Disable);
        let (client, connection) = server.connect(NoTls).await.map_err(failed)?;
        return Ok((client, Connection::of(connection, heard)));
    };
    server.ssl_mode(SslMode::Require);
    let (client, connection) = server
        .connect(MakeRustlsConnect::new(ClientConfig::clone(&tls)))
        .await
        .map_err(|error| match is_of_tls(&error) {
            true => Fault::configuration(failed(error).reason),
            false => failed(error),
        })?;
    Ok((client, Connection::of(connection, heard)))
}

fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let of_io = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if cause.is::<rustls::Error>()
            || of_io.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Checks that the server is a primary, and has the schema in the form that the settings name.
pub(super) async fn check(client: &Client, config: &Config) -> Result<(), Fault> {
    let failed = |error: tokio_postgres::Error| Fault::of_sql(&error).of_link();
    let row = client
        .query_one(
            "SELECT pg_is_in_recovery(), \
             EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'fraiseql_subs')",
            &[],
        )
        .await
        .map_err(failed)?;
    if cell(&row, 0)? {
        return Err(Fault::away(
            "the server is a standby: name the primary in the URL of PostgreSQL",
        ));
    }
    if !cell::<bool>(&row, 1)? {
        return Err(not_installed());
    }
    let row = client
        .query_one("SELECT fraiseql_subs.version()", &[])
        .await;
    let version: i32 = cell(&row.map_err(|error| failed(error).advise(GRANT))?, 0)?;
    if version < install::VERSION {
        return Err(Fault::configuration(
            "the database was prepared by an earlier version: run `fraiseql-subs postgres install` again, as \
             an administrator",
        ));
    }
    let row = client.query_one("SELECT fraiseql_subs.form()", &[]).await;
    let form: String = cell(&row.map_err(|error| failed(error).advise(GRANT))?, 0)?;
    if config.outbox {
        // A statement of a function sees what was committed before it, not before the function.
        let isolation = "SET default_transaction_isolation = 'read committed'";
        client.batch_execute(isolation).await.map_err(failed)?;
    }
    match (config.outbox, &*form) {
        (true, "outbox") | (false, "log") => Ok(()),
        (true, _) => Err(Fault::configuration(WITHOUT_OUTBOX)),
        (false, _) => Err(Fault::configuration(WITH_OUTBOX)),
    }
}

/// A value of an answer. Functions of another program may have the names of ours.
pub(super) fn cell<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Fault> {
    row.try_get(index).map_err(|_| {
        Fault::configuration("the schema fraiseql_subs is not that of this program")
            .advise(INSTALL_AGAIN)
    })
}

/// What to do where a privilege is missing.
pub(super) const GRANT: &str = "run `fraiseql-subs postgres install --node ROLE` as an administrator, or --publisher ROLE for a program \
     that only publishes";

/// What to do where the schema is of an earlier version.
pub(super) const INSTALL_AGAIN: &str =
    "run `fraiseql-subs postgres install --node ROLE` again as an administrator";

/// The schema is missing.
pub(super) fn not_installed() -> Fault {
    Fault::configuration(
        "the database is not prepared: run `fraiseql-subs postgres install` as an administrator",
    )
}

/// Checks a connection again and again. Returns when it does not answer.
pub(super) async fn silent(client: &Client, every: Duration, answer: Duration) -> Fault {
    loop {
        tokio::time::sleep(every).await;
        match tokio::time::timeout(answer, client.simple_query("")).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Fault::of_sql(&error),
            Err(_) => {
                let seconds = answer.as_secs_f64();
                return Fault::away(format!(
                    "PostgreSQL has not answered within {seconds} seconds"
                ));
            }
        }
    }
}
