//! Reads the URL of a Redis engine.
//!
//! Not `url::Url`: the URL of sentinels and of a cluster has several hosts.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::{Address, Config, ConfigError, StreamHistory, Topology};
use crate::address::host_and_port;
use crate::credentials::Credentials;
use crate::tls::Tls;

const SCHEMES: &str = "redis://host:6379, rediss://host:6379 (TLS), redis+unix:///path, \
    redis+sentinel://host1:26379,host2:26379/master or redis+cluster://host1:6379,host2:6379";
const OPTIONS: &str =
    "db, history, partitions, prefix, tls_ca, tls_certificate, tls_key, sentinel_password";

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let wrong = |text: String| ConfigError(text);
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| wrong(format!("the URL of the bus has no scheme: write {SCHEMES}")))?;
    let (kind, has_tls) = match scheme {
        "redis" => (Kind::Single, false),
        "rediss" => (Kind::Single, true),
        "redis+unix" => (Kind::Unix, false),
        "redis+sentinel" => (Kind::Sentinel, false),
        "rediss+sentinel" => (Kind::Sentinel, true),
        "redis+cluster" => (Kind::Cluster, false),
        "rediss+cluster" => (Kind::Cluster, true),
        // The text may be a secret that was pasted in the wrong place, so the error does not show it.
        _ => {
            return Err(wrong(format!(
                "the scheme of the bus is unknown: write {SCHEMES}"
            )));
        }
    };
    if rest.contains('#') {
        return Err(wrong(
            "the URL of the bus has a '#': write %23 where it belongs to a password".to_owned(),
        ));
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match place.find('/') {
        Some(at) => (&place[..at], &place[at + 1..]),
        None => (place, ""),
    };
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };

    let mut config = Config::new(topology(kind, hosts, path)?);
    if has_tls {
        config.tls = Some(Tls::default());
    }
    if let Some(user) = user {
        config.credentials = Some(credentials(user)?);
    }
    let mut seen = Vec::new();
    if matches!(kind, Kind::Single | Kind::Cluster) && !path.is_empty() {
        config.database = database(path)?;
        seen.push(Cow::Borrowed("db"));
    }
    for (name, value) in crate::query::options(query) {
        option(&mut config, &name, &value)?;
        if seen.contains(&name) {
            return Err(wrong(format!(
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
                return Err(wrong(format!("{name} is missing: write both or none")));
            }
        }
    }
    Ok(config)
}

#[derive(Clone, Copy)]
enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

fn topology(kind: Kind, hosts: &str, path: &str) -> Result<Topology, ConfigError> {
    match kind {
        Kind::Unix if !hosts.is_empty() || path.is_empty() => Err(ConfigError(
            "the URL of a Unix socket has three slashes: write redis+unix:///run/redis.sock"
                .to_owned(),
        )),
        Kind::Unix => {
            let path = format!("/{}", decoded(path, "the path of the socket")?);
            Ok(Topology::Single(Address::Unix(PathBuf::from(path))))
        }
        Kind::Single if hosts.contains(',') => Err(ConfigError(
            "redis:// has one host: write redis+sentinel:// or redis+cluster:// for several"
                .to_owned(),
        )),
        Kind::Single => Ok(Topology::Single(address(hosts, 6379)?)),
        Kind::Sentinel => {
            let master = decoded(path, "the name of the master")?;
            if master.is_empty() || master.contains('/') {
                return Err(ConfigError(
                    "the name of the master is missing or wrong: write \
                     redis+sentinel://host1:26379,host2:26379/mymaster, and ?db=1 for a database"
                        .to_owned(),
                ));
            }
            let sentinels = addresses(hosts, 26379)?;
            Ok(Topology::Sentinel { sentinels, master })
        }
        Kind::Cluster => Ok(Topology::Cluster {
            seeds: addresses(hosts, 6379)?,
        }),
    }
}

fn addresses(hosts: &str, port: u16) -> Result<Vec<Address>, ConfigError> {
    hosts.split(',').map(|host| address(host, port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, ConfigError> {
    let (host, port) = host_and_port(text, default_port).map_err(ConfigError)?;
    Ok(Address::Tcp(host, port))
}

fn credentials(text: &str) -> Result<Credentials, ConfigError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = decoded(user, "the user")?;
    let Some(password) = password else {
        return Ok(Credentials::of_user_alone(user));
    };
    let password = decoded(password, "the password")?;
    let user = Some(user).filter(|user| !user.is_empty());
    Ok(Credentials::fixed(user, password))
}

fn option(config: &mut Config, name: &str, value: &str) -> Result<(), ConfigError> {
    match name {
        "db" => config.database = database(value)?,
        "history" => {
            config.history = match value {
                "on" => Some(StreamHistory::default()),
                "off" => None,
                _ => return Err(ConfigError("history is wrong: write on or off".to_owned())),
            }
        }
        "partitions" => {
            config.partitions = value.parse().map_err(|_| {
                ConfigError("partitions is wrong: write a power of two, such as 64".to_owned())
            })?;
        }
        "prefix" => value.clone_into(&mut config.prefix),
        "sentinel_password" => {
            config.sentinel_credentials = Some(Credentials::fixed(None, value.to_owned()));
        }
        "tls_ca" | "tls_certificate" | "tls_key" => {
            let tls = config.tls.as_mut().ok_or_else(|| {
                ConfigError(format!(
                    "{name} needs TLS: write rediss:// instead of redis://"
                ))
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

fn database(text: &str) -> Result<i64, ConfigError> {
    text.parse::<u32>().map(i64::from).map_err(|_| {
        ConfigError("the number of the database is wrong: write /0 or ?db=0".to_owned())
    })
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

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    #[test]
    fn a_url_names_one_server() {
        let config = Config::from_url("redis://cache").unwrap();
        assert_eq!(config.topology, Topology::Single(tcp("cache", 6379)));
        assert_eq!(config.tls, None);
        assert_eq!((config.partitions, config.prefix.as_str()), (64, "fs1"));
        assert!(config.history.is_some());

        let config = Config::from_url(
            "rediss://me:p%40ss%2F@[::1]:7000/3?history=off&partitions=8&prefix=x",
        )
        .unwrap();
        assert_eq!(config.topology, Topology::Single(tcp("::1", 7000)));
        assert_eq!(config.tls, Some(Tls::default()));
        assert_eq!(config.database, 3);
        assert_eq!(config.history, None);
        assert_eq!((config.partitions, config.prefix.as_str()), (8, "x"));
        let credentials = config.credentials.unwrap();
        assert_eq!(
            credentials.ask(),
            Ok((Some("me".to_owned()), "p@ss/".to_owned()))
        );
    }

    #[test]
    fn a_url_names_a_socket_sentinels_or_a_cluster() {
        let config = Config::from_url("redis+unix:///run/redis.sock?db=2").unwrap();
        assert_eq!(
            config.topology,
            Topology::Single(Address::Unix("/run/redis.sock".into()))
        );
        assert_eq!(config.database, 2);

        let config = Config::from_url("redis+sentinel://:pw@s1,s2:7/main?db=1").unwrap();
        assert_eq!(
            config.topology,
            Topology::Sentinel {
                sentinels: vec![tcp("s1", 26379), tcp("s2", 7)],
                master: "main".to_owned()
            }
        );
        assert_eq!(
            config.credentials.unwrap().ask(),
            Ok((None, "pw".to_owned()))
        );

        let config = Config::from_url("rediss+cluster://a,b:1?tls_ca=/ca.pem").unwrap();
        assert_eq!(
            config.topology,
            Topology::Cluster {
                seeds: vec![tcp("a", 6379), tcp("b", 1)]
            }
        );
        assert_eq!(config.tls.unwrap().authorities, Some("/ca.pem".into()));
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_write_and_without_its_secret() {
        for (url, hint) in [
            ("s3cret", "redis://"),
            ("s3cret://x", "redis://"),
            ("redis://", "a host of the bus is wrong"),
            ("redis://:s3cret#x@host", "%23"),
            ("redis://:s3/cret@host", "%2F"),
            ("redis://:s3?cret@host", "%3F"),
            ("redis://s3cret@host", "user:password@host"),
            ("redis://host:99999", "a host of the bus is wrong"),
            ("redis://host:0", "a host of the bus is wrong"),
            ("redis://a,b", "redis+sentinel://"),
            ("redis://host/x", "?db=0"),
            ("redis://host?history=s3cret", "on or off"),
            ("redis://host?s3cret=1", "partitions"),
            ("redis://host?partitions=12", "power of two"),
            (
                "redis://host?partitions=16&partitions=32",
                "partitions twice",
            ),
            (
                "redis://host?partitions=16&partitions=16",
                "partitions twice",
            ),
            ("redis://host/1?db=1", "db twice"),
            ("redis://host?prefix=a&db=1&prefix=s3cret", "prefix twice"),
            (
                "redis+sentinel://h/m?sentinel_password=s3cret&sentinel_password=s3cret",
                "sentinel_password twice",
            ),
            ("redis://host?partitions=2048", "power of two"),
            ("redis://host?prefix=a:b", "prefix"),
            ("redis://host?tls_ca=x", "rediss://"),
            ("rediss://host?tls_key=x", "tls_certificate"),
            ("redis+sentinel://host", "mymaster"),
            ("redis+unix://run/x", "three slashes"),
            ("redis+cluster://host/1", "database 0"),
        ] {
            let error = Config::from_url(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{url}: {error}");
            assert!(!error.contains("s3"), "{url}: {error}");
        }
    }

    #[test]
    fn a_user_without_a_password_can_be_completed() {
        let credentials = |url| Config::parse(url).unwrap().credentials.unwrap();
        let alone = credentials("redis://b%40s@host");
        assert_eq!(alone.user_of_url(), Some("b@s".to_owned()));
        assert!(alone.of_user("other".to_owned()).is_none());
        let both = credentials("redis://bus:pw@host");
        assert_eq!(both.user_of_url(), Some("bus".to_owned()));
        let other = both.of_user("other".to_owned()).unwrap();
        assert_eq!(other.ask(), Ok((Some("other".to_owned()), "pw".to_owned())));
        assert_eq!(credentials("redis://:pw@host").user_of_url(), None);
        assert!(Config::parse("redis://bus@host").unwrap().check().is_err());
    }

    #[test]
    fn a_configuration_does_not_show_its_secrets() {
        let config =
            Config::from_url("redis+sentinel://u:s3cret@h/m?sentinel_password=s3cret").unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
