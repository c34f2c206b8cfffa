//! The `Origin` and `Host` headers against the configured lists: the guards against cross-site
//! WebSocket hijacking (RFC 6455, section 10.2) and DNS rebinding.

/// Origins whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// An origin that can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "origin `{0}` is not of the form scheme://host[:port]: write it as a browser sends it, such as `https://app.example.com`"
)]
pub struct OriginError(String);

impl Origins {
    /// Takes origins as a browser sends them: `https://app.example.com`, or `*` for any.
    ///
    /// # Errors
    ///
    /// [`OriginError`] when one has a path or no scheme, as it would never match.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Result<Self, OriginError> {
        origins
            .into_iter()
            .map(|origin| {
                let well_formed = origin == "*"
                    || origin.split_once("://").is_some_and(|(scheme, host)| {
                        !scheme.is_empty() && !host.is_empty() && !host.contains('/')
                    });
                if well_formed {
                    Ok(origin.to_ascii_lowercase())
                } else {
                    Err(OriginError(origin))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether any origin may connect.
    #[must_use]
    pub fn allow_any(&self) -> bool {
        self.0.iter().any(|allowed| allowed == "*")
    }

    /// Whether a request with this `Origin` header may connect. A request without one is not
    /// made by a page in a browser, so there is no page to impersonate.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.0
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// Names under which the server may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

/// A host that can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "host `{0}` is not of the form name[:port]: write it as clients send it, such as `api.example.com` or `*.example.com`"
)]
pub struct HostError(String);

impl Hosts {
    /// Takes `api.example.com`, `api.example.com:8443`, or `*.example.com` for all names below.
    /// Without a port any is right.
    ///
    /// # Errors
    ///
    /// [`HostError`] when one has a scheme, a path, or a star elsewhere.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Result<Self, HostError> {
        hosts
            .into_iter()
            .map(|host| {
                let name = host.strip_prefix("*.").unwrap_or(&host);
                let is_refused = |c: char| c.is_whitespace() || "/*@?#".contains(c);
                if name.is_empty() || name.contains(is_refused) {
                    return Err(HostError(host));
                }
                Ok(host.to_ascii_lowercase())
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a request with this `Host` header is answered. Without one it cannot be decided.
    #[must_use]
    pub fn allow(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return false };
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        self.0
            .iter()
            .any(|allowed| match allowed.strip_prefix('*') {
                Some(ending) => {
                    let sent = if without_port(ending) == ending {
                        name
                    } else {
                        &host
                    };
                    sent.len() > ending.len() && sent.ends_with(ending)
                }
                None if without_port(allowed) == allowed => allowed == name,
                None => *allowed == host,
            })
    }
}

/// Whether a page of this origin came from the server that is asked under this `Host`.
///
/// It proves something only for a host that is known to be the server's own: a page that points
/// a name of its own at the server's address is of this name's origin, too (DNS rebinding). The
/// scheme is not in `Host`: a port that is written out stands for it, as one listener speaks one
/// scheme; without a port only `https` is believed.
#[must_use]
pub fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let is_scheme_known = without_port(host) != host || scheme.eq_ignore_ascii_case("https");
    is_scheme_known && authority.eq_ignore_ascii_case(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons inside an IPv6 address stand before its bracket.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Origins {
        Origins::new(list.iter().map(ToString::to_string)).unwrap()
    }

    #[test]
    fn a_listed_origin_may_connect_whatever_its_case() {
        assert!(origins(&["https://App.example.com"]).allow(Some("https://app.example.com")));
    }

    #[test]
    fn another_origin_and_null_may_not_connect() {
        let origins = origins(&["https://app.example.com"]);
        assert!(!origins.allow(Some("https://app.example.com.evil.test")));
        assert!(!origins.allow(Some("null")));
    }

    #[test]
    fn a_client_that_is_no_browser_may_connect() {
        assert!(origins(&[]).allow(None));
    }

    #[test]
    fn an_origin_with_a_path_is_refused_with_its_text() {
        let error = Origins::new(["https://app.example.com/".to_string()]).unwrap_err();
        assert!(error.to_string().contains("https://app.example.com/"));
    }

    #[test]
    fn a_page_is_of_the_host_it_was_served_by() {
        for (origin, host, expected) in [
            ("https://api.example.com", "API.example.com", true),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://api.example.com:8001", "api.example.com:8000", false),
            ("https://api.example.com", "api.example.com:8000", false),
            ("https://evil.test", "api.example.com", false),
            // May have come from port 80, where somebody on the way may have written it.
            ("http://api.example.com", "api.example.com", false),
            ("null", "null", false),
            ("", "", false),
        ] {
            assert_eq!(is_same_origin(origin, host), expected, "{origin} {host}");
        }
    }

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
            "internal:8443",
        ] {
            assert!(hosts.allow(Some(host)), "{host}");
        }
        for host in [
            "example.com",
            "evil.test",
            "api.example.com.evil.test",
            "internal",
            "[::2]",
        ] {
            assert!(!hosts.allow(Some(host)), "{host}");
        }
        assert!(!hosts.allow(None));
    }

    #[test]
    fn a_star_stands_for_the_names_below() {
        let hosts = hosts(&["*.example.com"]);
        assert!(hosts.allow(Some("a.b.example.com:1")));
        assert!(!hosts.allow(Some("example.com")) && !hosts.allow(Some(".example.com")));
        assert!(!hosts.allow(Some("evilexample.com")));
    }

    #[test]
    fn a_host_that_could_never_match_is_refused() {
        for host in ["", "https://a", "a/b", "a*.com", "*.", "a b"] {
            assert!(Hosts::new([host.to_owned()]).is_err(), "{host}");
        }
    }
}
