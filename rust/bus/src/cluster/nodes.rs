//! The table of the other nodes. No clock: the caller passes the time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// A node that was not heard of for so long is not there any more, or cannot be reached.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(15);

/// How long a node that did not say that it leaves is remembered as one that does not answer.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// How long the engine may still count a node that has said that it leaves.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// Other nodes that are known at most (count).
const MAX_NODES: usize = 1024;

/// Digits of a node's id (count).
const ID_DIGITS: usize = 16;

/// Identifies one start of a manager: 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

/// What a node tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its name: the application's, or host and process.
    pub name: Arc<str>,
    /// The version of its package.
    pub version: Arc<str>,
    /// When it was started, by its clock (seconds since the epoch).
    pub started_at: f64,
    /// What it carried when it told so.
    pub status: NodeStatus,
}

/// What a node carries at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Open client connections.
    pub connections: u64,
    /// Running subscriptions.
    pub subscriptions: u64,
    /// Events that it has received and not yet handed to its subscriptions.
    pub lag: u64,
    /// Whether it can reach the engine.
    pub is_live: bool,
}

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: HashMap<NodeId, KnownNode>,
    /// When nodes have left, the newest last.
    left_at: VecDeque<Instant>,
    /// Since when nothing can be heard.
    deaf_since: Option<Instant>,
}

#[derive(Debug)]
struct KnownNode {
    info: NodeInfo,
    heard_at: Instant,
}

impl NodeId {
    /// An id from a random number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        is_id.then(|| Self(text.into()))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Nodes {
    /// Takes what a node tells of itself; false: there is no room for another one.
    pub(super) fn announced(&mut self, info: NodeInfo, now: Instant) -> bool {
        if !self.known.contains_key(&info.id) && self.known.len() >= MAX_NODES {
            self.known
                .retain(|_, known| now.saturating_duration_since(known.heard_at) < GONE_AFTER);
            if self.known.len() >= MAX_NODES {
                return false;
            }
        }
        let known = KnownNode {
            heard_at: now,
            info,
        };
        self.known.insert(known.info.id.clone(), known);
        true
    }

    /// A node has said that it leaves.
    pub(super) fn left(&mut self, id: &NodeId, now: Instant) {
        if self.known.remove(id).is_some() {
            self.left_at.truncate(MAX_NODES - 1);
            self.left_at.push_back(now);
        }
    }

    /// Nodes that have said in the last seconds that they leave (count).
    pub(super) fn just_left(&mut self, now: Instant) -> u64 {
        self.left_at
            .retain(|at| now.saturating_duration_since(*at) < LEAVES_WITHIN);
        self.left_at.len() as u64
    }

    /// Whether nodes can be heard. While they cannot, none is taken for gone, and all have
    /// [`GONE_AFTER`] from when they can again.
    pub(super) fn listening(&mut self, is_listening: bool, now: Instant) {
        match (is_listening, self.deaf_since) {
            (false, None) => self.deaf_since = Some(now),
            (true, Some(since)) => {
                for known in self.known.values_mut() {
                    // Those that were gone before stay so.
                    if since.saturating_duration_since(known.heard_at) < GONE_AFTER {
                        known.heard_at = now;
                    }
                }
                self.deaf_since = None;
            }
            (true, None) | (false, Some(_)) => {}
        }
        let now = self.heard_until(now);
        self.known
            .retain(|_, known| now.saturating_duration_since(known.heard_at) < REMEMBERED);
    }

    /// Those that are there, the oldest first.
    pub(super) fn live(&self, now: Instant) -> Vec<NodeInfo> {
        self.select(now, |silent_for| silent_for < GONE_AFTER)
    }

    /// Those that are not heard of any more, and have not said that they leave.
    pub(super) fn silent(&self, now: Instant) -> Vec<NodeInfo> {
        self.select(now, |silent_for| silent_for >= GONE_AFTER)
    }

    /// What a node has told of itself.
    pub(super) fn get(&self, id: &NodeId) -> Option<&NodeInfo> {
        self.known.get(id).map(|known| &known.info)
    }

    fn select(&self, now: Instant, is_meant: impl Fn(Duration) -> bool) -> Vec<NodeInfo> {
        let now = self.heard_until(now);
        let meant = self
            .known
            .values()
            .filter(|known| is_meant(now.saturating_duration_since(known.heard_at)));
        let mut found: Vec<_> = meant.map(|known| known.info.clone()).collect();
        found.sort_by(|a, b| {
            let started = a.started_at.total_cmp(&b.started_at);
            started.then_with(|| a.id.cmp(&b.id))
        });
        found
    }

    fn heard_until(&self, now: Instant) -> Instant {
        self.deaf_since.map_or(now, |since| since.min(now))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn node(number: u64) -> NodeInfo {
        NodeInfo {
            id: NodeId::new(number),
            name: format!("node {number}").into(),
            version: "1.0".into(),
            started_at: number as f64,
            status: NodeStatus::default(),
        }
    }

    fn numbers(nodes: &[NodeInfo]) -> Vec<u64> {
        nodes.iter().map(|node| node.started_at as u64).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_node_is_there_until_it_was_silent_for_15_s_and_is_then_remembered() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        nodes.announced(node(2), start);
        nodes.announced(node(1), start);
        nodes.announced(node(2), start + 5 * SECOND);
        assert_eq!(numbers(&nodes.live(start + 14 * SECOND)), [1, 2]);
        assert_eq!(numbers(&nodes.live(start + 15 * SECOND)), [2]);
        assert_eq!(numbers(&nodes.silent(start + 15 * SECOND)), [1]);
        nodes.listening(true, start + REMEMBERED);
        assert_eq!(numbers(&nodes.silent(start + REMEMBERED)), [2]);
    }

    #[test]
    fn a_node_that_leaves_is_gone_at_once() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        nodes.announced(node(1), start);
        nodes.left(&NodeId::new(1), start);
        nodes.left(&NodeId::new(9), start);
        assert!(nodes.live(start).is_empty() && nodes.silent(start).is_empty());
        assert_eq!(nodes.just_left(start), 1);
        assert_eq!(nodes.just_left(start + LEAVES_WITHIN), 0);
    }

    #[test]
    fn who_cannot_hear_takes_none_for_gone() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        nodes.announced(node(1), start);
        nodes.listening(false, start + SECOND);
        let back = start + 100 * REMEMBERED;
        nodes.listening(false, back);
        assert_eq!(numbers(&nodes.live(back)), [1]);
        nodes.listening(true, back);
        assert_eq!(numbers(&nodes.live(back + 14 * SECOND)), [1]);
        assert_eq!(numbers(&nodes.silent(back + 15 * SECOND)), [1]);
    }

    #[test]
    fn they_are_bounded_and_silent_ones_make_room() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        for number in 0..MAX_NODES as u64 {
            assert!(nodes.announced(node(number), start));
        }
        assert!(!nodes.announced(node(5000), start));
        assert!(nodes.announced(node(7), start + GONE_AFTER));
        assert!(nodes.announced(node(5000), start + GONE_AFTER));
        assert_eq!(numbers(&nodes.live(start + GONE_AFTER)), [7, 5000]);
    }

    #[test]
    fn an_id_is_16_digits() {
        let id = NodeId::new(0xab);
        assert_eq!(NodeId::parse(id.as_str()), Some(id));
        for wrong in [
            "",
            "ab",
            "00000000000000AB",
            "00000000000000a*",
            "00000000000000abc",
        ] {
            assert_eq!(NodeId::parse(wrong), None, "{wrong}");
        }
    }
}
