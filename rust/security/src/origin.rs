//! Checks the `Origin` header against the configured list: protection against cross-site WebSocket
//! hijacking (RFC 6455, section 10.2), and permission to read responses.

use crate::authority::{Authority, AuthorityPattern};

/// Origins whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    patterns: Vec<OriginPattern>,
    any: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OriginPattern {
    scheme: String,
    authority: AuthorityPattern,
}

/// An origin that can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "origin `{0}` is not of the form scheme://host[:port]: write it as a browser sends it, without a path and in ASCII, such as `https://app.example.com`, `https://*.example.com` for all hosts below, or `*` for any"
)]
pub struct OriginError(String);

/// The origin of a page.
struct Origin {
    scheme: String,
    /// Without the default port of the scheme.
    authority: Authority,
}

impl Origin {
    /// Parses an origin; `None`: it is not one, such as `null`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme_of(scheme)?;
        let mut authority = Authority::parse(authority)?;
        leave_out_default(&scheme, &mut authority.port);
        Some(Self { scheme, authority })
    }
}

/// Parses a scheme: RFC 3986, section 3.1.
fn scheme_of(text: &str) -> Option<String> {
    let is_of_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let is_scheme = text.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && text.bytes().all(is_of_scheme)).then(|| text.to_ascii_lowercase())
}

/// Removes the default port of the scheme, which browsers leave out.
fn leave_out_default(scheme: &str, port: &mut Option<u16>) {
    if matches!((scheme, *port), ("http", Some(80)) | ("https", Some(443))) {
        *port = None;
    }
}

impl Origins {
    /// Parses origins in the form that browsers send: `https://app.example.com`,
    /// `https://*.example.com` for all hosts below, or `*` for any.
    ///
    /// # Errors
    ///
    /// [`OriginError`] if one has a path or no scheme, or can never be sent.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Result<Self, OriginError> {
        let (mut patterns, mut any) = (Vec::new(), false);
        for origin in origins {
            if origin == "*" {
                any = true;
                continue;
            }
            let parts = origin.split_once("://").and_then(|(scheme, authority)| {
                Some((scheme_of(scheme)?, AuthorityPattern::parse(authority)?))
            });
            let Some((scheme, mut authority)) = parts else {
                return Err(OriginError(origin));
            };
            leave_out_default(&scheme, authority.port_mut());
            patterns.push(OriginPattern { scheme, authority });
        }
        Ok(Self { patterns, any })
    }

    /// Whether any origin may connect.
    #[must_use]
    pub fn allow_any(&self) -> bool {
        self.any
    }

    /// Whether a page of this origin may connect.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        let Some(Origin { scheme, authority }) = Origin::parse(origin) else {
            return false;
        };
        self.patterns.iter().any(|allowed| {
            allowed.scheme == scheme
                && allowed.authority.port() == authority.port
                && allowed.authority.names(&authority.name)
        })
    }
}

/// Whether a page of this origin was served by the server with this `Host`.
///
/// This is a proof only if the host is known to be the server's own: a page may point its own
/// domain name at the server's address, and then has this name as its origin (DNS rebinding).
/// `Host` does not contain the scheme. An explicit port implies it, because one listener has one
/// scheme; without a port only `https` is trusted.
#[must_use]
pub fn is_same_origin(origin: &str, host: &str) -> bool {
    let (Some(origin), Some(mut host)) = (Origin::parse(origin), Authority::parse(host)) else {
        return false;
    };
    match (origin.scheme.as_str(), host.port) {
        ("https", _) => leave_out_default("https", &mut host.port),
        ("http", Some(_)) => {}
        _ => return false,
    }
    origin.authority == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Origins {
        Origins::new(list.iter().map(ToString::to_string)).unwrap()
    }

    #[test]
    fn a_listed_origin_may_connect_whatever_its_case() {
        let listed = origins(&["https://App.example.com", "http://a:443", "app://x"]);
        for origin in [
            "https://app.example.com",
            "HTTPS://app.example.com:443",
            "http://a:443",
            "app://x",
        ] {
            assert!(listed.allow(origin), "{origin}");
        }
        assert!(origins(&["https://a:443"]).allow("https://a"));
    }

    #[test]
    fn another_origin_and_what_is_none_may_not_connect() {
        let origins = origins(&["https://app.example.com", "https://*.example.org:8443"]);
        for origin in [
            "https://app.example.com.evil.test",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com/",
            "https://app.example.com.",
            "https://user@app.example.com",
            "https://app.example.com https://evil.test",
            "https://app.example.com, https://app.example.com",
            "https://\u{430}pp.example.com",
            "https://example.org:8443",
            "https://a.example.org",
            "https://evil.test/.example.org:8443",
            "https://*.example.org:8443",
            "//app.example.com",
            "://app.example.com",
            "app.example.com",
            "null",
            "",
            "*",
        ] {
            assert!(!origins.allow(origin), "{origin}");
        }
        assert!(origins.allow("https://a.b.example.org:8443"));
    }

    #[test]
    fn an_origin_that_could_never_match_is_refused_with_its_text() {
        for origin in [
            "https://app.example.com/",
            "app.example.com",
            "https://",
            "https://*",
            "https://a*.example.com",
            "https://b\u{fc}cher.example",
            "https://user@a",
            "*://a",
            "null",
            "",
        ] {
            let error = Origins::new([origin.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(origin), "{origin}");
        }
    }

    #[test]
    fn a_page_is_of_the_host_it_was_served_by() {
        for (origin, host, expected) in [
            ("https://api.example.com", "API.example.com", true),
            ("https://api.example.com", "api.example.com:443", true),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://api.example.com:8001", "api.example.com:8000", false),
            ("https://api.example.com", "api.example.com:8000", false),
            ("https://evil.test", "api.example.com", false),
            // The page may come from port 80, where an attacker in the network may have changed it.
            ("http://api.example.com", "api.example.com", false),
            ("http://api.example.com", "api.example.com:80", false),
            ("ftp://a:21", "a:21", false),
            ("https://u@a", "u@a", false),
            ("null", "null", false),
            ("", "", false),
        ] {
            assert_eq!(is_same_origin(origin, host), expected, "{origin} {host}");
        }
    }
}
