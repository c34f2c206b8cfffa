//! The table of the other nodes. Has no clock: the caller passes the time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// A node that has sent nothing for so long has stopped, or cannot be reached.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(15);

/// How long a node that stopped sending without leaving is listed as silent.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// How long the engine may still count a node that has left.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// Limit of the other nodes in the table (count).
const MAX_NODES: usize = 1024;

/// Digits of a node id (count).
const ID_DIGITS: usize = 16;

/// Identifies one start of a manager: 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

/// The announcement of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its name: the application's, or host and process.
    pub name: Arc<str>,
    /// The version of its package.
    pub version: Arc<str>,
    /// When it was started, by its own clock (seconds since the epoch).
    pub started_at: f64,
    /// Its status at the time of the announcement.
    pub status: NodeStatus,
}

/// How much a node carries at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Open client connections (count).
    pub connections: u64,
    /// Running subscriptions (count).
    pub subscriptions: u64,
    /// Events that it has received and not yet delivered to its subscriptions (count).
    pub lag: u64,
    /// Whether it can reach the engine.
    pub is_live: bool,
}

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: HashMap<NodeId, KnownNode>,
    /// When nodes have left, the newest last; at most [`MAX_NODES`].
    left_at: VecDeque<Instant>,
    /// Since when no messages can arrive; `None` if they can.
    not_listening_since: Option<Instant>,
}

#[derive(Debug)]
struct KnownNode {
    info: NodeInfo,
    seen_at: Instant,
}

impl NodeId {
    /// Creates an id from a random number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }

    /// Parses an id; `None` if it is not 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        is_id.then(|| Self(text.into()))
    }

    /// The digits of the id.
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
    /// Adds or updates a node. Returns false if there is no room for another one.
    pub(super) fn announced(&mut self, info: NodeInfo, now: Instant) -> bool {
        if !self.known.contains_key(&info.id) && self.known.len() >= MAX_NODES {
            self.known
                .retain(|_, known| now.saturating_duration_since(known.seen_at) < SILENT_AFTER);
            if self.known.len() >= MAX_NODES {
                return false;
            }
        }
        let known = KnownNode { seen_at: now, info };
        self.known.insert(known.info.id.clone(), known);
        true
    }

    /// Removes a node that leaves.
    pub(super) fn left(&mut self, id: &NodeId, now: Instant) {
        if self.known.remove(id).is_some() {
            if self.left_at.len() >= MAX_NODES {
                self.left_at.pop_front();
            }
            self.left_at.push_back(now);
        }
    }

    /// Returns how many nodes have left within the last 5 s.
    pub(super) fn just_left(&mut self, now: Instant) -> u64 {
        self.left_at
            .retain(|at| now.saturating_duration_since(*at) < LEAVES_WITHIN);
        self.left_at.len() as u64
    }

    /// Sets whether messages can arrive. While they cannot, no node counts as silent; afterwards each
    /// has [`SILENT_AFTER`] again.
    pub(super) fn listening(&mut self, is_listening: bool, now: Instant) {
        match (is_listening, self.not_listening_since) {
            (false, None) => self.not_listening_since = Some(now),
            (true, Some(since)) => {
                for known in self.known.values_mut() {
                    // A node that was silent before stays silent.
                    if since.saturating_duration_since(known.seen_at) < SILENT_AFTER {
                        known.seen_at = now;
                    }
                }
                self.not_listening_since = None;
            }
            (true, None) | (false, Some(_)) => {}
        }
        let now = self.seen_until(now);
        self.known
            .retain(|_, known| now.saturating_duration_since(known.seen_at) < REMEMBERED);
    }

    /// The nodes that are alive, the oldest first.
    pub(super) fn live(&self, now: Instant) -> Vec<NodeInfo> {
        self.select(now, |silent_for| silent_for < SILENT_AFTER)
    }

    /// The nodes that have stopped sending, without leaving.
    pub(super) fn silent(&self, now: Instant) -> Vec<NodeInfo> {
        self.select(now, |silent_for| silent_for >= SILENT_AFTER)
    }

    /// The last announcement of a node.
    pub(super) fn get(&self, id: &NodeId) -> Option<&NodeInfo> {
        self.known.get(id).map(|known| &known.info)
    }

    fn select(&self, now: Instant, is_meant: impl Fn(Duration) -> bool) -> Vec<NodeInfo> {
        let now = self.seen_until(now);
        let meant = self
            .known
            .values()
            .filter(|known| is_meant(now.saturating_duration_since(known.seen_at)));
        let mut found: Vec<_> = meant.map(|known| known.info.clone()).collect();
        found.sort_by(|a, b| {
            let started = a.started_at.total_cmp(&b.started_at);
            started.then_with(|| a.id.cmp(&b.id))
        });
        found
    }

    fn seen_until(&self, now: Instant) -> Instant {
        self.not_listening_since.map_or(now, |since| since.min(now))
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
    fn a_node_is_alive_until_15_s_of_silence_and_is_then_listed_as_silent() {
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
    fn no_node_counts_as_silent_while_no_message_can_arrive() {
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
    fn nodes_are_bounded_and_silent_ones_are_replaced_first() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        for number in 0..MAX_NODES as u64 {
            assert!(nodes.announced(node(number), start));
        }
        assert!(!nodes.announced(node(5000), start));
        assert!(nodes.announced(node(7), start + SILENT_AFTER));
        assert!(nodes.announced(node(5000), start + SILENT_AFTER));
        assert_eq!(numbers(&nodes.live(start + SILENT_AFTER)), [7, 5000]);
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
