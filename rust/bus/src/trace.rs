//! The trace context of an event: the trace that it is part of, and the span that published it.
//!
//! As the W3C recommendation Trace Context writes it in `traceparent` and `tracestate`. What is
//! malformed is ignored, as tracing must not cost an event. Not here: spans.

use std::fmt::Write;

/// The longest `tracestate` that an event carries (bytes). Of a longer one, whole members at its
/// end are left out.
pub const MAX_TRACE_STATE_BYTES: usize = 254;

/// The flag that the trace is sampled.
const SAMPLED: u8 = 1;

/// The length of a `traceparent` of version 00 (bytes).
const PARENT_BYTES: usize = 55;

/// A trace, and a span of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not all zeros.
    pub trace_id: [u8; 16],
    /// The span; not all zeros.
    pub span_id: [u8; 8],
    /// The trace flags.
    pub flags: u8,
    /// The `tracestate`.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// Returns the context of a span; `None`: an id is all zeros, so it names no span.
    #[must_use]
    pub fn new(
        trace_id: [u8; 16],
        span_id: [u8; 8],
        flags: u8,
        state: Option<&str>,
    ) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then(|| Self {
            trace_id,
            span_id,
            flags,
            state: state.and_then(shortened).map(Into::into),
        })
    }

    /// Reads `traceparent` and `tracestate`; `None`: the former is malformed.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let parent = traceparent.as_bytes();
        let (known, rest) = parent.split_at_checked(PARENT_BYTES)?;
        let (version, dash) = ([known[0], known[1]], b'-');
        let has_dashes = [2, 35, 52].iter().all(|at| known[*at] == dash);
        // Later versions may have more fields.
        let is_whole = rest.is_empty() || (version != *b"00" && rest[0] == dash);
        if !has_dashes || !is_whole || version == *b"ff" {
            return None;
        }
        hex::<1>(&known[..2])?;
        let [flags] = hex(&known[53..])?;
        Self::new(hex(&known[3..35])?, hex(&known[36..52])?, flags, tracestate)
    }

    /// Writes `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut written = String::with_capacity(PARENT_BYTES);
        written.push_str("00-");
        push_hex(&mut written, &self.trace_id);
        written.push('-');
        push_hex(&mut written, &self.span_id);
        written.push('-');
        push_hex(&mut written, &[self.flags]);
        written
    }

    /// Whether the trace is sampled.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns its memory (bytes, approximately).
    pub(crate) fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.state.as_deref().map_or(0, str::len)
    }
}

/// Members that a list may have (count; section 3.3.1.1).
const MAX_MEMBERS: usize = 32;

/// Returns the members of a `tracestate` that fit; `None`: there are none, or it is malformed.
fn shortened(state: &str) -> Option<&str> {
    let state = state.trim_matches([' ', '\t', ',']);
    if !state
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
    {
        return None;
    }
    let fitting = match state.get(..=MAX_TRACE_STATE_BYTES) {
        Some(beginning) => &beginning[..beginning.rfind(',')?],
        None => state,
    };
    let fitting = fitting.trim_end_matches([' ', '\t', ',']);
    (!fitting.is_empty() && is_list(fitting)).then_some(fitting)
}

/// Whether all members of a list have a form that every reader takes (W3C Trace Context, section
/// 3.3.1), and none has the key of another. Readers report each fault, for each span.
fn is_list(state: &str) -> bool {
    let members = state
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let mut keys = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_key(key) || value.is_empty() || value.contains('=') || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    keys.len() <= MAX_MEMBERS
}

fn is_key(key: &str) -> bool {
    let is_part = |part: &str, may_begin_with_digit: bool| {
        let first = part.bytes().next();
        let begins = first.is_some_and(|byte| {
            byte.is_ascii_lowercase() || (may_begin_with_digit && byte.is_ascii_digit())
        });
        let is_inside = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
        };
        begins && part.bytes().all(is_inside)
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            is_part(tenant, true)
                && tenant.len() <= 241
                && is_part(system, false)
                && system.len() <= 14
        }
        None => is_part(key, false),
    }
}

/// Reads digits in lower case.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let read = TraceContext::parse(PARENT, Some("vendor=a")).unwrap();
        assert_eq!(read.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(read.span_id[7], 0x31);
        assert!(read.is_sampled());
        assert_eq!(read.state.as_deref(), Some("vendor=a"));
        assert_eq!(read.traceparent(), PARENT);
        let unsampled = TraceContext::parse(&PARENT.replace("-01", "-00"), None).unwrap();
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        let later = PARENT.replacen("00", "cc", 1) + "-what-follows";
        let read = TraceContext::parse(&later, None).unwrap();
        assert_eq!(read.traceparent(), PARENT);
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for malformed in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-more"),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replacen("00", "0x", 1),
            &PARENT.to_uppercase(),
            &PARENT.replace('-', "_"),
            &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\u{e4}-01",
        ] {
            assert_eq!(TraceContext::parse(malformed, None), None, "{malformed}");
        }
        let many = (0..=MAX_MEMBERS)
            .map(|n| format!("k{n}=v"))
            .collect::<Vec<_>>();
        for state in [
            "",
            " , ",
            "a=\u{e4}",
            "a=b\r\nc: d",
            "!!bad member,===",
            "a",
            "a=",
            "=b",
            "A=b",
            "1=b",
            "a@=b",
            "a=b=c",
            "a=b,a=c",
            &many.join(","),
        ] {
            let read = TraceContext::parse(PARENT, Some(state)).unwrap();
            assert_eq!(read.state, None, "{state}");
        }
    }

    #[test]
    fn members_of_vendors_and_tenants_are_kept() {
        let state = "1a@vendor=00f0,other_*/-=t61 rc W ,, z=1";
        let read = TraceContext::parse(PARENT, Some(state)).unwrap();
        assert_eq!(read.state.as_deref(), Some(state));
    }

    #[test]
    fn a_long_tracestate_loses_whole_members_at_its_end() {
        let long = format!("first={},second={}", "x".repeat(200), "y".repeat(200));
        let read = TraceContext::parse(PARENT, Some(&long)).unwrap();
        assert_eq!(read.state.as_deref(), long.split(',').next());
        let one = format!("xx={}", "x".repeat(MAX_TRACE_STATE_BYTES - 2));
        let read = TraceContext::parse(PARENT, Some(&one)).unwrap();
        assert_eq!(read.state, None);
        let read = TraceContext::parse(PARENT, Some(&one[1..])).unwrap();
        assert_eq!(
            read.state.map(|state| state.len()),
            Some(MAX_TRACE_STATE_BYTES)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_ignored(parent in "[0-9a-f-]{50,60}|.{0,60}", state: String) {
            if let Some(read) = TraceContext::parse(&parent, Some(&state)) {
                let again = TraceContext::parse(&read.traceparent(), read.state.as_deref());
                prop_assert_eq!(again, Some(read));
            }
        }
    }
}
