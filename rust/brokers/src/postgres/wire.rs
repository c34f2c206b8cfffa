//! A connection in replication mode: login, simple queries, and the stream of the log.
//!
//! A copy in both directions is no part of `tokio_postgres`. Not here: messages in the received bytes
//! (`received`), the content of the stream (`pgoutput`), and what is done with it (`subscriber`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::config::Config;
use super::cursor::{Cursor, TextRow, malformed};
use super::endpoints;
use super::fault::Fault;
use super::received::{Message, Received, fields, frame};
use super::socket::{self, Socket};

pub(super) use super::received::Frame;

/// Limit of a message before the stream of the log starts (bytes).
const LOGIN_LIMIT: usize = 1 << 20;
/// From 1970 to 2000, when the clock of PostgreSQL starts.
const EPOCH: Duration = Duration::from_hours(24 * 10_957);

/// A connection in replication mode.
pub(super) struct Wire {
    socket: Socket,
    received: Received,
}

impl Wire {
    /// Connects and logs in. Tries the hosts in their order; of several, a standby is passed over.
    pub(super) async fn connect(config: &Config) -> Result<Self, Fault> {
        let (user, password) = config.login().await?;
        let tls = config.load_tls().await?;
        let has_several = config.hosts().len() > 1;
        endpoints::first(config, |endpoint| {
            let (user, password, tls) = (&*user, password.as_deref(), tls.clone());
            async move {
                let mut wire = Self {
                    socket: socket::connect(&endpoint, tls).await?,
                    received: Received::new(LOGIN_LIMIT),
                };
                wire.log_in(config, user, password).await?;
                if has_several && wire.is_standby().await? {
                    return Err(Fault::away("no host of the URL is a primary"));
                }
                Ok(wire)
            }
        })
        .await
    }

    async fn is_standby(&mut self) -> Result<bool, Fault> {
        let rows = self.query("SELECT pg_catalog.pg_is_in_recovery()").await?;
        Ok(rows
            .iter()
            .flatten()
            .any(|value| value.as_deref() == Some("t")))
    }

    async fn log_in(
        &mut self,
        config: &Config,
        user: &str,
        password: Option<&str>,
    ) -> Result<(), Fault> {
        let mut parameters = vec![
            ("user", user),
            ("database", config.database()),
            ("replication", "database"),
            ("application_name", config.application_name()),
            ("client_encoding", "UTF8"),
            // How values of tables are written.
            ("DateStyle", "ISO, YMD"),
            ("IntervalStyle", "iso_8601"),
            ("TimeZone", "UTC"),
            ("extra_float_digits", "3"),
            ("bytea_output", "hex"),
            // Names and operators are those of PostgreSQL. This holds whatever `options` say.
            ("search_path", "pg_catalog, pg_temp"),
        ];
        if let Some(options) = config.options() {
            parameters.push(("options", options));
        }
        self.send(|out| frontend::startup_message(parameters, out))
            .await?;
        let mut scram = None;
        let secret = || {
            password.ok_or_else(|| {
                Fault::configuration("PostgreSQL asks for a password, and none is configured")
            })
        };
        loop {
            let (tag, mut body) = self.message().await?;
            match tag {
                b'R' => match body.u32()? {
                    0 => {}
                    3 => {
                        let password = secret()?.as_bytes();
                        self.send(|out| frontend::password_message(password, out))
                            .await?;
                    }
                    5 => {
                        let salt = body.u32()?.to_be_bytes();
                        let hash = md5_hash(user.as_bytes(), secret()?.as_bytes(), salt);
                        self.send(|out| frontend::password_message(hash.as_bytes(), out))
                            .await?;
                    }
                    10 => {
                        let mut is_offered = false;
                        while !body.is_empty() {
                            is_offered |= body.text()? == sasl::SCRAM_SHA_256;
                        }
                        if !is_offered {
                            return Err(unsupported_login());
                        }
                        let binding = sasl::ChannelBinding::unsupported();
                        let login = sasl::ScramSha256::new(secret()?.as_bytes(), binding);
                        let login = scram.insert(login);
                        self.send(|out| {
                            let first = login.message();
                            frontend::sasl_initial_response(sasl::SCRAM_SHA_256, first, out)
                        })
                        .await?;
                    }
                    11 => {
                        let login = scram.as_mut().ok_or_else(malformed)?;
                        login
                            .update(&body.rest())
                            .map_err(|error| refused_login(&error))?;
                        self.send(|out| frontend::sasl_response(login.message(), out))
                            .await?;
                    }
                    12 => {
                        let login = scram.as_mut().ok_or_else(malformed)?;
                        login
                            .finish(&body.rest())
                            .map_err(|error| refused_login(&error))?;
                    }
                    _ => return Err(unsupported_login()),
                },
                b'Z' => return Ok(()),
                _ => {}
            }
        }
    }

    /// Runs one statement, and returns its rows.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<TextRow>, Fault> {
        self.send(|out| frontend::query(sql, out)).await?;
        let mut rows = Vec::new();
        let mut fault = None;
        loop {
            match self.any_message().await? {
                (b'D', mut body) => {
                    let columns = body.u16()?;
                    let row = (0..columns)
                        .map(|_| column(&mut body))
                        .collect::<Result<_, _>>()?;
                    rows.push(row);
                }
                (b'E', body) => {
                    let why = Fault::of_fields(&fields(body)?);
                    if why.ends_link() {
                        return Err(why);
                    }
                    fault = Some(why);
                }
                (b'Z', _) => return fault.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// Starts the stream of the log. `limit`: of a message (bytes); larger ones are skipped.
    pub(super) async fn start(&mut self, sql: &str, limit: usize) -> Result<(), Fault> {
        self.send(|out| frontend::query(sql, out)).await?;
        loop {
            if let (b'W', _) = self.message().await? {
                self.received.limit = limit;
                return Ok(());
            }
        }
    }

    /// Returns the next message of the stream. May be cancelled, and called again.
    pub(super) async fn frame(&mut self) -> Result<Frame, Fault> {
        loop {
            let message = self.receive().await?;
            if let Some(frame) = frame(message)? {
                return Ok(frame);
            }
        }
    }

    /// Returns the next message of the stream if it has arrived already.
    pub(super) fn buffered(&mut self) -> Result<Option<Frame>, Fault> {
        while let Some(message) = self.received.take()? {
            if let Some(frame) = frame(message)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Tells the server that all up to `end` was received. `wants_reply`: it shall answer with its
    /// progress.
    pub(super) async fn confirm(&mut self, end: u64, wants_reply: bool) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH + EPOCH);
        let microseconds = now.map_or(0, |since| since.as_micros() as i64);
        let mut status = BytesMut::with_capacity(34);
        status.put_u8(b'r');
        for _ in ["written", "flushed", "applied"] {
            status.put_u64(end);
        }
        status.put_i64(microseconds);
        status.put_u8(u8::from(wants_reply));
        self.send(|out| {
            frontend::CopyData::new(status.freeze())?.write(out);
            Ok(())
        })
        .await
    }

    async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Fault> {
        let mut out = BytesMut::new();
        write(&mut out).map_err(|error| Fault::configuration(error.to_string()))?;
        self.socket
            .write_all(&out)
            .await
            .map_err(|error| Fault::io(&error))?;
        self.socket.flush().await.map_err(|error| Fault::io(&error))
    }

    /// Returns the next message; an error of the server is a fault.
    async fn message(&mut self) -> Result<(u8, Cursor), Fault> {
        match self.any_message().await? {
            (b'E', body) => Err(Fault::of_fields(&fields(body)?)),
            other => Ok(other),
        }
    }

    async fn any_message(&mut self) -> Result<(u8, Cursor), Fault> {
        match self.receive().await? {
            Message::Whole(tag, body) => Ok((tag, Cursor::new(body))),
            Message::TooLarge(..) => Err(malformed()),
        }
    }

    async fn receive(&mut self) -> Result<Message, Fault> {
        loop {
            if let Some(message) = self.received.take()? {
                return Ok(message);
            }
            let read = self.socket.read_buf(self.received.room()).await;
            if read.map_err(|error| Fault::io(&error))? == 0 {
                return Err(Fault::away("PostgreSQL has closed the connection"));
            }
        }
    }
}

fn column(body: &mut Cursor) -> Result<Option<String>, Fault> {
    let length = body.u32()?;
    if length == u32::MAX {
        return Ok(None);
    }
    let text = body.bytes(length as usize)?;
    String::from_utf8(text.into())
        .map(Some)
        .map_err(|_| malformed())
}

fn refused_login(error: &std::io::Error) -> Fault {
    Fault::configuration(format!("the login has failed: {error}"))
}

fn unsupported_login() -> Fault {
    Fault::configuration(
        "PostgreSQL asks for a login that this program does not have: use scram-sha-256, md5, password, \
         trust, peer or cert in pg_hba.conf",
    )
}
