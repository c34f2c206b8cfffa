//! The header of the PROXY protocol, versions 1 and 2: what a proxy sends of its client before the
//! client's first byte. Without I/O.
//!
//! The format is that of `proxy-protocol.txt` of `HAProxy`. Not here: who may send it, and how long it may
//! take (`preface`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How a line of version 1 begins.
const LINE: &[u8] = b"PROXY ";

/// Longest line of version 1, with its end (bytes).
const MAX_LINE: usize = 107;

/// How a header of version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What each header of version 2 has: the signature, version and command, the family, the length (bytes).
const FIXED: usize = SIGNATURE.len() + 4;

/// Why a header is refused. The texts follow a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It begins as neither version does.
    #[error("it has no PROXY header: have the proxy send one")]
    Missing,
    /// The line does not end.
    #[error("its PROXY header of version 1 has more than {MAX_LINE} bytes")]
    LongLine,
    /// The line has other parts than it should.
    #[error("its PROXY header of version 1 cannot be read")]
    Line,
    /// Version, command or family are none, or the addresses are cut.
    #[error("its PROXY header of version 2 cannot be read")]
    Binary,
}

/// A header that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Who has connected to the proxy. `None`: the proxy itself, or who has no address there.
    pub(crate) client: Option<SocketAddr>,
    /// Bytes of the last piece that are behind the header (count).
    pub(crate) rest: usize,
}

/// Reads a header that arrives in pieces. Keeps at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(crate) struct HeaderReader {
    /// A line, or the begin of a header of version 2 with the addresses that are read.
    kept: Vec<u8>,
    /// Bytes behind the kept ones that were passed over (count).
    skipped: usize,
}

/// What follows from the bytes that are kept.
enum Stage {
    /// More are needed (count, at least 1).
    Keep(usize),
    /// They tell who the client is; `tail` more bytes belong to the header.
    Told {
        client: Option<SocketAddr>,
        tail: usize,
    },
}

impl HeaderReader {
    /// Reads the next piece; `None`: the header goes on. Reads no more after a header or an error.
    ///
    /// # Errors
    ///
    /// [`HeaderFault`].
    pub(crate) fn read(&mut self, mut piece: &[u8]) -> Result<Option<Header>, HeaderFault> {
        loop {
            match self.stage()? {
                Stage::Keep(_) if piece.is_empty() => return Ok(None),
                Stage::Keep(count) => {
                    let (kept, rest) = piece.split_at(count.min(piece.len()));
                    self.kept.extend_from_slice(kept);
                    piece = rest;
                }
                Stage::Told { client, tail } => {
                    let skipped = (tail - self.skipped).min(piece.len());
                    self.skipped += skipped;
                    let rest = piece.len() - skipped;
                    return Ok((self.skipped == tail).then_some(Header { client, rest }));
                }
            }
        }
    }

    fn stage(&self) -> Result<Stage, HeaderFault> {
        let kept = &*self.kept;
        if kept.starts_with(LINE) {
            line(kept)
        } else if let Some(after) = kept.strip_prefix(SIGNATURE) {
            binary(after)
        } else if LINE.starts_with(kept) || SIGNATURE.starts_with(kept) {
            Ok(Stage::Keep(1))
        } else {
            Err(HeaderFault::Missing)
        }
    }
}

/// Reads a line of version 1.
fn line(kept: &[u8]) -> Result<Stage, HeaderFault> {
    let Some(line) = kept.strip_suffix(b"\r\n") else {
        let is_long = kept.len() >= MAX_LINE;
        return (!is_long)
            .then_some(Stage::Keep(1))
            .ok_or(HeaderFault::LongLine);
    };
    let is_text = line.iter().all(|byte| (b' '..=b'~').contains(byte));
    let line = std::str::from_utf8(line).ok().filter(|_| is_text);
    let mut parts = line.ok_or(HeaderFault::Line)?.split(' ').skip(1);
    let client = match parts.next() {
        // What follows is ignored.
        Some("UNKNOWN") => None,
        family => Some(source(family, parts).ok_or(HeaderFault::Line)?),
    };
    Ok(Stage::Told { client, tail: 0 })
}

/// Returns the first of the two addresses in a line; `None`: they cannot be read.
fn source<'l>(
    family: Option<&str>,
    mut parts: impl Iterator<Item = &'l str>,
) -> Option<SocketAddr> {
    let mut host = || -> Option<IpAddr> {
        let text = parts.next()?;
        match family? {
            "TCP4" => text.parse().map(IpAddr::V4).ok(),
            "TCP6" => text.parse().map(IpAddr::V6).ok(),
            _ => None,
        }
    };
    let (source, _) = (host()?, host()?);
    let (source_port, _) = (port(parts.next()?)?, port(parts.next()?)?);
    let is_whole = parts.next().is_none();
    is_whole.then(|| canonical(source, source_port))
}

/// Reads a port, as digits without leading zeros.
fn port(text: &str) -> Option<u16> {
    let port = text.parse::<u16>().ok()?;
    (port.to_string() == text).then_some(port)
}

/// Reads what follows the signature of version 2.
fn binary(kept: &[u8]) -> Result<Stage, HeaderFault> {
    let Some((&[command, family, high, low], addresses)) = kept.split_first_chunk() else {
        return Ok(Stage::Keep(FIXED - SIGNATURE.len() - kept.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderFault::Binary),
    };
    // Family of the addresses and, in the lower half, the transport: none, a stream, datagrams.
    let (bytes, is_ip) = match (family >> 4, family & 0xf) {
        // The proxy speaks for itself: it tells no client, whatever is there.
        _ if is_local => (0, false),
        (0, 0..=2) => (0, false),
        (1, 0..=2) => (12, true),
        (2, 0..=2) => (36, true),
        // Paths of unix sockets.
        (3, 0..=2) => (216, false),
        _ => return Err(HeaderFault::Binary),
    };
    if length < bytes {
        return Err(HeaderFault::Binary);
    }
    if !is_ip {
        return Ok(Stage::Told {
            client: None,
            tail: length,
        });
    }
    if addresses.len() < bytes {
        return Ok(Stage::Keep(bytes - addresses.len()));
    }
    // Both addresses, then both ports; TLVs follow.
    Ok(Stage::Told {
        client: client_in(addresses),
        tail: length - bytes,
    })
}

/// Returns the source in addresses of version 2.
fn client_in(addresses: &[u8]) -> Option<SocketAddr> {
    let (hosts, ports) = addresses.split_last_chunk::<4>().map(|(h, p)| (h, *p))?;
    let source = &hosts[..hosts.len() / 2];
    let source = match <[u8; 4]>::try_from(source) {
        Ok(source) => Ipv4Addr::from(source).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(source).ok()?).into(),
    };
    Some(canonical(source, u16::from_be_bytes([ports[0], ports[1]])))
}

fn canonical(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::read_proxy_header;

    const BEHIND: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    /// Returns what a header tells, the same however it is cut.
    fn told(header: &[u8]) -> Result<Option<String>, HeaderFault> {
        let bytes = [header, BEHIND].concat();
        let whole = HeaderReader::default().read(&bytes);
        for size in 1..=header.len() {
            let mut reader = HeaderReader::default();
            let mut read = 0;
            let cut = bytes.chunks(size).find_map(|piece| {
                read += piece.len();
                reader.read(piece).transpose()
            });
            assert!(reader.kept.len() <= MAX_LINE);
            match cut.unwrap() {
                Ok(header) => {
                    assert_eq!(header.client, whole.unwrap().unwrap().client);
                    assert_eq!(read - header.rest, bytes.len() - BEHIND.len());
                }
                Err(fault) => assert_eq!(whole, Err(fault)),
            }
        }
        let header = whole?.unwrap();
        assert_eq!(header.rest, BEHIND.len());
        Ok(header.client.map(|client| client.to_string()))
    }

    fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80];

    #[test]
    fn lines_tell_the_client() {
        for (line, client) in [
            (
                "TCP4 203.0.113.7 10.0.0.1 5000 80",
                Some("203.0.113.7:5000"),
            ),
            (
                "TCP4 255.255.255.255 255.255.255.255 65535 65535",
                Some("255.255.255.255:65535"),
            ),
            ("TCP4 203.0.113.7 10.0.0.1 0 0", Some("203.0.113.7:0")),
            (
                "TCP6 2001:db8::7 fd00::1 5000 80",
                Some("[2001:db8::7]:5000"),
            ),
            (
                "TCP6 ::ffff:203.0.113.7 ::1 5000 80",
                Some("203.0.113.7:5000"),
            ),
            ("UNKNOWN", None),
            ("UNKNOWN 203.0.113.7 10.0.0.1 5000 80", None),
            ("UNKNOWN what ever", None),
        ] {
            let header = format!("PROXY {line}\r\n");
            let client = client.map(str::to_owned);
            assert_eq!(told(header.as_bytes()), Ok(client), "{line}");
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "",
            "TCP4",
            "tcp4 203.0.113.7 10.0.0.1 5000 80",
            "TCP5 203.0.113.7 10.0.0.1 5000 80",
            "UNKNOWNS",
            "TCP4 203.0.113.7 10.0.0.1 5000",
            "TCP4 203.0.113.7 10.0.0.1 5000 80 ",
            "TCP4 203.0.113.7 10.0.0.1 5000 80 1",
            "TCP4  203.0.113.7 10.0.0.1 5000 80",
            "TCP4 203.0.113.7\t10.0.0.1 5000 80",
            "TCP4 203.0.113.07 10.0.0.1 5000 80",
            "TCP4 203.0.113.256 10.0.0.1 5000 80",
            "TCP4 2001:db8::7 fd00::1 5000 80",
            "TCP6 203.0.113.7 10.0.0.1 5000 80",
            "TCP6 [2001:db8::7] fd00::1 5000 80",
            "TCP4 203.0.113.7 10.0.0.1 65536 80",
            "TCP4 203.0.113.7 10.0.0.1 +5000 80",
            "TCP4 203.0.113.7 10.0.0.1 05000 80",
            "TCP4 203.0.113.7 10.0.0.1 5000 80\r",
            "UNKNOWN\nGET / HTTP/1.1",
            "UNKNOWN \u{e9}",
            "UNKNOWN \0",
        ] {
            let header = format!("PROXY {line}\r\n");
            assert_eq!(told(header.as_bytes()), Err(HeaderFault::Line), "{line:?}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let line = |bytes: usize| {
            let filler = "x".repeat(bytes - b"PROXY UNKNOWN \r\n".len());
            format!("PROXY UNKNOWN {filler}\r\n")
        };
        assert_eq!(told(line(107).as_bytes()), Ok(None));
        assert_eq!(told(line(108).as_bytes()), Err(HeaderFault::LongLine));
        let endless = HeaderReader::default().read(&[LINE, &[b'x'; 10_000]].concat());
        assert_eq!(endless, Err(HeaderFault::LongLine));
    }

    #[test]
    fn what_begins_otherwise_is_no_header() {
        for begin in [
            BEHIND,
            b"PROXY\r\n",
            b"PROXX ",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\x16\x03\x01",
            b"\n",
        ] {
            assert_eq!(
                HeaderReader::default().read(begin),
                Err(HeaderFault::Missing)
            );
        }
        assert_eq!(HeaderReader::default().read(b""), Ok(None));
        assert_eq!(HeaderReader::default().read(b"PRO"), Ok(None));
    }

    #[test]
    fn version_2_tells_the_client() {
        let v6 = |source: &str| {
            let source: Ipv6Addr = source.parse().unwrap();
            let ports = [0x13, 0x88, 0, 80];
            [&source.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &ports].concat()
        };
        let tlvs = [&V4[..], &[0x04, 0, 3, 1, 2, 3], &[0xff]].concat();
        for (family, block, client) in [
            (0x11, V4.to_vec(), Some("203.0.113.7:5000")),
            (0x10, V4.to_vec(), Some("203.0.113.7:5000")),
            (0x11, tlvs, Some("203.0.113.7:5000")),
            (0x21, v6("2001:db8::7"), Some("[2001:db8::7]:5000")),
            (0x21, v6("::ffff:203.0.113.7"), Some("203.0.113.7:5000")),
            (0x31, vec![b'/'; 216], None),
            (0x31, vec![b'/'; 300], None),
            (0x00, vec![], None),
            (0x00, vec![1; 40], None),
        ] {
            let header = version_2(0x21, family, &block);
            assert_eq!(told(&header), Ok(client.map(str::to_owned)), "{family:x}");
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        for (family, block) in [(0x00, vec![]), (0x11, V4.to_vec()), (0xff, vec![0; 7])] {
            assert_eq!(told(&version_2(0x20, family, &block)), Ok(None));
        }
    }

    #[test]
    fn the_longest_header_is_passed_over_and_not_kept() {
        let block = [&V4[..], &vec![0; 65_535 - V4.len()]].concat();
        let header = [&version_2(0x21, 0x11, &block)[..], BEHIND].concat();
        let mut reader = HeaderReader::default();
        let mut read = header
            .chunks(1_000)
            .filter_map(|piece| reader.read(piece).unwrap());
        let read = read.next().unwrap();
        assert_eq!(read.client.unwrap().to_string(), "203.0.113.7:5000");
        assert!(reader.kept.capacity() <= 2 * MAX_LINE);
    }

    #[test]
    fn malformed_headers_of_version_2_are_refused() {
        for (command, family, block) in [
            (0x11, 0x11, V4.to_vec()),
            (0x31, 0x11, V4.to_vec()),
            (0x22, 0x11, V4.to_vec()),
            (0x21, 0x13, V4.to_vec()),
            (0x21, 0x41, V4.to_vec()),
            (0x21, 0x11, V4[..11].to_vec()),
            (0x21, 0x21, vec![0; 35]),
            (0x21, 0x31, vec![b'/'; 215]),
        ] {
            let header = version_2(command, family, &block);
            assert_eq!(
                told(&header),
                Err(HeaderFault::Binary),
                "{command:x} {family:x}"
            );
        }
    }

    /// Bytes that begin as a header, and go on as one or not.
    fn any_header() -> impl Strategy<Value = Vec<u8>> {
        let line =
            "PROXY (UNKNOWN|TCP4 1.2.3.[0-9]{1,3}|TCP6 [0-9a-f:]{1,6}| )[ -~]{0,95}(\r|\n|\r\n)?";
        let block = proptest::collection::vec(any::<u8>(), 0..300);
        let binary = (0x1f_u8..0x23, any::<u8>(), block)
            .prop_map(|(command, family, block)| version_2(command, family, &block));
        let bytes = proptest::collection::vec(any::<u8>(), 0..30);
        let begin = prop_oneof![line.prop_map(String::into_bytes), binary, bytes.clone()];
        (begin, bytes).prop_map(|(begin, more)| [begin, more].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_read_does_not_depend_on_the_pieces(bytes in any_header(), size in 1_usize..40) {
            let read = read_proxy_header([&*bytes]);
            prop_assert_eq!(read_proxy_header(bytes.chunks(size)), read);
            if let Ok(Some((_, length))) = read {
                prop_assert_eq!(read_proxy_header([&bytes[..length]]), read);
                prop_assert_eq!(read_proxy_header([&bytes[..length - 1]]), Ok(None));
            }
        }
    }
}
