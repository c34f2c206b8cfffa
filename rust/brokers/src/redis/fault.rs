//! What went wrong with a link or a command, and what follows from it.
//!
//! Texts are for the log: they say what to do, and hold no argument of a command, which may be a secret
//! or an event.

use bus::engine::AttemptError;
use redis::{ErrorKind, RedisError, Value};

/// Why a link ended or a command was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) kind: FaultKind,
}

/// What a fault asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// No link: connect again.
    Away,
    /// The server does not do it now: ask again later.
    Busy,
    /// The server is not the one that does it: ask which one is, and connect there.
    Elsewhere,
    /// The cluster moves the partition, or does not serve it now: ask which server has it, and try again.
    Moved,
    /// Scripts are to be loaded again.
    NoScript,
    /// Only a change of the configuration helps.
    Configuration,
    /// The user may not use a key or a channel of the command.
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

    /// Whether one of several streams in a command may be all that it is about.
    pub(super) fn may_be_of_one_stream(&self) -> bool {
        matches!(self.kind, FaultKind::Forbidden | FaultKind::Refused)
    }

    /// Whether the link is of no use any more.
    pub(super) fn ends_link(&self) -> bool {
        matches!(self.kind, FaultKind::Away | FaultKind::Elsewhere)
    }

    /// Reads the text of an error of the server: a code in capitals, then words.
    pub(super) fn of_text(text: &str) -> Self {
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        Self::of_code(code, detail)
    }

    /// Reads an error of the server: its code in capitals, and its words.
    pub(super) fn of_code(code: &str, detail: &str) -> Self {
        use FaultKind::{Busy, Configuration, Elsewhere, Forbidden, Moved, NoScript, Refused};
        // Redis 7.0 tells of a permission that a script lacks under the code of all errors.
        let is_permission = code == "ERR" && detail.starts_with("The user executing the script");
        let (kind, reason) = match code {
            _ if is_permission || code == "NOPERM" => (
                // Of a key or a channel, and not of a command: not the one that scripts publish to either.
                if detail.contains("access") || detail.contains("publish to the channel") {
                    Forbidden
                } else {
                    Configuration
                },
                format!(
                    "Redis refuses it to this user (NOPERM {}): give the user the commands, keys and \
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
                "Redis cannot write to its disk and takes no writes (MISCONF): free space there"
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
            // Until all its keys are there the partition belongs to the first server, which calls no
            // script that names a new key.
            "ASK" | "TRYAGAIN" => (
                Moved,
                format!("the partition is being moved to another server ({code})"),
            ),
            "LOADING" => (Busy, "Redis is loading its data (LOADING)".to_owned()),
            "BUSY" => (
                Busy,
                "Redis runs a script that does not end (BUSY): end it by SCRIPT KILL".to_owned(),
            ),
            "MASTERDOWN" | "NOREPLICAS" => (Busy, format!("Redis takes no writes now ({code})")),
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
                format!("Redis has answered an error ({})", shortened(code)),
            ),
        };
        Self::new(kind, reason)
    }

    /// What follows for an event that was to be published.
    pub(super) fn attempt(&self, was_sent: bool) -> AttemptError {
        let reason = self.reason.clone();
        match self.kind {
            FaultKind::Away if was_sent => AttemptError::Unknown(reason),
            FaultKind::Away => AttemptError::NotSent(reason),
            FaultKind::Busy | FaultKind::Elsewhere | FaultKind::Moved | FaultKind::NoScript => {
                AttemptError::Busy(reason)
            }
            // Until its deadline: a password that is replaced is right a moment later.
            FaultKind::Configuration => AttemptError::Denied(reason),
            // Waiting would hold up the other streams of the partition.
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
            _ => Self::away("Redis has answered what cannot be read"),
        }
    }
}

/// The answer to a command, or its error.
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
    fn an_error_of_redis_says_what_follows_and_what_to_do() {
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
    fn what_was_sent_and_not_answered_is_unknown() {
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
