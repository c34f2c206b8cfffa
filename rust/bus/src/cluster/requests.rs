//! Requests that wait for the answers of other nodes. Has no clock and does no I/O.

use hashbrown::{HashMap, HashSet};

use super::message::{Answer, ListedConnection, size};
use super::nodes::NodeId;

/// Limit of the open requests (count).
const MAX_REQUESTS: usize = 256;

/// Limit of the nodes that answer one request (count).
const MAX_ANSWERS: usize = 1024;

/// Limit of the answers to one request (bytes, approximately).
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The requests that wait for answers.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: HashMap<u64, OpenRequest>,
    last: u64,
}

#[derive(Debug)]
struct OpenRequest {
    /// Nodes that were alive and have not answered.
    missing: HashSet<NodeId>,
    answers: HashMap<NodeId, NodeAnswer>,
    room: usize,
    /// How many other nodes were asked; `None` if the engine does not know.
    asked: Option<u64>,
    /// Nodes that have answered, or have left before they answered (count).
    done: u64,
}

/// The answer of one node.
#[derive(Debug, Default, PartialEq)]
pub(super) struct NodeAnswer {
    pub(super) closed: u64,
    pub(super) connections: Vec<ListedConnection>,
    next_page: u64,
    is_whole: bool,
}

/// All answers to a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct RequestAnswers {
    /// The complete answers.
    pub(super) answered: Vec<(NodeId, NodeAnswer)>,
    /// Nodes that were alive and have not answered, or only in part.
    pub(super) unanswered: Vec<NodeId>,
}

impl Requests {
    /// Starts a request that these nodes should answer; `None` if too many are open. `just_left`: how
    /// many nodes have left that the engine may still count as asked.
    pub(super) fn begin(
        &mut self,
        asked: impl IntoIterator<Item = NodeId>,
        just_left: u64,
    ) -> Option<u64> {
        if self.open.len() >= MAX_REQUESTS {
            return None;
        }
        self.last += 1;
        let request = OpenRequest {
            missing: asked.into_iter().collect(),
            answers: HashMap::new(),
            room: MAX_ANSWER_BYTES,
            asked: None,
            done: just_left,
        };
        self.open.insert(self.last, request);
        Some(self.last)
    }

    /// Handles an answer, or one page of it. Ignores an answer to no open request, and one that arrives
    /// twice.
    pub(super) fn answered(&mut self, request: u64, from: &NodeId, answer: Answer) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        if !open.answers.contains_key(from) && open.answers.len() >= MAX_ANSWERS {
            return;
        }
        let node = open.answers.entry_ref(from).or_default();
        if node.is_whole {
            return;
        }
        match answer {
            Answer::Disconnected { closed } => {
                node.closed = closed;
                node.is_whole = true;
            }
            Answer::LossTold => node.is_whole = true,
            Answer::Connections {
                page,
                is_last,
                connections,
            } => {
                let bytes = connections.iter().map(size).sum::<usize>();
                // After a missing page, or one that has no room, the answer can never be complete.
                if page != node.next_page || bytes > open.room {
                    return;
                }
                open.room -= bytes;
                node.next_page += 1;
                node.connections.extend(connections);
                node.is_whole = is_last;
            }
        }
        if node.is_whole {
            open.done += 1;
            open.missing.remove(from);
        }
    }

    /// Sets how many other nodes were asked; `None` if the engine does not know.
    pub(super) fn sent(&mut self, request: u64, asked: Option<u64>) {
        if let Some(open) = self.open.get_mut(&request) {
            open.asked = asked;
        }
    }

    /// Handles that a node has left: it has closed its connections, and will not answer.
    pub(super) fn left(&mut self, node: &NodeId) {
        for open in self.open.values_mut() {
            open.missing.remove(node);
            if open.answers.get(node).is_none_or(|answer| !answer.is_whole) {
                open.done += 1;
            }
        }
    }

    /// Whether all nodes have answered: each known node, and as many as were asked, because one may not
    /// have announced itself yet. `is_settled`: all nodes had time to announce themselves. This decides
    /// if the number of asked nodes is unknown.
    pub(super) fn is_complete(&self, request: u64, is_settled: bool) -> bool {
        let Some(open) = self.open.get(&request) else {
            return true;
        };
        let have_all = open.asked.map_or(is_settled, |asked| open.done >= asked);
        open.missing.is_empty() && have_all
    }

    /// The nodes from which an answer has come.
    pub(super) fn answered_by(&self, request: u64) -> impl Iterator<Item = &NodeId> {
        let open = self.open.get(&request).into_iter();
        open.flat_map(|open| open.answers.keys())
    }

    /// Ends a request.
    pub(super) fn end(&mut self, request: u64) -> RequestAnswers {
        let Some(open) = self.open.remove(&request) else {
            return RequestAnswers::default();
        };
        let whole = open.answers.into_iter().filter(|(_, node)| node.is_whole);
        RequestAnswers {
            answered: whole.collect(),
            unanswered: open.missing.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::new(number)
    }

    const fn closed(closed: u64) -> Answer {
        Answer::Disconnected { closed }
    }

    fn connection(name: &str) -> ListedConnection {
        ListedConnection {
            id: name.to_owned(),
            user_id: None,
            tenant_id: None,
            peer: None,
            protocol: "http".to_owned(),
            operations: 1,
            since: 0.0,
        }
    }

    fn page(page: u64, is_last: bool, names: &[&str]) -> Answer {
        Answer::Connections {
            page,
            is_last,
            connections: names.iter().map(|name| connection(name)).collect(),
        }
    }

    fn names(answers: &RequestAnswers, node: u64) -> Option<Vec<&str>> {
        let found = answers.answered.iter().find(|(from, _)| *from == id(node));
        found.map(|(_, answer)| answer.connections.iter().map(|one| &*one.id).collect())
    }

    #[test]
    fn a_request_is_complete_when_all_have_answered() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1), id(2)], 0).unwrap();
        requests.answered(request, &id(1), closed(3));
        assert!(!requests.is_complete(request, true));
        requests.answered(request, &id(2), closed(4));
        assert!(requests.is_complete(request, true));
        let answers = requests.end(request);
        let sum: u64 = answers.answered.iter().map(|(_, one)| one.closed).sum();
        assert_eq!((sum, answers.unanswered.len()), (7, 0));
    }

    #[test]
    fn duplicate_late_and_unknown_answers_change_nothing() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1), id(2)], 0).unwrap();
        requests.answered(request, &id(1), closed(3));
        requests.answered(request, &id(1), closed(5));
        requests.answered(request + 1, &id(2), closed(5));
        let answers = requests.end(request);
        assert_eq!(answers.answered.len(), 1);
        assert_eq!(answers.answered[0].1.closed, 3);
        assert_eq!(answers.unanswered, [id(2)]);
        requests.answered(request, &id(2), closed(9));
        assert_eq!(requests.end(request), RequestAnswers::default());
        let next = requests.begin([], 0).unwrap();
        assert_ne!(
            next, request,
            "a late answer is no answer to the next request"
        );
    }

    #[test]
    fn a_node_that_was_not_known_may_answer() {
        let mut requests = Requests::default();
        let request = requests.begin([], 0).unwrap();
        assert!(requests.is_complete(request, true));
        requests.answered(request, &id(9), closed(2));
        assert_eq!(requests.end(request).answered[0].0, id(9));
    }

    #[test]
    fn as_many_have_to_answer_as_were_asked() {
        for is_settled in [false, true] {
            let mut requests = Requests::default();
            let request = requests.begin([id(1)], 0).unwrap();
            requests.sent(request, Some(3));
            requests.answered(request, &id(1), closed(0));
            requests.answered(request, &id(2), closed(0));
            assert!(!requests.is_complete(request, is_settled));
            requests.left(&id(3));
            requests.left(&id(2));
            assert!(requests.is_complete(request, is_settled));
        }
    }

    #[test]
    fn a_node_that_has_just_left_may_still_be_counted_as_asked() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1)], 1).unwrap();
        requests.sent(request, Some(2));
        assert!(!requests.is_complete(request, true));
        requests.answered(request, &id(1), closed(0));
        assert!(requests.is_complete(request, true));
    }

    #[test]
    fn without_a_number_all_nodes_need_the_time_to_announce_themselves() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1)], 0).unwrap();
        requests.answered(request, &id(1), closed(0));
        assert!(!requests.is_complete(request, false));
        assert!(requests.is_complete(request, true));
    }

    #[test]
    fn a_node_that_leaves_is_not_waited_for_and_not_listed_as_unanswered() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1)], 0).unwrap();
        requests.left(&id(1));
        assert!(requests.is_complete(request, true));
        assert_eq!(requests.end(request), RequestAnswers::default());
    }

    #[test]
    fn an_answer_in_pages_counts_when_all_have_arrived() {
        let mut requests = Requests::default();
        let request = requests.begin([id(1), id(2), id(3)], 0).unwrap();
        for part in [
            page(0, false, &["a"]),
            page(0, false, &["a"]),
            page(1, true, &["b"]),
        ] {
            requests.answered(request, &id(1), part);
        }
        requests.answered(request, &id(2), page(0, false, &["c"]));
        requests.answered(request, &id(3), page(1, true, &["d"]));
        assert!(!requests.is_complete(request, true));
        let mut answers = requests.end(request);
        assert_eq!(names(&answers, 1), Some(vec!["a", "b"]));
        assert_eq!(names(&answers, 2), None);
        answers.unanswered.sort();
        assert_eq!(answers.unanswered, [id(2), id(3)]);
    }

    #[test]
    fn requests_and_their_answers_are_bounded() {
        let mut requests = Requests::default();
        let first = requests.begin([id(1)], 0).unwrap();
        for _ in 1..MAX_REQUESTS {
            assert!(requests.begin([], 0).is_some());
        }
        assert_eq!(requests.begin([], 0), None);
        for number in 0..2 * MAX_ANSWERS as u64 {
            requests.answered(first, &id(number), closed(1));
        }
        assert_eq!(requests.end(first).answered.len(), MAX_ANSWERS);
        let listing = requests.begin([id(1)], 0).unwrap();
        let large = "x".repeat(2000);
        let row = [&*large; 30];
        for number in 0..2000 {
            requests.answered(listing, &id(1), page(number, false, &row));
        }
        let open = &requests.open[&listing];
        let bytes: usize = open.answers[&id(1)].connections.iter().map(size).sum();
        assert!(bytes <= MAX_ANSWER_BYTES);
    }
}
