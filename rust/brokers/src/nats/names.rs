//! The names of subjects and of JetStream streams, and the partition of a stream.
//!
//! All versions and all nodes must compute the same names. A version with other rules needs another
//! prefix. `stream` is a stream of the bus here; what JetStream calls a stream is a `store`.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use bus::StreamKey;

/// A longer tenant is replaced by its digest (bytes).
const LONGEST_TENANT: usize = 80;
/// A longer channel is replaced by its digest (bytes).
const LONGEST_CHANNEL: usize = 160;

/// The names of one bus.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    partitions: u32,
}

impl Names {
    pub(super) fn new(prefix: &str, partitions: u32) -> Self {
        Self {
            prefix: prefix.to_owned(),
            partitions,
        }
    }

    /// The number of partitions.
    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The subject on which the events of a stream are delivered.
    pub(super) fn delivered(&self, stream: &StreamKey) -> String {
        format!("{}.e.{}", self.prefix, encode(stream))
    }

    /// The subject on which the events of a stream are stored.
    pub(super) fn stored(&self, stream: &StreamKey) -> String {
        let name = encode(stream);
        format!("{}.in.{}.{name}", self.prefix, self.of(&name))
    }

    /// The partition of a stream.
    pub(super) fn partition(&self, stream: &StreamKey) -> u32 {
        self.of(&encode(stream))
    }

    fn of(&self, name: &str) -> u32 {
        partition(name, self.partitions)
    }

    /// The JetStream stream of a partition. Its name has the number of partitions, so that nodes with
    /// another number notice it: the subjects of both overlap, which the server refuses.
    pub(super) fn store(&self, partition: u32) -> String {
        if self.partitions == 1 {
            self.prefix.clone()
        } else {
            format!("{}-{partition}-of-{}", self.prefix, self.partitions)
        }
    }

    /// The subjects that a partition stores.
    pub(super) fn stored_in(&self, partition: u32) -> String {
        format!("{}.in.{partition}.>", self.prefix)
    }

    /// The subjects on which all events are delivered.
    pub(super) fn all_delivered(&self) -> String {
        format!("{}.e.>", self.prefix)
    }

    /// What the subjects of answers begin with.
    pub(super) fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }

    /// The subject of all nodes, or of one.
    pub(super) fn control(&self, node: Option<&str>) -> String {
        match node {
            None => format!("{}.ctl", self.prefix),
            Some(node) => format!("{}.ctl.{node}", self.prefix),
        }
    }

    /// The JetStream stream of the revocations.
    pub(super) fn revocations(&self) -> String {
        format!("{}-revocations", self.prefix)
    }

    /// The subjects of all revocations.
    pub(super) fn all_revocations(&self) -> String {
        format!("{}.rev.*", self.prefix)
    }

    /// The subject of messages that show the time of the server.
    pub(super) fn clock(&self) -> String {
        // No revocation has it: theirs end with hexadecimal digits.
        format!("{}.rev.clock", self.prefix)
    }

    /// The subject of a revocation.
    pub(super) fn revocation(&self, entry: &[u8]) -> String {
        format!("{}.rev.{}", self.prefix, digest(&[entry]))
    }
}

/// The id by which JetStream recognizes an event that is published again. The same id in another stream
/// is another event.
pub(super) fn message_id(subject: &str, id: &str) -> String {
    // A subject contains no space.
    let mut text = digest(&[subject.as_bytes(), b" ", id.as_bytes()]);
    text.truncate(32);
    text
}

/// Encodes a stream: the tenant as one token, `.`, the channel. `-` is no tenant.
fn encode(stream: &StreamKey) -> String {
    let mut name = String::with_capacity(stream.channel.len() + 16);
    match stream.tenant.as_deref() {
        None => name.push('-'),
        Some("") => name.push('%'),
        Some("-") => name.push_str("%2D"),
        Some(tenant) => {
            let mut token = String::with_capacity(tenant.len());
            for byte in tenant.bytes() {
                escape(byte, &mut token);
            }
            name.push_str(&bounded(token, LONGEST_TENANT));
        }
    }
    name.push('.');
    name.push_str(&bounded(channel(&stream.channel), LONGEST_CHANNEL));
    name
}

/// Encodes a channel. Its dots separate tokens, except where a token would be empty.
fn channel(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_token = |at: Option<&u8>| at.is_some_and(|byte| *byte != b'.');
    let mut name = String::with_capacity(text.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        if byte == b'.' && is_token(before) && is_token(bytes.get(at + 1)) {
            name.push('.');
        } else {
            escape(byte, &mut name);
        }
    }
    name
}

/// Writes letters, digits and some signs unchanged, every other byte as `%XX`.
fn escape(byte: u8, name: &mut String) {
    if byte.is_ascii_alphanumeric() || b"-_:/@+=,".contains(&byte) {
        name.push(char::from(byte));
    } else {
        // Writing to a string does not fail.
        let _ = write!(name, "%{byte:02X}");
    }
}

/// Returns a long name as `~` and its SHA-256. An escaped name contains no `~`.
fn bounded(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    format!("~{}", digest(&[name.as_bytes()]))
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// FNV-1a with 64 bits, whose upper bits are mixed into the lower ones.
fn partition(name: &str, partitions: u32) -> u32 {
    let mut hash = fnv(name.as_bytes());
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 32) as u32) % partitions
}

/// FNV-1a with 64 bits.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;

    fn unescape(text: &str) -> String {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    }

    /// Decodes a name that has no digest.
    fn decode(name: &str) -> StreamKey {
        let (tenant, channel) = name.split_once('.').unwrap();
        match tenant {
            "-" => StreamKey::of_channel(unescape(channel)),
            "%" => StreamKey::of_tenant(unescape(channel), ""),
            tenant => StreamKey::of_tenant(unescape(channel), unescape(tenant)),
        }
    }

    fn streams(longest: usize) -> impl Strategy<Value = StreamKey> {
        let any = |least: usize| {
            let plain = string_regex(&format!("\\PC{{{least},{longest}}}"));
            prop_oneof![plain.unwrap(), string_regex("[-.*>%~ a\\t]{1,5}").unwrap()]
        };
        (proptest::option::of(any(0)), any(1)).prop_map(|(tenant, channel)| StreamKey {
            tenant: tenant.map(Into::into),
            channel: channel.into(),
        })
    }

    proptest! {
        #[test]
        fn a_stream_is_read_from_its_name(stream in streams(5)) {
            prop_assert_eq!(decode(&encode(&stream)), stream);
        }

        #[test]
        fn names_are_valid_subjects_and_bounded(stream in streams(300)) {
            let names = Names::new("fs1", 4);
            for name in [names.delivered(&stream), names.stored(&stream)] {
                prop_assert!(name.len() <= LONGEST_TENANT + LONGEST_CHANNEL + 16);
                prop_assert!(name.split('.').all(|token| !token.is_empty()));
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!name.contains(['*', '>']));
            }
        }

        #[test]
        fn two_streams_have_two_names(one in streams(300), other in streams(300)) {
            prop_assert_eq!(one == other, encode(&one) == encode(&other));
        }
    }

    #[test]
    fn dots_of_a_channel_separate_tokens_and_tenants_are_one_token() {
        let names = Names::new("fs1", 1);
        let of = |stream: &StreamKey| names.delivered(stream);
        assert_eq!(of(&StreamKey::of_channel("orders.eu")), "fs1.e.-.orders.eu");
        assert_eq!(
            of(&StreamKey::of_tenant("orders", "a.b")),
            "fs1.e.a%2Eb.orders"
        );
        assert_eq!(of(&StreamKey::of_tenant("orders", "-")), "fs1.e.%2D.orders");
        assert_eq!(of(&StreamKey::of_channel("a..b")), "fs1.e.-.a%2E%2Eb");
        assert_eq!(of(&StreamKey::of_channel("*.>")), "fs1.e.-.%2A.%3E");
        assert_eq!(names.stored(&StreamKey::of_channel("a")), "fs1.in.0.-.a");
        let two = Names::new("fs1", 2);
        assert_eq!(
            (names.store(0), two.store(1)),
            ("fs1".into(), "fs1-1-of-2".into())
        );
    }

    #[test]
    fn partitions_and_ids_do_not_change_between_versions() {
        let names = Names::new("fs1", 64);
        let partition = |channel: &str| names.partition(&StreamKey::of_channel(channel));
        assert_eq!((partition("orders"), partition("é")), (52, 30));
        assert_ne!(message_id("a", "b"), message_id("b", "b"));
        assert_eq!(message_id("a", "b").len(), 32);
    }
}
