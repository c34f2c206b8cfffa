//! Agrees on permessage-deflate in the handshake of a WebSocket (RFC 7692, section 7.1).
//!
//! Both sides compress without context takeover, so no connection has a state of its own. An offer
//! that is malformed or cannot be kept is declined: the next one is tried, and without one messages
//! are not compressed.
//! Not here: compressing (`deflate`), decompressing (`inflate`).

/// The name of the extension, and its parameters.
const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// Window of a client that names none (bits).
const MAX_BITS: u8 = 15;

/// The windows with which the server compresses. There are few, so that a result is compressed a
/// few times at most, whatever its receivers have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    Small,
    Medium,
    Full,
}

impl Window {
    /// All windows, in the order of [`Self::index`].
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Full];

    /// Returns the largest window of at most `bits`; `None`: that is less than zlib can use.
    fn within(bits: u8) -> Option<Self> {
        let fitting = |window: &Self| window.bits() <= bits;
        Self::ALL.into_iter().rfind(fitting)
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Small => 9,
            Self::Medium => 12,
            Self::Full => MAX_BITS,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What was agreed with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The window of the server.
    pub(crate) window: Window,
    /// Whether the client has bounded this window.
    is_window_asked: bool,
    /// The window of the client, if the client lets the server choose (bits). Messages are
    /// decompressed with the largest one in any case.
    client_bits: Option<u8>,
}

impl Agreement {
    /// Returns the value of `Sec-WebSocket-Extensions` in the response.
    pub(crate) fn header(self) -> String {
        let mut header = format!("{NAME}; {SERVER_NO_TAKEOVER}; {CLIENT_NO_TAKEOVER}");
        if self.is_window_asked {
            header.push_str(&format!("; {SERVER_BITS}={}", self.window.bits()));
        }
        if let Some(bits) = self.client_bits {
            header.push_str(&format!("; {CLIENT_BITS}={bits}"));
        }
        header
    }
}

/// Returns the agreement for the first acceptable offer of these headers, if there is one.
pub(crate) fn negotiate<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Agreement> {
    headers
        .into_iter()
        .flat_map(|header| split(header, ','))
        .find_map(accept)
}

/// Accepts one offer: its name, and its parameters.
fn accept(offer: &str) -> Option<Agreement> {
    let mut parts = split(offer, ';');
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let (mut server_flag, mut client_flag) = (false, false);
    let (mut server_bits, mut client_bits) = (None, None);
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
            None => (part, None),
        };
        // A parameter may be there once. `replace` returns what was there before.
        let was_there = match (name, value) {
            (SERVER_NO_TAKEOVER, None) => std::mem::replace(&mut server_flag, true),
            (CLIENT_NO_TAKEOVER, None) => std::mem::replace(&mut client_flag, true),
            (SERVER_BITS, Some(value)) => server_bits.replace(bits(value)?).is_some(),
            (CLIENT_BITS, Some(value)) => client_bits.replace(bits(value)?).is_some(),
            (CLIENT_BITS, None) => client_bits.replace(MAX_BITS).is_some(),
            _ => return None,
        };
        if was_there {
            return None;
        }
    }
    Some(Agreement {
        window: Window::within(server_bits.unwrap_or(MAX_BITS))?,
        is_window_asked: server_bits.is_some(),
        client_bits,
    })
}

/// Splits at a separator outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
    .map(str::trim)
}

/// Removes the quotes of a value; `None`: one is missing.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// Parses a number of bits: 8 to 15, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    let bits = value.parse().ok().filter(|_| is_plain)?;
    (8..=MAX_BITS).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(header: &str) -> Option<String> {
        negotiate([header]).map(Agreement::header)
    }

    #[test]
    fn no_context_is_kept_whatever_is_offered() {
        for offer in [
            "permessage-deflate",
            "PerMessage-Deflate",
            " permessage-deflate ; client_no_context_takeover",
            "permessage-deflate;server_no_context_takeover;client_no_context_takeover",
        ] {
            assert_eq!(answer(offer).as_deref(), Some(BOTH), "{offer}");
        }
    }

    #[test]
    fn windows_are_those_asked_for_or_smaller() {
        for (offer, expected) in [
            ("client_max_window_bits", "; client_max_window_bits=15"),
            ("client_max_window_bits=8", "; client_max_window_bits=8"),
            ("server_max_window_bits=15", "; server_max_window_bits=15"),
            ("server_max_window_bits=14", "; server_max_window_bits=12"),
            (
                "server_max_window_bits = \"12\"",
                "; server_max_window_bits=12",
            ),
            ("server_max_window_bits=11", "; server_max_window_bits=9"),
            (
                "client_max_window_bits=10; server_max_window_bits=9",
                "; server_max_window_bits=9; client_max_window_bits=10",
            ),
        ] {
            let answered = answer(&format!("permessage-deflate; {offer}"));
            assert_eq!(answered, Some(format!("{BOTH}{expected}")), "{offer}");
        }
    }

    #[test]
    fn unknown_and_malformed_offers_are_declined() {
        for offer in [
            "",
            ",;,=",
            "x-webkit-deflate-frame",
            "permessage-bzip2; server_max_window_bits=10",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate;",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+10",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=256",
            "permessage-deflate; client_max_window_bits=x",
            // zlib has no window of 8 bits.
            "permessage-deflate; server_max_window_bits=8",
        ] {
            assert_eq!(answer(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_first_acceptable_offer_counts() {
        let offers = "other; a=\"permessage-deflate, x\", permessage-deflate; b, \
            permessage-deflate; server_max_window_bits=8, \
            permessage-deflate; server_max_window_bits=10, permessage-deflate";
        let expected = format!("{BOTH}; server_max_window_bits=9");
        assert_eq!(answer(offers), Some(expected));
        let in_two = negotiate(["other", "permessage-deflate"]);
        assert_eq!(in_two.map(Agreement::header).as_deref(), Some(BOTH));
    }
}
