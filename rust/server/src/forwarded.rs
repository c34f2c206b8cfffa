//! The client of a request behind proxies, as trusted proxies tell it: `X-Forwarded-For` and
//! `X-Forwarded-Host`, or `Forwarded` (RFC 7239).
//!
//! Each proxy appends what it has seen, so a header is read from its end, as far as its entries are of
//! trusted proxies. What others have sent before is not looked at. Not here: what the address is used
//! for.

use std::net::{IpAddr, SocketAddr};

use actix_http::RequestHead;
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::uri::Authority;
use ipnet::IpNet;

use crate::head::fault_of;

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
        if !self.trust(head.peer_addr) {
            return;
        }
        let Some(told) = self.told(head) else { return };
        head.peer_addr = Some(told.client);
        // A head that is refused keeps what it is refused for.
        let has_fault = fault_of(head).is_some() || head.headers.get_all(header::HOST).count() > 1;
        let Some(host) = told.host.filter(|_| !has_fault) else {
            return;
        };
        let path = head.uri.path_and_query().cloned();
        if let (Ok(host), Some(path)) = (HeaderValue::try_from(host), path) {
            head.headers.insert(header::HOST, host);
            // The target may name the host that the proxy has asked for.
            head.uri = Uri::from(path);
        }
    }

    /// Whether a peer is one of them. `None`: it has connected to a unix socket.
    pub(crate) fn trust(&self, peer: Option<SocketAddr>) -> bool {
        match peer {
            Some(peer) => self.has(peer.ip()),
            None => self.has_unix,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Returns what the headers tell; `None` without one, and if two differ or one of two cannot be read: a
    /// proxy writes one of them, and a client may have written the other.
    fn told(&self, head: &RequestHead) -> Option<Told> {
        let x_forwarded = head.headers.contains_key(&X_FORWARDED_FOR);
        let x_forwarded = x_forwarded.then(|| self.client(x_forwarded_hops(head)));
        let forwarded = head.headers.contains_key(header::FORWARDED);
        let forwarded = forwarded.then(|| self.client(forwarded_hops(head)?.into_iter()));
        match (x_forwarded, forwarded) {
            (Some(one), Some(other)) => {
                let (one, other) = (one?, other?);
                let is_same_host =
                    one.host.is_none() || other.host.is_none() || one.host == other.host;
                let is_same = one.client.ip() == other.client.ip() && is_same_host;
                is_same.then(|| Told {
                    host: one.host.or(other.host),
                    ..one
                })
            }
            (one, other) => one.or(other)?,
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
fn x_forwarded_hops(head: &RequestHead) -> impl Iterator<Item = Hop> {
    let host = entries(head, &X_FORWARDED_HOST).next().and_then(host);
    entries(head, &X_FORWARDED_FOR).map(move |entry| Hop {
        client: address(entry),
        host: host.clone(),
    })
}

/// Returns the hops of `Forwarded`, from the end. `None`: a line breaks the grammar, so it cannot be known
/// which part of it the last proxy has written.
fn forwarded_hops(head: &RequestHead) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    for line in head.headers.get_all(header::FORWARDED) {
        hops.extend(elements(line.to_str().ok()?)?);
    }
    hops.reverse();
    Some(hops)
}

/// Reads the elements of a line of `Forwarded` (RFC 7239, section 4). Values that are no tokens, such as an
/// address with a port, may lack quotes.
fn elements(line: &str) -> Option<Vec<Hop>> {
    let (mut hops, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let (mut client, mut told_host, mut has_pair) = (None, None, false);
        loop {
            rest = rest.trim_start();
            if !rest.is_empty() && !rest.starts_with([',', ';']) {
                let (name, after) = rest.split_once('=')?;
                let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
                let (value, after) = value(after).filter(|_| is_token)?;
                rest = after.trim_start();
                has_pair = true;
                let place = match name.to_ascii_lowercase().as_str() {
                    "for" => Some(&mut client),
                    "host" => Some(&mut told_host),
                    _ => None,
                };
                if let Some(place) = place
                    && place.replace(value).is_some()
                {
                    return None;
                }
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        if has_pair {
            hops.push(Hop {
                client: client.and_then(|client| address(client.as_bytes())),
                host: told_host.and_then(|told| host(told.as_bytes())),
            });
        }
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?;
        }
    }
    Some(hops)
}

/// Reads a value, and returns what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', '"', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut content = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((content, &quoted[at + 1..])),
            '\\' => content.push(characters.next()?.1),
            _ => content.push(character),
        }
    }
    None
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the entries of a header, from the end.
fn entries<'h>(
    head: &'h RequestHead,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    let mut values: Vec<_> = head.headers.get_all(name).collect();
    values.reverse();
    let lists = values.into_iter().map(HeaderValue::as_bytes);
    lists
        .flat_map(|list| list.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Reads an address, with or without a port, which is 0 then.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = || {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let address = inner.unwrap_or(text).parse().ok()?;
        Some(SocketAddr::new(address, 0))
    };
    let with_port = text.parse::<SocketAddr>().ok();
    let found = with_port.or_else(bare)?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

/// Reads the name of a host, with or without a port.
fn host(text: &[u8]) -> Option<String> {
    let host = Authority::try_from(text).ok()?;
    let has_user = host.as_str().contains('@');
    (!has_user && !host.host().is_empty()).then(|| host.as_str().to_owned())
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
        for unreadable in [
            "for=_hidden",
            "for=203.0.113.7;x=\"",
            "for=203.0.113.7;for=203.0.113.7",
            "x",
        ] {
            assert_eq!(both("203.0.113.7", unreadable), PROXY, "{unreadable}");
        }
        assert_eq!(both("unknown", "for=203.0.113.7"), PROXY);
    }

    #[test]
    fn a_client_cannot_hide_what_the_proxy_appends_to_its_header() {
        let of = |name, value: &[u8]| {
            let mut head = RequestHead::default();
            head.peer_addr = Some(PROXY.parse().unwrap());
            head.headers
                .insert(name, HeaderValue::from_bytes(value).unwrap());
            proxies().resolve(&mut head);
            head.peer_addr.unwrap().to_string()
        };
        let x_forwarded = |value| of(X_FORWARDED_FOR, value);
        assert_eq!(x_forwarded(b"\xff, 203.0.113.7"), "203.0.113.7:0");
        assert_eq!(x_forwarded(b"6.6.6.6\", 203.0.113.7"), "203.0.113.7:0");
        for value in [
            &b"for=6.6.6.6;x=\", for=203.0.113.7"[..],
            b"for=6.6.6.6;x=\", for=\"203.0.113.7:80\"",
            b"for=6.6.6.6;x=\"\\\", for=\"203.0.113.7:80\"",
            b"\xff, for=203.0.113.7",
        ] {
            assert_eq!(of(header::FORWARDED, value), PROXY, "{value:?}");
        }
        assert_eq!(
            of(header::FORWARDED, b"for=6.6.6.6;x=\"a,b\", for=203.0.113.7"),
            "203.0.113.7:0"
        );
    }

    #[test]
    fn the_target_does_not_contradict_the_host_that_is_told() {
        let mut head = RequestHead::default();
        head.peer_addr = Some(PROXY.parse().unwrap());
        head.uri = "https://inner/graphql?a=b".parse().unwrap();
        for (name, value) in [
            (X_FORWARDED_FOR, "203.0.113.7"),
            (X_FORWARDED_HOST, "example.com"),
        ] {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        proxies().resolve(&mut head);
        assert_eq!(fault_of(&head), None);
        assert_eq!(head.uri, "/graphql?a=b");
        assert_eq!(head.headers.get(header::HOST).unwrap(), "example.com");
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
        for unusable in ["", " ", "a b", "user@example.com", "example.com, "] {
            assert_eq!(
                host(&[of, ("x-forwarded-host", unusable)]),
                "inner",
                "{unusable:?}"
            );
        }
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
