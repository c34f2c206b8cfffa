//! The names of keys and channels, and the partition of a stream.
//!
//! All versions and all nodes must compute the same names. A version with other rules needs another
//! prefix.

use sha2::{Digest, Sha256};

use bus::StreamKey;

/// A longer name is replaced by its digest (bytes).
const LONGEST: usize = 200;
const SLOTS: u32 = 16384;

/// The names of one bus.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    /// The start of the names of each partition: `prefix:{tag}:`.
    partitions: Vec<String>,
    /// The slot of each partition in a cluster.
    slots: Vec<u16>,
}

impl Names {
    pub(super) fn new(prefix: &str, partitions: u32) -> Self {
        let tags: Vec<String> = tags(partitions)
            .into_iter()
            .map(|tag| tag.to_string())
            .collect();
        Self {
            prefix: prefix.to_owned(),
            slots: tags.iter().map(|tag| slot(tag.as_bytes())).collect(),
            partitions: tags
                .into_iter()
                .map(|tag| format!("{prefix}:{{{tag}}}:"))
                .collect(),
        }
    }

    /// The slot of a partition in a cluster.
    pub(super) fn slot(&self, partition: u32) -> u16 {
        self.slots[partition as usize]
    }

    /// The slots of all partitions.
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> {
        self.slots.iter().copied()
    }

    /// The slot of [`Self::layout`] in a cluster.
    pub(super) fn layout_slot(&self) -> u16 {
        slot(self.layout().as_bytes())
    }

    /// The key of the settings that all nodes must share.
    pub(super) fn layout(&self) -> String {
        format!("{}:layout", self.prefix)
    }

    /// The channel of all nodes, or of one, in a partition.
    pub(super) fn control(&self, partition: u32, node: Option<&str>) -> String {
        let node = node.unwrap_or("all");
        format!("{}n:{node}", self.partitions[partition as usize])
    }

    /// The key of the revocations, in a partition.
    pub(super) fn revocations(&self, partition: u32) -> String {
        format!("{}revocations", self.partitions[partition as usize])
    }

    /// The partition of a stream.
    pub(super) fn partition(&self, stream: &StreamKey) -> u32 {
        partition(&encode(stream), self.partitions.len() as u32)
    }

    /// The names of a stream.
    pub(super) fn stream(&self, stream: &StreamKey) -> StreamNames<'_> {
        let name = encode(stream);
        let partition = partition(&name, self.partitions.len() as u32);
        StreamNames {
            start: &self.partitions[partition as usize],
            name: bounded(name),
            partition,
        }
    }

    /// The key of the state of a partition.
    pub(super) fn partition_key(&self, partition: u32) -> String {
        format!("{}m", self.partitions[partition as usize])
    }

    /// A key of a partition that holds nothing.
    pub(super) fn unused(&self, partition: u32) -> String {
        format!("{}unused", self.partitions[partition as usize])
    }

    /// The channel of the probes of one engine.
    pub(super) fn probe(&self, partition: u32, engine: u64) -> String {
        format!("{}p:{engine:016x}", self.partitions[partition as usize])
    }
}

/// The names of one stream.
#[derive(Debug)]
pub(super) struct StreamNames<'a> {
    start: &'a str,
    name: String,
    pub(super) partition: u32,
}

impl StreamNames<'_> {
    /// The key of the epoch and the newest offset.
    pub(super) fn counter(&self) -> String {
        format!("{}s:{}", self.start, self.name)
    }

    /// The key of the kept events.
    pub(super) fn history(&self) -> String {
        format!("{}h:{}", self.start, self.name)
    }

    /// The channel on which events are published.
    pub(super) fn channel(&self) -> String {
        format!("{}c:{}", self.start, self.name)
    }

    /// The key of the position of the event with an id. The same id in another stream is another event.
    pub(super) fn id(&self, id: &str) -> String {
        let mut name = String::with_capacity(id.len());
        escape(id, &mut name);
        format!("{}i:{}:{}", self.start, self.name, bounded(name))
    }
}

/// Encodes a stream: the escaped tenant, `:`, the escaped channel; without a tenant the escaped channel
/// alone.
fn encode(stream: &StreamKey) -> String {
    let mut name = String::with_capacity(stream.channel.len() + 16);
    if let Some(tenant) = &stream.tenant {
        escape(tenant, &mut name);
        name.push(':');
    }
    escape(&stream.channel, &mut name);
    name
}

/// Writes letters, digits and `-_.` unchanged, every other byte as `%XX`.
fn escape(text: &str, name: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push(DIGITS[usize::from(byte >> 4)]);
            name.push(DIGITS[usize::from(byte & 15)]);
        }
    }
}

/// Returns a long name as `~` and its SHA-256. An escaped name contains no `~`.
fn bounded(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let digest = Sha256::digest(name.as_bytes());
    let mut short = String::with_capacity(1 + 2 * digest.len());
    short.push('~');
    for byte in digest {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

/// FNV-1a with 64 bits, whose upper bits are mixed into the lower ones.
fn partition(name: &str, partitions: u32) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 32) as u32) % partitions
}

/// Returns for each partition the smallest number whose slot is in its share of a cluster's slots, so
/// that partitions are spread evenly.
fn tags(partitions: u32) -> Vec<u32> {
    let width = SLOTS / partitions;
    let mut tags = vec![None; partitions as usize];
    let mut missing = tags.len();
    let mut number = 0_u32;
    while missing > 0 {
        let slot = u32::from(slot(number.to_string().as_bytes()));
        let tag = &mut tags[(slot / width) as usize];
        if tag.is_none() {
            *tag = Some(number);
            missing -= 1;
        }
        number += 1;
    }
    tags.into_iter().flatten().collect()
}

/// The slot of a hash tag, or of a key without one: CRC-16/XMODEM.
fn slot(tag: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in tag {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
        }
    }
    crc % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn unescape(text: &str) -> String {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    }

    /// Decodes a name that is not a digest.
    fn decode(name: &str) -> StreamKey {
        match name.split_once(':') {
            Some((tenant, channel)) => StreamKey::of_tenant(unescape(channel), unescape(tenant)),
            None => StreamKey::of_channel(unescape(name)),
        }
    }

    fn streams() -> impl Strategy<Value = StreamKey> {
        (
            proptest::option::of("[a:%~{}. ]{0,4}|\\PC{0,80}"),
            "[a:%~{}. ]{1,4}|\\PC{1,80}",
        )
            .prop_map(|(tenant, channel)| StreamKey {
                tenant: tenant.map(Into::into),
                channel: channel.into(),
            })
    }

    proptest! {
        #[test]
        fn a_stream_is_read_from_its_name(stream in streams()) {
            prop_assert_eq!(decode(&encode(&stream)), stream);
        }

        #[test]
        fn names_are_plain_and_bounded(stream in streams()) {
            let names = Names::new("fs1", 64);
            let stream = names.stream(&stream);
            for name in [stream.counter(), stream.history(), stream.channel()] {
                prop_assert!(name.len() <= LONGEST + 32);
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(name.matches('{').count(), 1);
            }
        }

        #[test]
        fn two_streams_have_two_names(one in streams(), other in streams()) {
            let names = Names::new("fs1", 4);
            prop_assert_eq!(
                one == other,
                names.stream(&one).channel() == names.stream(&other).channel()
            );
        }
    }

    #[test]
    fn ids_of_two_streams_have_different_names() {
        let names = Names::new("fs1", 1);
        let of = |tenant: &str, channel: &str, id: &str| {
            names.stream(&StreamKey::of_tenant(channel, tenant)).id(id)
        };
        assert_ne!(of("t", "a", "b:c"), of("t", "a:b", "c"));
        let plain = names.stream(&StreamKey::of_channel("t")).id("a:c");
        assert_ne!(plain, of("t", "a", "c"));
        assert!(of("t", "a", &"x".repeat(10_000)).len() < 300);
    }

    #[test]
    fn a_long_name_is_a_digest() {
        let long = "é".repeat(100);
        let names = Names::new("fs1", 1);
        let name = names
            .stream(&StreamKey::of_channel(long.as_str()))
            .channel();
        assert!(
            name.starts_with("fs1:{") && name.contains("}:c:~") && name.len() < 90,
            "{name}"
        );
        let other = names
            .stream(&StreamKey::of_channel(format!("{long}x")))
            .channel();
        assert_ne!(name, other);
    }

    #[test]
    fn partitions_do_not_change_between_versions() {
        let names = Names::new("fs1", 64);
        let partition = |channel: &str| names.partition(&StreamKey::of_channel(channel));
        let found = (partition("orders"), partition("orders.1"), partition("é"));
        assert_eq!(found, (16, 7, 1));
        assert_eq!(tags(4), [3, 2, 1, 0]);
    }

    #[test]
    fn partitions_are_spread_over_streams_and_over_slots() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        for partitions in [1, 2, 64, 1024] {
            let tags = tags(partitions);
            let width = SLOTS / partitions;
            let parts: HashSet<u32> = tags
                .iter()
                .map(|tag| u32::from(slot(tag.to_string().as_bytes())) / width)
                .collect();
            assert_eq!(parts.len() as u32, partitions);
            let names = Names::new("fs1", partitions);
            for (partition, tag) in (0..).zip(&tags) {
                assert_eq!(names.slot(partition), slot(tag.to_string().as_bytes()));
            }
        }
        let names = Names::new("fs1", 64);
        let mut counts = [0; 64];
        for user in 0..6400 {
            let stream = StreamKey::of_channel(format!("user.{user}"));
            counts[names.partition(&stream) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..=160).contains(count)),
            "{counts:?}"
        );
    }
}
