//! Reads the URL of a PostgreSQL engine.
//!
//! `tokio_postgres` reads what `libpq` shares with it. Settings of TLS are read here.

use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Config, ConfigError, Times};
use crate::credentials::Credentials;
use crate::tls::Tls;

const EXAMPLE: &str = "postgresql://user:password@host:5432/database";
const ENCODE: &str = "write postgresql://user:password@host:5432/database, and encode '/', '?', '#', '@' and \
    ':' of a password as %2F, %3F, %23, %40 and %3A";
/// Options that `tokio_postgres` reads.
const PASSED: [&str; 8] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "user",
];
const OPTIONS: &str = "outbox, sslmode, sslrootcert, sslcert, sslkey (or tls_ca, tls_certificate, tls_key), \
    application_name, connect_timeout, dbname, host, options, password, port, user";

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let wrong = |text: String| ConfigError(text);
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !matches!(scheme, "postgresql" | "postgres") {
        // The text may be a secret that was pasted in the wrong place, so the error does not show it.
        return Err(wrong(format!(
            "the URL of PostgreSQL is wrong: write {EXAMPLE}"
        )));
    }
    if rest.contains('#') {
        return Err(wrong(
            "the URL of PostgreSQL has a '#': write %23 where it belongs to a password".to_owned(),
        ));
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut passed = Vec::new();
    let mut mode = None;
    let mut outbox = false;
    let (mut authorities, mut certificate, mut key) = (None, None, None);
    let mut seen = Vec::new();
    for (name, value) in crate::query::options(query) {
        match &*name {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" | "tls_ca" => authorities = Some(value.into_owned()),
            "sslcert" | "tls_certificate" => certificate = Some(value.into_owned()),
            "sslkey" | "tls_key" => key = Some(value.into_owned()),
            "outbox" => {
                outbox = match &*value {
                    "true" => true,
                    "false" => false,
                    _ => {
                        return Err(wrong(
                            "outbox in the URL of PostgreSQL is wrong: write true or false"
                                .to_owned(),
                        ));
                    }
                }
            }
            // The primary is found in any case.
            "target_session_attrs" => {}
            other if PASSED.contains(&other) => {
                let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
                passed.push(format!("{other}={value}"));
            }
            _ => {
                // The name may be a part of a password that contains '?' or '&', so the error does not
                // show it.
                return Err(wrong(format!(
                    "the URL of PostgreSQL has an option that is unknown: write one of {OPTIONS}"
                )));
            }
        }
        if seen.contains(&name) {
            return Err(wrong(format!(
                "the URL of PostgreSQL has {name} twice: write it once"
            )));
        }
        seen.push(name);
    }
    check_login(place)?;
    let server = format!("{scheme}://{place}?{}", passed.join("&"));
    let mut server: tokio_postgres::Config = server
        .trim_end_matches('?')
        .parse()
        .map_err(|_| wrong(format!("the URL of PostgreSQL is wrong: {ENCODE}")))?;
    if server.get_hosts().is_empty() {
        return Err(wrong(format!(
            "the URL of PostgreSQL has no host: write {EXAMPLE}, or host=/run/postgresql for a socket"
        )));
    }
    if server.get_user().is_none() {
        return Err(wrong(format!(
            "the URL of PostgreSQL has no user: write {EXAMPLE}"
        )));
    }
    if server.get_dbname().is_none() {
        return Err(wrong(format!(
            "the URL of PostgreSQL has no database: write {EXAMPLE}"
        )));
    }
    if server.get_application_name().is_none() {
        server.application_name("fraiseql-subs");
    }
    let credentials = password(&server)?;
    let tls = tls(mode.as_deref(), authorities, certificate, key)?;
    Ok(Config {
        server,
        tls,
        credentials,
        by_tenant: false,
        history: None,
        max_event_bytes: 1024 * 1024,
        tables: Vec::new(),
        outbox,
        times: Times::default(),
    })
}

/// Refuses characters that begin another part of the URL: parts of a password would be taken for a host.
fn check_login(place: &str) -> Result<(), ConfigError> {
    let (login, rest) = place.rsplit_once('@').unwrap_or(("", place));
    let hosts = rest.split('/').next().unwrap_or_default();
    let is_of_host = |char: char| char.is_alphanumeric() || "._-:,[]%".contains(char);
    if login.contains(['@', '/', '[', ']']) || !hosts.chars().all(is_of_host) {
        return Err(ConfigError(format!(
            "the URL of PostgreSQL is wrong: {ENCODE}"
        )));
    }
    Ok(())
}

/// Keeps the password apart from the other settings.
fn password(server: &tokio_postgres::Config) -> Result<Option<Credentials>, ConfigError> {
    let Some(password) = server.get_password() else {
        return Ok(None);
    };
    let password = String::from_utf8(password.to_vec())
        .map_err(|_| ConfigError("the password in the URL of PostgreSQL is no UTF-8".to_owned()))?;
    Ok(Some(Credentials::fixed(None, password)))
}

fn tls(
    mode: Option<&str>,
    authorities: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
) -> Result<Option<Tls>, ConfigError> {
    let wrong = |text: &str| Err(ConfigError(text.to_owned()));
    let has_files = authorities.is_some() || certificate.is_some() || key.is_some();
    match mode {
        Some("verify-full" | "verify-ca" | "require") => {}
        None | Some("disable") if has_files => {
            return wrong("sslrootcert, sslcert and sslkey need TLS: write sslmode=verify-full");
        }
        None | Some("disable") => return Ok(None),
        Some("allow" | "prefer") => {
            return wrong(
                "sslmode is wrong: write verify-full for TLS, or disable where the network is trusted; \
                 TLS that may be left out protects nothing",
            );
        }
        Some(_) => return wrong("sslmode is wrong: write verify-full or disable"),
    }
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) if !certificate.is_empty() && !key.is_empty() => {
            Some((certificate.into(), key.into()))
        }
        _ => return wrong("sslcert and sslkey belong together: write both or none"),
    };
    Ok(Some(Tls {
        authorities: authorities
            .filter(|path| path != "system")
            .map(PathBuf::from),
        identity,
    }))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn problem(text: &str) -> String {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        error
    }

    #[test]
    fn a_url_of_libpq_is_read() {
        let config = parse(
            "postgres://me:p%40ss@db.example:6543/shop?sslmode=require&sslrootcert=/ca.pem&application_name=a%20b",
        )
        .unwrap();
        assert_eq!(config.hosts(), [(Host::Tcp("db.example".to_owned()), 6543)]);
        assert_eq!((config.database(), config.user()), ("shop", Some("me")));
        assert_eq!(config.application_name(), "a b");
        assert_eq!(config.tls.unwrap().authorities, Some("/ca.pem".into()));
        assert_eq!(
            config.credentials.unwrap().ask(),
            Ok((None, "p@ss".to_owned()))
        );
    }

    #[test]
    fn a_plus_is_itself() {
        let config = parse("postgresql://me@h/d?password=a+b%20c&options=-c+x").unwrap();
        assert_eq!(config.options(), Some("-c+x"));
        assert_eq!(
            config.credentials.unwrap().ask(),
            Ok((None, "a+b c".to_owned()))
        );
    }

    #[test]
    fn a_socket_is_a_host() {
        let config = parse("postgresql://me@/shop?host=/run/postgresql&port=5433").unwrap();
        assert_eq!(
            config.hosts(),
            [(Host::Unix("/run/postgresql".into()), 5433)]
        );
        assert!(config.tls.is_none() && config.credentials.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (url, expected) in [
            ("secret", "write postgresql://"),
            ("postgresql://me:secret@h:secret/d", "is wrong"),
            ("postgresql://me:secret@h/d#x", "%23"),
            ("postgresql://me:a/secret@h/d", "%2F"),
            ("postgresql://me:a@secret@h/d", "%40"),
            ("postgresql://me:a[secret@h/d", "is wrong"),
            ("postgresql:///d?user=me", "no host"),
            ("postgresql://h/d", "no user"),
            ("postgresql://me:secret@h", "no database"),
            ("postgresql://me:secret@h/d?sslmode=prefer", "verify-full"),
            ("postgresql://me:secret@h/d?sslmode=secret", "verify-full"),
            ("postgresql://me:secret@h/d?sslrootcert=x", "need TLS"),
            (
                "postgresql://me:secret@h/d?sslmode=require&sslcert=x",
                "both",
            ),
            ("postgresql://me:secret@h/d?secret=1", "unknown"),
            ("postgresql://me:a?secret@h/d", "unknown"),
            ("postgresql://me:secret@h/d?user=a&user=b", "twice"),
        ] {
            let error = problem(url);
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let config = parse("postgresql://me:secret@h/d").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
