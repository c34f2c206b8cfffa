//! Parses server names in headers strictly: `name[:port]`.
//!
//! Source: RFC 9110, section 4.2.3; RFC 3986, section 3.2. Names that parsers might read
//! differently are refused: credentials before an `@`, empty labels, escapes, characters outside
//! ASCII.

use std::net::Ipv6Addr;

/// A name and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// The name in lower case; an IPv6 address in brackets, in its canonical short form.
    pub(crate) name: String,
    /// The port, if the text has one.
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Parses a text; `None`: it is not a name with or without a port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(literal) => {
                let (address, rest) = literal.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (format!("[{address}]"), rest)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, rest) = text.split_at(end);
                let is_name = name.split('.').all(is_label);
                (is_name.then(|| name.to_ascii_lowercase())?, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            // RFC 3986, section 3.2.3: an empty port counts as absent.
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Self { name, port })
    }
}

/// Whether a text is a label. Underscores are allowed, as names of containers have them.
fn is_label(label: &str) -> bool {
    let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty() && label.bytes().all(is_of_name)
}

/// A pattern: a name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorityPattern {
    authority: Authority,
    is_below: bool,
}

impl AuthorityPattern {
    /// Parses `name[:port]`, or `*.name[:port]` for all names below; `None`: it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let below = text.strip_prefix("*.");
        let authority = Authority::parse(below.unwrap_or(text))?;
        let last = authority.name.rsplit('.').next().unwrap_or_default();
        // There are no names below an address.
        let is_address =
            authority.name.starts_with('[') || last.bytes().all(|b| b.is_ascii_digit());
        (below.is_none() || !is_address).then_some(Self {
            authority,
            is_below: below.is_some(),
        })
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.authority.port
    }

    pub(crate) fn port_mut(&mut self) -> &mut Option<u16> {
        &mut self.authority.port
    }

    /// Whether it matches a name, with any port.
    pub(crate) fn names(&self, name: &str) -> bool {
        let own = self.authority.name.as_str();
        if !self.is_below {
            return own == name;
        }
        let above = name.strip_suffix(own);
        above.is_some_and(|above| above.len() > 1 && above.ends_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_reading() {
        for (text, name, port) in [
            ("API.Example.com", "api.example.com", None),
            ("a_b", "a_b", None),
            ("a:8000", "a", Some(8000)),
            ("a:", "a", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[0:0:0:0:0:0:0:1]", "[::1]", None),
            ("[FE80::A]", "[fe80::a]", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ] {
            let expected = Authority {
                name: name.to_owned(),
                port,
            };
            assert_eq!(Authority::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_have_two_readings_has_none() {
        for text in [
            "",
            ":80",
            ".",
            "a.",
            ".a",
            "a..b",
            "user@a",
            "user:secret@a",
            "a:80:80",
            "a:+80",
            "a: 80",
            "a:x",
            "a:65536",
            "a,b",
            "a b",
            " a",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "b\u{fc}cher.example",
            "a\0",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "[127.0.0.1]",
            "http://a",
            "*",
            "*.a",
        ] {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_whole_labels_before_a_name() {
        let below = AuthorityPattern::parse("*.Example.com").unwrap();
        assert!(below.names("a.example.com") && below.names("a.b.example.com"));
        for other in [
            "example.com",
            ".example.com",
            "evilexample.com",
            "a.example.com.b",
        ] {
            assert!(!below.names(other), "{other}");
        }
        for text in [
            "*",
            "*.",
            "*a.b",
            "a.*",
            "a.*.b",
            "*.*.a",
            "*.127.0.0.1",
            "*.[::1]",
            "**.a",
        ] {
            assert_eq!(AuthorityPattern::parse(text), None, "{text}");
        }
    }
}
