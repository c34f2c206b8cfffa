//! Checks the `Host` header against the configured names: protection against DNS rebinding.

use crate::authority::{Authority, AuthorityPattern};

/// Host names that requests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    patterns: Vec<AuthorityPattern>,
    any: bool,
}

/// A host that can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "host `{0}` is not of the form name[:port]: write it as clients send it, in ASCII, such as `api.example.com`, `*.example.com` for all names below, `10.0.0.7` or `[::1]`"
)]
pub struct HostError(String);

impl Hosts {
    /// Parses `api.example.com`, `api.example.com:8443`, or `*.example.com` for all names below. An
    /// entry without a port matches any port.
    ///
    /// # Errors
    ///
    /// [`HostError`] if one has a scheme, a path or a star elsewhere, or can never be sent.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Result<Self, HostError> {
        let patterns = hosts
            .into_iter()
            .map(|host| AuthorityPattern::parse(&host).ok_or(HostError(host)));
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
            any: false,
        })
    }

    /// Like [`Self::new`], but `*` alone matches any host and a missing one.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::new`].
    pub fn with_any(hosts: impl IntoIterator<Item = String>) -> Result<Self, HostError> {
        let mut any = false;
        let named = hosts.into_iter().filter(|host| {
            let is_any = host == "*";
            any |= is_any;
            !is_any
        });
        let hosts = Self::new(named)?;
        Ok(Self { any, ..hosts })
    }

    /// Whether a request with this `Host` header is allowed; without the header it is not.
    #[must_use]
    pub fn allow(&self, host: Option<&str>) -> bool {
        if self.any {
            return true;
        }
        let Some(host) = host.and_then(Authority::parse) else {
            return false;
        };
        self.patterns.iter().any(|pattern| {
            let is_port = pattern.port().is_none() || pattern.port() == host.port;
            is_port && pattern.names(&host.name)
        })
    }
}

/// Whether the two server names in a request may be the same: equal except for case, the form of an
/// address, and the default port of `scheme`, which one of them may leave out.
#[must_use]
pub fn is_same_host(one: &str, other: &str, scheme: Option<&str>) -> bool {
    let port = match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let (Some(one), Some(other)) = (Authority::parse(one), Authority::parse(other)) else {
        return false;
    };
    one.name == other.name && one.port.or(port) == other.port.or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Hosts {
        Hosts::new(list.iter().map(ToString::to_string)).unwrap()
    }

    #[test]
    fn a_listed_host_is_answered_on_any_port_unless_it_names_one() {
        let hosts = hosts(&["api.example.com", "[::1]", "internal:8443"]);
        for host in [
            "api.example.com",
            "API.example.com:8000",
            "[::1]:80",
            "[0:0::1]",
            "internal:8443",
        ] {
            assert!(hosts.allow(Some(host)), "{host}");
        }
        for host in [
            "example.com",
            "evil.test",
            "api.example.com.evil.test",
            "api.example.com.",
            "user@api.example.com",
            "api.example.com:80:80",
            "api.example.com:x",
            "internal",
            "[::2]",
            "",
        ] {
            assert!(!hosts.allow(Some(host)), "{host}");
        }
        assert!(!hosts.allow(None));
    }

    #[test]
    fn a_star_stands_for_the_names_below() {
        let hosts = hosts(&["*.example.com"]);
        assert!(hosts.allow(Some("a.b.example.com:1")));
        for host in [
            "example.com",
            ".example.com",
            "evilexample.com",
            "evil.test/.example.com",
            "evil.test?.example.com",
            "evil.test@a.example.com",
            "evil.test:80.example.com",
            "evil.test,a.example.com",
            "a..example.com",
        ] {
            assert!(!hosts.allow(Some(host)), "{host}");
        }
    }

    #[test]
    fn a_host_that_could_never_match_is_refused() {
        for host in [
            "",
            "*",
            "https://a",
            "a/b",
            "a*.com",
            "*.",
            "a b",
            "b\u{fc}cher.example",
            "a.",
            "::1",
            "a:99999",
        ] {
            assert!(Hosts::new([host.to_owned()]).is_err(), "{host}");
        }
    }

    #[test]
    fn any_host_is_one_star_where_that_may_be_said() {
        let any = Hosts::with_any(["*".to_owned()]).unwrap();
        assert!(any.allow(Some("10.0.0.7:8000")) && any.allow(None) && any.allow(Some("@")));
        let named = Hosts::with_any(["10.0.0.7".to_owned()]).unwrap();
        assert!(named.allow(Some("10.0.0.7:8000")) && !named.allow(Some("evil.test")));
        assert!(Hosts::with_any(["a*".to_owned()]).is_err());
    }

    #[test]
    fn two_names_are_the_same_but_for_case_and_the_port_of_the_scheme() {
        let same = |one, other, scheme| is_same_host(one, other, Some(scheme));
        assert!(same("A.test", "a.test:80", "http") && same("a:443", "a", "https"));
        assert!(is_same_host("a:8000", "a:8000", None));
        assert!(!same("a", "b", "http") && !same("a:443", "a", "http"));
        assert!(!is_same_host("a:80", "a", None) && !is_same_host("u@a", "u@a", None));
    }
}
