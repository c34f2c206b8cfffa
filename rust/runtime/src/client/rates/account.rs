//! Keys of accounts, and the grouping of addresses to clients.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use security::Identity;

/// Identifies the clients that are counted together.
#[derive(Debug, Hash)]
pub(crate) enum Owner<'a> {
    Identity {
        user: &'a str,
        tenant: Option<&'a str>,
    },
    Address(Network<'a>),
    /// An HTTP connection, by address and port.
    HttpConnection(Option<&'a str>),
}

impl<'a> Owner<'a> {
    pub(crate) fn identity(identity: &'a Identity) -> Self {
        Self::Identity {
            user: &identity.user_id,
            tenant: identity.tenant_id.as_deref(),
        }
    }

    pub(crate) fn address(peer: Option<&'a str>) -> Self {
        Self::Address(Network::of(peer))
    }
}

/// The part of a client's address that it cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network<'a> {
    V4([u8; 4]),
    /// The first 64 bits: a site can choose the rest.
    V6([u16; 4]),
    /// A name from a server without addresses.
    Named(&'a str),
    /// All clients without an address count as one, such as those of a Unix socket.
    Unknown,
}

impl<'a> Network<'a> {
    /// Parses an address with a port, `10.0.0.1:80`, `[::1]:80` or `::1:80`, or without.
    pub(crate) fn of(peer: Option<&'a str>) -> Self {
        let Some(peer) = peer.filter(|peer| !peer.is_empty()) else {
            return Self::Unknown;
        };
        if let Ok(socket) = peer.parse::<SocketAddr>() {
            return socket.ip().into();
        }
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let read = |text: &str| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
            bare.parse::<IpAddr>().ok()
        };
        match read(host).or_else(|| read(peer)) {
            Some(address) => address.into(),
            None => Self::Named(host),
        }
    }
}

impl From<IpAddr> for Network<'_> {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => match translated(address) {
                Some(octets) => Self::V4(octets),
                None => {
                    let [a, b, c, d, ..] = address.segments();
                    Self::V6([a, b, c, d])
                }
            },
        }
    }
}

/// Returns the IPv4 address that a translator has embedded in an IPv6 address (RFC 6052), as all of
/// these have the same prefix.
fn translated(address: Ipv6Addr) -> Option<[u8; 4]> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            let [.., a, b, c, d] = address.octets();
            Some([a, b, c, d])
        }
        _ => None,
    }
}

/// Two hashes with random keys: clients cannot construct collisions, and a long name needs no more
/// memory than a short one.
pub(crate) type Key = [u64; 2];

/// Creates keys.
#[derive(Debug, Default)]
pub(crate) struct Keys([RandomState; 2]);

impl Keys {
    pub(crate) fn of(&self, owner: &Owner<'_>) -> Key {
        let [first, second] = &self.0;
        [first.hash_one(owner), second.hash_one(owner)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(peer: &str) -> Network<'_> {
        Network::of(Some(peer))
    }

    #[test]
    fn addresses_of_one_64_are_one_client() {
        let one = place("[2001:db8:1:2::1]:80");
        for other in [
            "[2001:db8:1:2:ffff:ffff:ffff:ffff]:9",
            "2001:db8:1:2:3:4:5:6:80",
            "[2001:db8:1:2::1%eth0]:80",
            "2001:db8:1:2::9",
            "[2001:db8:1:2::9]",
        ] {
            assert_eq!(place(other), one, "{other}");
        }
        assert_ne!(place("[2001:db8:1:3::1]:80"), one);
    }

    #[test]
    fn an_address_of_ipv4_is_the_same_however_it_is_written() {
        for peer in [
            "10.0.0.1:80",
            "10.0.0.1",
            "[::ffff:10.0.0.1]:5",
            "::ffff:10.0.0.1:5",
            "[64:ff9b::10.0.0.1]:5",
        ] {
            assert_eq!(place(peer), Network::V4([10, 0, 0, 1]), "{peer}");
        }
    }

    #[test]
    fn clients_without_an_address_are_one_client() {
        assert_eq!(Network::of(None), place(""));
        assert_eq!(place("testclient:50000"), place("testclient:50001"));
        assert_ne!(place("testclient:50000"), Network::Unknown);
    }

    #[test]
    fn an_identity_an_address_and_a_connection_are_never_one() {
        let keys = Keys::default();
        let identity = Owner::Identity {
            user: "10.0.0.1:80",
            tenant: None,
        };
        let owners = [
            identity,
            Owner::Address(Network::Named("10.0.0.1:80")),
            Owner::HttpConnection(Some("10.0.0.1:80")),
            Owner::HttpConnection(None),
        ];
        let keys: std::collections::HashSet<_> = owners.iter().map(|o| keys.of(o)).collect();
        assert_eq!(keys.len(), 4);
    }
}
