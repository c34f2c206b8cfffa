//! Faults of links and commands, and what must follow from each.
//!
//! Texts are for the log. They say what to do, and contain no argument of a command, which may be a
//! secret or an event.

use bus::engine::AttemptError;
use redis::{ErrorKind, RedisError, Value};

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
    /// The user lacks the permission for a key or a channel of the command.
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

    pub(super) fn is_configuration(&self) -> bool {
        matches!(self.kind, FaultKind::Configuration | FaultKind::Forbidden)
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
    pub(super) fn of_text(text: &str) -> Self {
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        Self::of_code(code, detail)
    }

    /// Classifies an error of the server by its code and its description.
    pub(super) fn of_code(code: &str, detail: &str) -> Self {
        use FaultKind::{Busy, Configuration, Elsewhere, Forbidden, Moved, NoScript, Refused};
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
                    shortened(detail)
                ),
            ),
            "NOAUTH" | "WRONGPASS" => (
                Configuration,
                format!("Redis refuses the user or the password ({code}): correct them"),
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
                Refused,
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
            _ => (
                Refused,
                format!("Redis has returned an error ({})", shortened(code)),
            ),
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
            FaultKind::Configuration => AttemptError::Denied(reason),
            // Waiting would delay the other streams of the partition.
            FaultKind::Forbidden | FaultKind::Refused => AttemptError::Refused(reason),
        }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => Self::of_code(
                error.code().unwrap_or("ERR"),
                error.detail().unwrap_or_default(),
            ),
            ErrorKind::AuthenticationFailed => Self::of_code("WRONGPASS", ""),
            ErrorKind::RESP3NotSupported => {
                Self::configuration("the server is too old: the bus needs Redis 7 or later")
            }
            ErrorKind::Io if error.is_timeout() => Self::away("Redis has not answered in time"),
            ErrorKind::Io => Self::away(format!("the link to Redis broke: {error}")),
            _ => Self::away("Redis has sent an answer that cannot be read"),
        }
    }
}

/// Returns the answer to a command, or its error.
pub(super) fn answered(answer: Result<Value, RedisError>) -> Result<Value, Fault> {
    match answer? {
        Value::ServerError(error) => Err(Fault::of_code(
            error.code(),
            error.details().unwrap_or_default(),
        )),
        answer => Ok(answer),
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(120)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_redis_is_classified_and_says_what_to_do() {
        use FaultKind::{Busy, Configuration, Elsewhere, Forbidden, Moved, NoScript, Refused};
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
            ("NOAUTH Authentication required.", Configuration, "password"),
            ("WRONGPASS invalid", Configuration, "password"),
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
            ("WRONGTYPE Operation", Refused, "prefix"),
            (
                "ERR unknown command 'x', with args beginning with: 's3cret'",
                Refused,
                "ERR",
            ),
        ] {
            let fault = Fault::of_text(text);
            assert_eq!(fault.kind, kind, "{text}");
            assert!(fault.reason.contains(hint), "{text}: {}", fault.reason);
            assert!(!fault.reason.contains("s3cret"), "{}", fault.reason);
        }
    }

    #[test]
    fn a_wrong_configuration_is_waited_for_and_a_stream_that_is_refused_is_not() {
        for (text, is_waited_for) in [
            ("WRONGPASS invalid", true),
            ("NOPERM User bus has no permissions to run this", true),
            ("NOPERM No permissions to access a channel", false),
            ("WRONGTYPE Operation", false),
        ] {
            for was_sent in [false, true] {
                let attempt = Fault::of_text(text).attempt(was_sent);
                assert_eq!(
                    matches!(attempt, AttemptError::Denied(_)),
                    is_waited_for,
                    "{text}"
                );
            }
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
