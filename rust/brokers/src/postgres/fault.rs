//! Why something failed: whether to try again, and a text without a secret.

use std::{fmt, io};

use bus::engine::{AttemptError, ControlError};
use tokio_postgres::error::DbError;

/// The database is prepared in the other form than this program expects.
pub(super) const WITHOUT_OUTBOX: &str = "the database is prepared without an outbox: leave out outbox=true, or \
     run `fraiseql-subs postgres install --outbox --switch` as an administrator";
/// The same, the other way round.
pub(super) const WITH_OUTBOX: &str = "the database is prepared with an outbox: write ?outbox=true in the URL of \
     the bus, or Postgres(..., outbox=True)";

/// Begins what a server has answered.
const SERVER: &str = "PostgreSQL says:";

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// For the log. Contains no secret.
    pub(super) reason: String,
}

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is no connection, or it has ended: a new one is made.
    Away,
    /// Only a change of the configuration helps.
    Configuration,
    /// The server cannot do it now.
    Busy,
    /// The role may not do it.
    Denied,
    /// The server refuses the statement for good.
    Refused,
}

impl Fault {
    pub(super) fn away(reason: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Away,
            reason: reason.into(),
        }
    }

    pub(super) fn configuration(reason: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Configuration,
            reason: reason.into(),
        }
    }

    pub(super) fn io(error: &io::Error) -> Self {
        Self::away(format!("the connection has ended: {error}"))
    }

    /// The fault of a statement, or of a connection, of `tokio_postgres`.
    pub(super) fn of_sql(error: &tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::of_answer(answer);
        }
        // The display of the error alone does not say why.
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !reason.contains(&text) {
                reason += &format!(": {text}");
            }
            source = cause.source();
        }
        Self::away(reason)
    }

    fn of_answer(answer: &DbError) -> Self {
        Self::of_server(
            answer.code().code(),
            answer.message(),
            answer.detail(),
            answer.hint(),
        )
    }

    /// The fault of an answer on a replication connection: fields of a letter and a text each.
    pub(super) fn of_fields(fields: &[(u8, String)]) -> Self {
        let text = |letter| {
            let field = fields.iter().find(|(of, _)| *of == letter);
            field.map(|(_, text)| &**text)
        };
        Self::of_server(
            text(b'C').unwrap_or_default(),
            text(b'M').unwrap_or("an error without a text"),
            text(b'D'),
            text(b'H'),
        )
    }

    fn of_server(code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Self {
        if code == "42883"
            && let Some(reason) = other_form(message)
        {
            return Self::configuration(reason);
        }
        let mut reason = format!("{SERVER} {message}");
        for more in [detail, hint].into_iter().flatten() {
            reason += &format!(" ({more})");
        }
        Self {
            kind: FaultKind::of_code(code),
            reason,
        }
    }

    /// The same with the address that was tried, unless a server has answered there.
    pub(super) fn at(mut self, address: &impl fmt::Display) -> Self {
        if self.kind == FaultKind::Away && !self.reason.starts_with(SERVER) {
            self.reason = format!("{address}: {}", self.reason);
        }
        self
    }

    /// The same with a text that says what to do.
    pub(super) fn advise(mut self, advice: &str) -> Self {
        self.reason = format!("{}: {advice}", self.reason);
        self
    }

    /// A fault when a link is made: what is refused then is the configuration.
    pub(super) fn of_link(mut self) -> Self {
        if matches!(self.kind, FaultKind::Denied | FaultKind::Refused) {
            self.kind = FaultKind::Configuration;
        }
        self
    }

    pub(super) fn is_configuration(&self) -> bool {
        self.kind == FaultKind::Configuration
    }

    /// Whether the connection cannot be used any more.
    pub(super) fn ends_link(&self) -> bool {
        matches!(self.kind, FaultKind::Away | FaultKind::Configuration)
    }

    /// What a publisher is told. `was_sent`: whether the statement was sent.
    pub(super) fn attempt(&self, was_sent: bool) -> AttemptError {
        let reason = self.reason.clone();
        match self.kind {
            FaultKind::Away if was_sent => AttemptError::Unknown(reason),
            FaultKind::Away => AttemptError::NotSent(reason),
            FaultKind::Busy => AttemptError::Busy(reason),
            FaultKind::Configuration | FaultKind::Denied => AttemptError::Denied(reason),
            FaultKind::Refused => AttemptError::Refused(reason),
        }
    }

    pub(super) fn control(self) -> ControlError {
        match self.kind {
            FaultKind::Away | FaultKind::Busy => ControlError::Unavailable(self.reason),
            FaultKind::Configuration | FaultKind::Denied | FaultKind::Refused => {
                ControlError::Refused(self.reason)
            }
        }
    }
}

/// Why a function of the schema is missing: the database was prepared in the other form while this program
/// was running.
fn other_form(message: &str) -> Option<&'static str> {
    let (_, name) = message.split_once("fraiseql_subs.")?;
    match name.split_once('(')?.0 {
        "publish_envelopes" => Some(WITH_OUTBOX),
        "publish_events" | "read_outbox" | "read_stream" | "open_outbox" | "renew_outbox"
        | "maintain_outbox" | "sleeping" | "read_messages" | "last_message" => Some(WITHOUT_OUTBOX),
        _ => None,
    }
}

impl FaultKind {
    /// Classifies a SQLSTATE.
    fn of_code(code: &str) -> Self {
        match code {
            // The server stops or starts; a transaction that waited for a replica may be committed.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" => Self::Away,
            // A transaction is read-only: the server is a standby.
            "25006" => Self::Away,
            // No such database; too many slots or connections of replication.
            "3D000" | "53400" => Self::Configuration,
            "53300" => Self::Busy,
            // The privilege, the schema or the function is missing.
            "42501" | "42883" | "42P01" | "3F000" | "42704" => Self::Denied,
            // `wal_level`, a slot that is lost.
            "55000" => Self::Configuration,
            // Cancelled, or in conflict with another transaction.
            "57014" | "40001" | "40P01" | "55P03" => Self::Busy,
            _ => match code.get(..2) {
                Some("08") => Self::Away,
                Some("28") => Self::Configuration,
                // Resources, I/O and internal errors.
                Some("53" | "58" | "XX" | "F0") => Self::Busy,
                _ => Self::Refused,
            },
        }
    }
}
