//! The client of a request behind proxies, as trusted proxies tell it: `X-Forwarded-For` and
//! `X-Forwarded-Host`, or `Forwarded` (RFC 7239).
//!
//! Each proxy appends what it has seen, so a header is read from its end, as far as its entries are of
//! trusted proxies. What others have sent before is not looked at. Not here: what the address is used
//! for.

use std::net::{IpAddr, SocketAddr};

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use ipnet::IpNet;

/// Entries of a header that are looked at (count). Real paths have a few.
const MAX_HOPS: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The proxies whose headers are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whether those that connect to a unix socket are trusted.
    has_unix: bool,
}

/// A text that names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no proxy: write an address, a network such as 10.0.0.0/8, or \"unix\"")]
pub struct ProxyError(pub String);

/// What a header tells of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    client: SocketAddr,
    /// The host that the client has asked for.
    host: Option<String>,
}

/// What a proxy has told of the request that it has received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hop {
    /// Who has sent it; `None`: unknown, or hidden.
    client: Option<SocketAddr>,
    host: Option<String>,
}

impl TrustedProxies {
    /// Trusts addresses, networks and, as `unix`, what connects to a unix socket.
    ///
    /// # Errors
    ///
    /// A text is none of these.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Result<Self, ProxyError> {
        let mut proxies = Self::default();
        for text in texts {
            if text == "unix" {
                proxies.has_unix = true;
                continue;
            }
            let network = match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address.to_canonical()),
                Err(_) => text.parse().map_err(|_| ProxyError(text))?,
            };
            proxies.networks.push(network);
        }
        Ok(proxies)
    }

    /// Sets the address of the peer and the header `host` of a request to those of its client, as far as
    /// trusted proxies tell them. Doing so twice changes nothing more.
    pub(crate) fn resolve(&self, head: &mut RequestHead) {
        let is_trusted = match head.peer_addr {
            Some(peer) => self.has(peer.ip()),
            None => self.has_unix,
        };
        if !is_trusted {
            return;
        }
        let Some(told) = self.told(head) else { return };
        head.peer_addr = Some(told.client);
        // A head with several hosts is refused for it.
        let is_one = head.headers.get_all(header::HOST).count() <= 1;
        let host = told.host.filter(|_| is_one);
        if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
            head.headers.insert(header::HOST, host);
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Returns what the headers tell; `None` without one, and if two differ: a proxy writes one of them,
    /// and a client may have written the other.
    fn told(&self, head: &RequestHead) -> Option<Told> {
        let x_forwarded = self.client(x_forwarded(head));
        let forwarded = self.client(forwarded(head));
        match (x_forwarded, forwarded) {
            (Some(one), Some(other)) if one.client.ip() != other.client.ip() => None,
            (Some(one), _) => Some(one),
            (None, other) => other,
        }
    }

    /// Returns the first hop from the end that is not of a trusted proxy; without one, the farthest.
    fn client(&self, hops: impl Iterator<Item = Hop>) -> Option<Told> {
        let mut found = None;
        for Hop { client, host } in hops.take(MAX_HOPS) {
            // What is before a hop that tells no address was told by it, which is not known to be trusted.
            let client = client?;
            let is_trusted = self.has(client.ip());
            found = Some(Told { client, host });
            if !is_trusted {
                break;
            }
        }
        found
    }
}

/// Returns the hops of `X-Forwarded-For`, from the end. The host is that of `X-Forwarded-Host`, which the
/// nearest proxy has written last.
fn x_forwarded(head: &RequestHead) -> impl Iterator<Item = Hop> {
    let host = entries(head, &X_FORWARDED_HOST).next().map(str::to_owned);
    entries(head, &X_FORWARDED_FOR).map(move |entry| Hop {
        client: address(entry),
        host: host.clone(),
    })
}

/// Returns the hops of `Forwarded`, from the end.
fn forwarded(head: &RequestHead) -> impl Iterator<Item = Hop> {
    let values = head.headers.get_all(header::FORWARDED);
    let mut elements: Vec<_> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| split(text, ','))
        .collect();
    elements.reverse();
    elements.into_iter().map(|element| {
        let mut hop = Hop::default();
        for pair in split(element, ';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.client = address(&value),
                "host" => hop.host = Some(value),
                _ => {}
            }
        }
        hop
    })
}

/// Returns the entries of a header, from the end.
fn entries<'h>(
    head: &'h RequestHead,
    name: &HeaderName,
) -> impl Iterator<Item = &'h str> + use<'h> {
    let mut values: Vec<_> = head.headers.get_all(name).collect();
    values.reverse();
    let texts = values
        .into_iter()
        .map(|value| value.to_str().unwrap_or_default());
    texts.flat_map(|text| text.rsplit(',')).map(str::trim)
}

/// Splits a text at a separator, but not inside of a quoted string.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(text[begin..at].trim());
                begin = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// Returns the content of a token or a quoted string (RFC 9110, section 5.6.4).
fn unquoted(text: &str) -> String {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut content = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => content.extend(characters.next()),
            _ => content.push(character),
        }
    }
    content
}

/// Reads an address, with or without a port, which is 0 then.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = || {
        let text = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        text.parse().ok().map(|address| SocketAddr::new(address, 0))
    };
    let with_port = text.parse::<SocketAddr>().ok();
    let found = with_port.or_else(bare)?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "fd00::/8", "192.0.2.9", "unix"].map(str::to_owned))
            .unwrap()
    }

    /// Returns the peer and the host after trusted proxies were looked at.
    fn resolved(peer: Option<&str>, headers: &[(&'static str, &str)]) -> (String, String) {
        let mut head = RequestHead::default();
        head.peer_addr = peer.map(|peer| peer.parse().unwrap());
        head.headers
            .insert(header::HOST, HeaderValue::from_static("inner"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            head.headers.append(HeaderName::from_static(name), value);
        }
        let read = |head: &RequestHead| {
            let host = head.headers.get(header::HOST).unwrap().to_str().unwrap();
            let peer = head.peer_addr.map(|peer| peer.to_string());
            (peer.unwrap_or_default(), host.to_owned())
        };
        proxies().resolve(&mut head);
        let once = read(&head);
        proxies().resolve(&mut head);
        assert_eq!(read(&head), once);
        once
    }

    fn peer_of(value: &str) -> [String; 2] {
        let quoted: Vec<_> = value
            .split(',')
            .map(|v| format!("for=\"{}\"", v.trim()))
            .collect();
        [
            resolved(Some(PROXY), &[("x-forwarded-for", value)]).0,
            resolved(Some(PROXY), &[("forwarded", &quoted.join(","))]).0,
        ]
    }

    #[test]
    fn the_client_is_the_last_that_is_no_trusted_proxy() {
        for (value, expected) in [
            ("203.0.113.7", "203.0.113.7:0"),
            ("203.0.113.7:5001", "203.0.113.7:5001"),
            ("1.1.1.1, 203.0.113.7", "203.0.113.7:0"),
            ("1.1.1.1, 203.0.113.7, 10.2.3.4, 192.0.2.9", "203.0.113.7:0"),
            ("nonsense, 203.0.113.7, 10.2.3.4", "203.0.113.7:0"),
            ("2001:db8::7", "[2001:db8::7]:0"),
            ("[2001:db8::7]", "[2001:db8::7]:0"),
            ("[2001:db8::7]:81, fd00::1", "[2001:db8::7]:81"),
            ("::ffff:203.0.113.7", "203.0.113.7:0"),
            ("::ffff:203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7:0"),
            // All are trusted: the farthest.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
        ] {
            assert_eq!(peer_of(value), [expected, expected], "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        for value in [
            "",
            "nonsense",
            "203.0.113.7, unknown",
            "203.0.113.7, _hidden",
            "203.0.113.7,",
            "1.2.3",
        ] {
            assert_eq!(peer_of(value), [PROXY, PROXY], "{value}");
        }
        for value in [
            "for",
            "by=203.0.113.7",
            "for=\"203.0.113.7",
            "for=;host=a",
            "=,;=\"\\",
        ] {
            assert_eq!(
                resolved(Some(PROXY), &[("forwarded", value)]).0,
                PROXY,
                "{value}"
            );
        }
    }

    #[test]
    fn others_are_not_believed() {
        let headers = [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-host", "example.com"),
        ];
        let peer = "203.0.113.9:1";
        assert_eq!(
            resolved(Some(peer), &headers),
            (peer.into(), "inner".into())
        );
    }

    #[test]
    fn lines_of_a_header_are_one_list() {
        let headers = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.7, 10.0.0.2"),
        ];
        assert_eq!(resolved(Some(PROXY), &headers).0, "203.0.113.7:0");
        let headers = [
            ("forwarded", "for=1.1.1.1"),
            ("forwarded", "for=203.0.113.7;by=10.0.0.2"),
        ];
        assert_eq!(resolved(Some(PROXY), &headers).0, "203.0.113.7:0");
    }

    #[test]
    fn a_unix_socket_can_be_trusted() {
        assert_eq!(
            resolved(None, &[("x-forwarded-for", "203.0.113.7")]).0,
            "203.0.113.7:0"
        );
    }

    #[test]
    fn two_headers_that_differ_are_not_believed() {
        let both = |one, other| {
            resolved(
                Some(PROXY),
                &[("x-forwarded-for", one), ("forwarded", other)],
            )
            .0
        };
        assert_eq!(
            both("203.0.113.7", "for=\"203.0.113.7:81\""),
            "203.0.113.7:0"
        );
        assert_eq!(both("203.0.113.7", "for=203.0.113.8"), PROXY);
        assert_eq!(both("203.0.113.7", "for=_hidden"), "203.0.113.7:0");
    }

    #[test]
    fn the_host_is_that_of_the_client() {
        let host = |headers: &[(&'static str, &str)]| resolved(Some(PROXY), headers).1;
        let of = ("x-forwarded-for", "203.0.113.7");
        assert_eq!(host(&[of]), "inner");
        assert_eq!(
            host(&[of, ("x-forwarded-host", "example.com:81")]),
            "example.com:81"
        );
        assert_eq!(
            host(&[of, ("x-forwarded-host", "evil.test, example.com")]),
            "example.com"
        );
        let chain = "for=1.1.1.1;host=evil.test, for=203.0.113.7;host=\"example.com:81\", for=10.0.0.2;host=mid";
        assert_eq!(host(&[("forwarded", chain)]), "example.com:81");
    }

    #[test]
    fn a_long_list_is_read_as_far_as_real_ones_go() {
        let long = vec!["10.0.0.2"; 10_000].join(",");
        assert_eq!(peer_of(&format!("203.0.113.7,{long}"))[0], "10.0.0.2:0");
    }

    #[test]
    fn what_names_no_proxy_is_refused() {
        for text in [
            "",
            "*",
            "proxy.example.com",
            "10.0.0.0/33",
            "10.0.0.1:80",
            "UNIX",
        ] {
            let refused = TrustedProxies::new([text.to_owned()]).unwrap_err();
            assert_eq!(refused, ProxyError(text.to_owned()));
        }
    }
}
