//! Faults of links and commands, and what must follow from each.
//!
//! Texts are for the log. They say what to do. Not here: how the text of a server is made safe (`said`).

use bus::engine::AttemptError;
use redis::{ErrorKind, RedisError, Value};

use super::said::Secrets;

/// Why a link ended, or why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) kind: FaultKind,
}

/// The reaction that a fault requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is no link: connect again.
    Away,
    /// The server cannot do it now: try again later.
    Busy,
    /// The server is not the one that can do it: find that one, and connect there.
    Elsewhere,
    /// The cluster is moving the partition, or does not serve it now: find its server, and try again.
    Moved,
    /// The scripts must be loaded again.
    NoScript,
    /// Only a change of the configuration solves it.
    Configuration,
    /// The user or the password is wrong or missing: only a change of the configuration solves it.
    Login,
    /// The server does not have the command: only a change of the configuration solves it.
    NoCommand,
    /// A key or a channel of the command cannot be used: the user lacks the permission, or the key holds
    /// something else.
    Forbidden,
    /// The server refuses this command for good.
    Refused,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { reason, kind }
    }

    pub(super) fn away(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Away, reason)
    }

    pub(super) fn configuration(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Configuration, reason)
    }

    /// Whether only a change of the configuration solves it.
    pub(super) fn is_configuration(&self) -> bool {
        self.is_of_program() || self.kind == FaultKind::Forbidden
    }

    /// Whether the configuration is wrong for all streams.
    pub(super) fn is_of_program(&self) -> bool {
        use FaultKind::{Configuration, Login, NoCommand};
        matches!(self.kind, Configuration | Login | NoCommand)
    }

    /// Returns the fault as the reason why there is no link. No event was sent and no stream is the
    /// cause, so nothing is refused for good.
    #[must_use]
    pub(super) fn of_link(mut self) -> Self {
        self.kind = match self.kind {
            FaultKind::Refused => FaultKind::Busy,
            FaultKind::Forbidden => FaultKind::Configuration,
            kind => kind,
        };
        self
    }

    /// Whether a single stream of a command with several may be the cause.
    pub(super) fn may_be_of_one_stream(&self) -> bool {
        matches!(self.kind, FaultKind::Forbidden | FaultKind::Refused)
    }

    /// Whether the link cannot be used any more.
    pub(super) fn ends_link(&self) -> bool {
        matches!(self.kind, FaultKind::Away | FaultKind::Elsewhere)
    }

    /// Parses an error of the server: a code in capitals, then a description.
    pub(super) fn of_text(text: &str, secrets: &Secrets) -> Self {
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        Self::of_code(code, detail, secrets)
    }

    /// Returns the fault of a command or a connection. `secrets` are those of the link.
    pub(super) fn of_error(error: &RedisError, secrets: &Secrets) -> Self {
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => Self::of_code(
                error.code().unwrap_or("ERR"),
                error.detail().unwrap_or_default(),
                secrets,
            ),
            ErrorKind::AuthenticationFailed => Self::of_code("WRONGPASS", "", secrets),
            ErrorKind::RESP3NotSupported => {
                Self::configuration("the server is too old: the bus needs Redis 7 or later")
            }
            ErrorKind::Io if error.is_timeout() => Self::away("Redis has not answered in time"),
            ErrorKind::Io => Self::away(format!("the link to Redis broke: {error}")),
            _ => Self::away("Redis has sent an answer that cannot be read"),
        }
    }

    /// Classifies an error of the server by its code and its description.
    pub(super) fn of_code(code: &str, detail: &str, secrets: &Secrets) -> Self {
        use FaultKind::{
            Busy, Configuration, Elsewhere, Forbidden, Login, Moved, NoCommand, NoScript, Refused,
        };
        let said = secrets.safe(&format!("{code} {detail}"));
        // Redis 7.0 reports a permission that a script lacks with the general code of errors.
        let is_permission = code == "ERR" && detail.starts_with("The user executing the script");
        let (kind, reason) = match code {
            _ if is_permission || code == "NOPERM" => (
                // A key or a channel is not permitted. Other texts are about a command, which concerns
                // all streams.
                if detail.contains("access") || detail.contains("publish to the channel") {
                    Forbidden
                } else {
                    Configuration
                },
                format!(
                    "Redis refuses this to the user (NOPERM {}): grant the user the commands, keys and \
                     channels of the bus",
                    secrets.safe(detail)
                ),
            ),
            "NOAUTH" | "WRONGPASS" => (
                Login,
                format!("Redis refuses the user or the password ({said}): correct them"),
            ),
            "DENIED" => (
                Busy,
                format!(
                    "Redis is in protected mode and refuses other machines: set a password in Redis and \
                     in the URL, or write protected-mode no in its configuration ({said})"
                ),
            ),
            "NOPROTO" => (
                Busy,
                format!(
                    "the server, or a proxy before it, does not speak RESP3 ({said}): the bus needs Redis \
                     7 or later"
                ),
            ),
            "OOM" => (
                Busy,
                "Redis has reached its maxmemory (OOM): raise it, or keep less history".to_owned(),
            ),
            "MISCONF" => (
                Busy,
                "Redis cannot write to its disk and accepts no writes (MISCONF): free disk space"
                    .to_owned(),
            ),
            "READONLY" => (
                Elsewhere,
                "the server is a replica (READONLY): write the address of the master".to_owned(),
            ),
            "MOVED" => (
                Moved,
                "the partition has moved to another server (MOVED)".to_owned(),
            ),
            "CLUSTERDOWN" => (
                Moved,
                "the cluster does not serve the partition now (CLUSTERDOWN)".to_owned(),
            ),
            // While a partition moves it stays with its old server, which refuses scripts that name a
            // new key.
            "ASK" | "TRYAGAIN" => (
                Moved,
                format!("the partition is being moved to another server ({code})"),
            ),
            "LOADING" => (Busy, "Redis is loading its data (LOADING)".to_owned()),
            "BUSY" => (
                Busy,
                "Redis runs a script that does not end (BUSY): end it by SCRIPT KILL".to_owned(),
            ),
            "MASTERDOWN" | "NOREPLICAS" => (Busy, format!("Redis accepts no writes now ({code})")),
            "NOSCRIPT" => (
                NoScript,
                "Redis has forgotten the scripts (NOSCRIPT)".to_owned(),
            ),
            "WRONGTYPE" => (
                Forbidden,
                "a key of the bus holds something else (WRONGTYPE): choose another prefix"
                    .to_owned(),
            ),
            "CROSSSLOT" => (
                Configuration,
                "the server belongs to a cluster (CROSSSLOT): write redis+cluster://".to_owned(),
            ),
            "ERR" if detail.starts_with("This instance has cluster support disabled") => (
                Configuration,
                "the server belongs to no cluster: write redis://".to_owned(),
            ),
            "ERR" if detail.starts_with("max number of clients") => (
                Busy,
                format!(
                    "Redis has all the clients that it may have ({said}): raise maxclients, or close \
                     other clients"
                ),
            ),
            "ERR" if detail.starts_with("DB index is out of range") => (
                Configuration,
                format!(
                    "Redis has no database of this number ({said}): write a smaller one in the URL, or \
                     raise databases in its configuration"
                ),
            ),
            "ERR" if is_unknown_command(detail) => (
                NoCommand,
                format!(
                    "Redis does not know a command that the bus needs ({said}): use Redis 7 or later, and \
                     rename none of its commands"
                ),
            ),
            _ => (Refused, format!("Redis has returned an error ({said})")),
        };
        Self::new(kind, reason)
    }

    /// Returns the result of an event whose publishing met this fault.
    pub(super) fn attempt(&self, was_sent: bool) -> AttemptError {
        let reason = self.reason.clone();
        match self.kind {
            FaultKind::Away if was_sent => AttemptError::Unknown(reason),
            FaultKind::Away => AttemptError::NotSent(reason),
            FaultKind::Busy | FaultKind::Elsewhere | FaultKind::Moved | FaultKind::NoScript => {
                AttemptError::Busy(reason)
            }
            // Tried until the deadline: a password that is being replaced is right a moment later.
            FaultKind::Configuration | FaultKind::Login | FaultKind::NoCommand => {
                AttemptError::Denied(reason)
            }
            // Waiting would delay the other streams of the partition.
            FaultKind::Forbidden | FaultKind::Refused => AttemptError::Refused(reason),
        }
    }
}

/// Returns the answer to a command, or its error.
pub(super) fn answered(
    answer: Result<Value, RedisError>,
    secrets: &Secrets,
) -> Result<Value, Fault> {
    match answer.map_err(|error| Fault::of_error(&error, secrets))? {
        Value::ServerError(error) => {
            let detail = error.details().unwrap_or_default();
            Err(Fault::of_code(error.code(), detail, secrets))
        }
        answer => Ok(answer),
    }
}

/// Whether an error is about the whole command, of a client or of a script; not about a subcommand.
fn is_unknown_command(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    detail.starts_with("unknown command") || detail.starts_with("unknown redis command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_redis_is_classified_and_says_what_to_do() {
        use FaultKind::{
            Busy, Configuration, Elsewhere, Forbidden, Login, Moved, NoCommand, NoScript, Refused,
        };
        for (text, kind, hint) in [
            (
                "NOPERM User bus has no permissions",
                Configuration,
                "User bus",
            ),
            (
                "ERR The user executing the script can't run this command",
                Configuration,
                "NOPERM",
            ),
            ("NOPERM No permissions to access a key", Forbidden, "a key"),
            (
                "ERR The user executing the script can't access at least one of the keys",
                Forbidden,
                "NOPERM",
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned",
                Forbidden,
                "NOPERM",
            ),
            ("NOAUTH Authentication required.", Login, "password"),
            ("WRONGPASS invalid", Login, "password (WRONGPASS invalid)"),
            ("DENIED Redis is running in", Busy, "protected-mode no"),
            ("NOPROTO unsupported protocol version", Busy, "RESP3"),
            (
                "ERR max number of clients reached",
                Busy,
                "clients reached): raise maxclients",
            ),
            ("ERR DB index is out of range", Configuration, "no database"),
            ("OOM command not allowed", Busy, "maxmemory"),
            ("MISCONF Redis is configured", Busy, "disk"),
            ("READONLY You can't write", Elsewhere, "master"),
            ("MOVED 3999 127.0.0.1:6381", Moved, "moved"),
            ("ASK 3999 127.0.0.1:6381", Moved, "being moved"),
            ("LOADING Redis is loading", Busy, "loading"),
            ("BUSY Redis is busy", Busy, "SCRIPT KILL"),
            ("TRYAGAIN Multiple keys", Moved, "TRYAGAIN"),
            ("CLUSTERDOWN Hash slot not served", Moved, "CLUSTERDOWN"),
            (
                "ERR This instance has cluster support disabled",
                Configuration,
                "redis://",
            ),
            ("NOSCRIPT No matching script", NoScript, "scripts"),
            ("WRONGTYPE Operation", Forbidden, "prefix"),
            (
                "ERR unknown command 'x', with args beginning with: 's3cret'",
                NoCommand,
                "(ERR unknown command 'x')",
            ),
            (
                "ERR Unknown Redis command called from script script: 1f, on @user_script:1.",
                NoCommand,
                "rename none",
            ),
            (
                "ERR unknown subcommand 'SHARDS'. Try CLUSTER HELP.",
                Refused,
                "'SHARDS'",
            ),
            ("upstream failure", Refused, "(upstream failure)"),
            ("ERR", Refused, "(ERR)"),
        ] {
            let fault = Fault::of_text(text, &Secrets::new(None, "s3cret"));
            assert_eq!(fault.kind, kind, "{text}");
            assert!(fault.reason.contains(hint), "{text}: {}", fault.reason);
            assert!(!fault.reason.contains("s3cret"), "{}", fault.reason);
        }
    }

    #[test]
    fn a_wrong_configuration_is_waited_for_and_a_stream_that_is_refused_is_not() {
        for (text, is_waited_for) in [
            ("WRONGPASS invalid", true),
            ("ERR unknown command 'EVALSHA'", true),
            ("ERR DB index is out of range", true),
            ("NOPERM User bus has no permissions to run this", true),
            ("NOPERM No permissions to access a channel", false),
            ("WRONGTYPE Operation", false),
        ] {
            for was_sent in [false, true] {
                let attempt = Fault::of_text(text, &Secrets::default()).attempt(was_sent);
                assert_eq!(
                    matches!(attempt, AttemptError::Denied(_)),
                    is_waited_for,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn no_error_of_a_link_refuses_an_event_for_good() {
        for text in [
            "ERR",
            "ERR syntax error",
            "upstream failure",
            "WRONGTYPE Operation",
            "NOPERM No permissions to access a key",
            "NOPERM User bus has no permissions",
            "WRONGPASS invalid",
            "DENIED x",
        ] {
            let fault = Fault::of_text(text, &Secrets::default()).of_link();
            let attempt = fault.attempt(false);
            assert!(!matches!(attempt, AttemptError::Refused(_)), "{attempt:?}");
        }
    }

    #[test]
    fn an_event_that_was_sent_and_not_answered_is_unknown() {
        let fault = Fault::away("gone");
        assert_eq!(
            fault.attempt(true),
            AttemptError::Unknown("gone".to_owned())
        );
        assert_eq!(
            fault.attempt(false),
            AttemptError::NotSent("gone".to_owned())
        );
    }
}
