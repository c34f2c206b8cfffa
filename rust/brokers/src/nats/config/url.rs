//! Reads the URL of a NATS engine.
//!
//! Not `url::Url`: the URL may have several hosts.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Address, Config, ConfigError, Login};
use crate::address::host_and_port;
use crate::credentials::Credentials;
use crate::tls::Tls;

const OPTIONS: &str = "credentials, history, max_bytes, nkey, partitions, prefix, replicas, tls_ca, \
    tls_certificate, tls_key, token";

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let wrong = |text: &str| ConfigError(text.to_owned());
    let unknown = "the scheme of the bus is unknown: write nats://host:4222, nats://host1,host2 or \
        tls://host:4222";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(unknown))?;
    let has_tls = match scheme {
        "nats" => false,
        "tls" => true,
        // The text may be a secret that was pasted in the wrong place, so the error does not show it.
        _ => return Err(wrong(unknown)),
    };
    if rest.contains('#') {
        return Err(wrong(
            "the URL of the bus has a '#': write %23 where it belongs to a password",
        ));
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if !path.is_empty() {
        return Err(wrong(
            "the URL of the bus has a path: write nats://host:4222 without one, and %2F for a '/' of \
             a password",
        ));
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let servers = hosts.split(',').map(address).collect::<Result<_, _>>()?;
    let mut config = Config::new(servers);
    if has_tls {
        config.tls = Some(Tls::default());
    }
    if let Some(user) = user {
        config.login = login(user)?;
    }
    let mut seen = Vec::new();
    for (name, value) in crate::query::options(query) {
        option(&mut config, &name, &value)?;
        if seen.contains(&name) {
            return Err(ConfigError(format!(
                "the URL of the bus has {name} twice: write it once"
            )));
        }
        seen.push(name);
    }
    if let Some(Tls {
        identity: Some((certificate, key)),
        ..
    }) = &config.tls
    {
        for (path, name) in [(certificate, "tls_certificate"), (key, "tls_key")] {
            if path.as_os_str().is_empty() {
                return Err(ConfigError(format!(
                    "{name} is missing: write both or none"
                )));
            }
        }
    }
    Ok(config)
}

fn address(text: &str) -> Result<Address, ConfigError> {
    let (host, port) = host_and_port(text, 4222).map_err(ConfigError)?;
    Ok(Address { host, port })
}

fn login(text: &str) -> Result<Login, ConfigError> {
    let Some((user, password)) = text.split_once(':') else {
        return Ok(Login::UserAlone(decoded(text, "the user")?));
    };
    let user = decoded(user, "the user")?;
    let password = decoded(password, "the password")?;
    Ok(Login::Password(Credentials::fixed(Some(user), password)))
}

fn option(config: &mut Config, name: &str, value: &str) -> Result<(), ConfigError> {
    let number = |example: &str| {
        ConfigError(format!(
            "{name} is wrong: write a number, such as {example}"
        ))
    };
    match name {
        "history" => {
            config.history = match value {
                "on" => Some(Duration::from_mins(5)),
                "off" => None,
                _ => return Err(ConfigError("history is wrong: write on or off".to_owned())),
            }
        }
        "partitions" => config.partitions = value.parse().map_err(|_| number("1"))?,
        "replicas" => config.replicas = Some(value.parse().map_err(|_| number("3"))?),
        "max_bytes" => config.max_bytes = Some(value.parse().map_err(|_| number("1073741824"))?),
        "prefix" => value.clone_into(&mut config.prefix),
        "token" | "credentials" | "nkey" => {
            if !matches!(config.login, Login::Anonymous) {
                return Err(ConfigError(
                    "the URL of the bus has two logins: write one of user:password@, token, \
                     credentials and nkey"
                        .to_owned(),
                ));
            }
            config.login = match name {
                "token" => Login::Token(Credentials::fixed(None, value.to_owned())),
                "nkey" => Login::Nkey(PathBuf::from(value)),
                _ => Login::Credentials(PathBuf::from(value)),
            };
        }
        "tls_ca" | "tls_certificate" | "tls_key" => {
            let tls = config.tls.as_mut().ok_or_else(|| {
                ConfigError(format!("{name} needs TLS: write tls:// instead of nats://"))
            })?;
            let path = PathBuf::from(value);
            if name == "tls_ca" {
                tls.authorities = Some(path);
            } else {
                let identity = tls.identity.get_or_insert_default();
                if name == "tls_key" {
                    identity.1 = path;
                } else {
                    identity.0 = path;
                }
            }
        }
        _ => {
            // The name may be the end of a password that contains '?' or '&', so the error does not
            // show it.
            return Err(ConfigError(format!(
                "an option of the bus is unknown: the options are {OPTIONS}"
            )));
        }
    }
    Ok(())
}

fn decoded(text: &str, what: &str) -> Result<String, ConfigError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| ConfigError(format!("{what} in the URL of the bus is no UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn a_configuration_without_a_server_is_refused() {
        let mut config = Config::from_url("nats://cache").unwrap();
        config.servers.clear();
        assert!(config.check().unwrap_err().to_string().contains("server"));
    }

    #[test]
    fn a_url_names_servers_and_a_login() {
        let config = Config::from_url("nats://cache").unwrap();
        assert_eq!(config.servers, [server("cache", 4222)]);
        assert_eq!(config.tls, None);
        assert!(config.history.is_some() && matches!(config.login, Login::Anonymous));

        let url = "tls://me:p%40ss@[::1]:7000,b:1/?history=off&partitions=8&prefix=x&replicas=3&max_bytes=2000000&tls_ca=/ca.pem";
        let config = Config::from_url(url).unwrap();
        assert_eq!(config.servers, [server("::1", 7000), server("b", 1)]);
        assert_eq!(config.tls.unwrap().authorities, Some("/ca.pem".into()));
        assert_eq!((config.history, config.partitions), (None, 8));
        assert_eq!(
            (config.replicas, config.max_bytes),
            (Some(3), Some(2_000_000))
        );
        let Login::Password(credentials) = config.login else {
            panic!("no password");
        };
        let expected = (Some("me".to_owned()), "p@ss".to_owned());
        assert_eq!(credentials.ask(), Ok(expected));

        let login = |options: &str| {
            Config::from_url(&format!("nats://h?{options}"))
                .unwrap()
                .login
        };
        assert!(matches!(login("token=t"), Login::Token(_)));
        assert!(matches!(login("credentials=/c"), Login::Credentials(path) if path == *"/c"));
        assert!(matches!(login("nkey=/n"), Login::Nkey(path) if path == *"/n"));
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_write_and_without_its_secret() {
        for (url, hint) in [
            ("s3cret", "nats://"),
            ("s3cret://x", "nats://"),
            ("nats://", "a host of the bus is wrong"),
            ("nats://u:s3cret#x@host", "%23"),
            ("nats://u:s3/cret@host", "%2F"),
            ("nats://u:s3?cret@host", "%3F"),
            ("nats://s3cret@host", "user:password@host"),
            ("nats://host:99999", "a host of the bus is wrong"),
            ("nats://host:0", "a host of the bus is wrong"),
            ("nats://host:+1", "a host of the bus is wrong"),
            ("nats://a,,b", "a host of the bus is wrong"),
            ("nats://host/x", "has a path"),
            ("nats://host?history=s3cret", "on or off"),
            ("nats://host?s3cret=1", "partitions"),
            ("nats://host?partitions=0", "1 to 64"),
            ("nats://host?partitions=x", "number"),
            ("nats://host?prefix=a&prefix=b", "prefix twice"),
            ("nats://host?prefix=a.b", "prefix"),
            ("nats://host?replicas=2", "1, 3 or 5"),
            ("nats://host?max_bytes=1", "1048576"),
            ("nats://u:s3cret@host?token=s3cret", "two logins"),
            ("nats://host?token=s3cret&nkey=x", "two logins"),
            ("nats://host?tls_ca=x", "tls://"),
            ("tls://host?tls_key=x", "tls_certificate"),
        ] {
            let error = Config::from_url(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{url}: {error}");
            assert!(!error.contains("s3"), "{url}: {error}");
        }
    }

    #[test]
    fn a_configuration_does_not_show_its_secrets() {
        let config = Config::from_url("nats://u:s3cret@h").unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
