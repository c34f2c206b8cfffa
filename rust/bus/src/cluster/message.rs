//! The messages between nodes, as bytes.
//!
//! They are JSON: `v` is the version, `kind` the kind of message, `from` the sender. Unknown members
//! are ignored, so that a later version can add some. A message that cannot be read decodes to `None`:
//! any program with access to the engine can send one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::losses::LossNotice;
use super::nodes::{NodeId, NodeInfo, NodeStatus};
use super::revocations::{Closing, Revocation};
use super::selector::Selector;

/// The largest message (bytes).
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The largest page of connections (bytes). A single connection may be larger, and still fits a
/// message.
const PAGE_BYTES: usize = 24 * 1024;

/// The longest text of a connection in a message (bytes). Longer texts are cut.
const MAX_TEXT_BYTES: usize = 2048;

/// The longest name of a node (bytes).
pub const MAX_NAME_BYTES: usize = 128;

const MAX_VERSION_BYTES: usize = 64;
const MAX_REASON_BYTES: usize = 123;
const VERSION: u64 = 1;

/// An open connection, as other nodes see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedConnection {
    /// Its id.
    pub id: String,
    /// User id of its identity.
    pub user_id: Option<String>,
    /// Tenant of its identity.
    pub tenant_id: Option<String>,
    /// Address of the client.
    pub peer: Option<String>,
    /// Name of its protocol.
    pub protocol: String,
    /// Operations that run on it (count).
    pub operations: u64,
    /// When it was opened, by the clock of its node (seconds since the epoch).
    pub since: f64,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) from: NodeId,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// Describes a node. `asks`: the others announce themselves in return.
    Announcement { info: NodeInfo, asks: bool },
    /// The node leaves.
    Leaving,
    /// Asks a node for something.
    Request { request: u64, asked: Asked },
    /// Answers a request.
    Answer { request: u64, answer: Answer },
}

/// What a node asks another one to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To close connections, and to refuse them for a while.
    Disconnect {
        revocation: Revocation,
        revoke_for: Option<Duration>,
    },
    /// To list its connections. The answer is needed within this time.
    Connections { within: Duration },
    /// To tell its subscribers that events were lost.
    TellLoss { loss: LossNotice },
}

/// The answer of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// How many connections it has closed.
    Disconnected { closed: u64 },
    /// One page of its connections. Pages are counted from 0.
    Connections {
        page: u64,
        is_last: bool,
        connections: Vec<ListedConnection>,
    },
    /// Its subscribers are told of a loss.
    LossTold,
}

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let mut object = Map::new();
        object.insert("v".into(), VERSION.into());
        object.insert("kind".into(), self.content.kind().into());
        object.insert("from".into(), self.from.as_str().into());
        self.content.write(&mut object);
        Value::Object(object).to_string().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return None;
        }
        let object: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        if object.get("v")?.as_u64()? != VERSION {
            return None;
        }
        let from = NodeId::parse(object.get("from")?.as_str()?)?;
        let content = Content::read(object.get("kind")?.as_str()?, &from, &object)?;
        Some(Self { from, content })
    }
}

impl Content {
    fn kind(&self) -> &'static str {
        match self {
            Self::Announcement { .. } => "node",
            Self::Leaving => "leaving",
            Self::Request { asked, .. } => match asked {
                Asked::Disconnect { .. } => "disconnect",
                Asked::Connections { .. } => "connections",
                Asked::TellLoss { .. } => "loss",
            },
            Self::Answer { answer, .. } => match answer {
                Answer::Disconnected { .. } => "disconnected",
                Answer::Connections { .. } => "connected",
                Answer::LossTold => "told",
            },
        }
    }

    fn write(&self, object: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Value| {
            object.insert(name.to_owned(), value);
        };
        match self {
            Self::Announcement { info, asks } => {
                set("name", cut(&info.name, MAX_NAME_BYTES).into());
                set("version", cut(&info.version, MAX_VERSION_BYTES).into());
                set("started_at", info.started_at.into());
                set("connections", info.status.connections.into());
                set("subscriptions", info.status.subscriptions.into());
                set("lag", info.status.lag.into());
                set("is_live", info.status.is_live.into());
                set("asks", (*asks).into());
            }
            Self::Leaving => {}
            Self::Request { request, asked } => {
                set("request", (*request).into());
                match asked {
                    Asked::Disconnect {
                        revocation,
                        revoke_for,
                    } => {
                        set("revocation", written(revocation));
                        if let Some(time) = revoke_for {
                            set("revoke_for", milliseconds(*time).into());
                        }
                    }
                    Asked::Connections { within } => set("within", milliseconds(*within).into()),
                    Asked::TellLoss { loss } => set("lost", loss.written()),
                }
            }
            Self::Answer { request, answer } => {
                set("request", (*request).into());
                match answer {
                    Answer::Disconnected { closed } => set("closed", (*closed).into()),
                    Answer::Connections {
                        page,
                        is_last,
                        connections,
                    } => {
                        set("page", (*page).into());
                        set("is_last", (*is_last).into());
                        set("list", connections.iter().map(listed).collect());
                    }
                    Answer::LossTold => {}
                }
            }
        }
    }

    fn read(kind: &str, from: &NodeId, object: &Map<String, Value>) -> Option<Self> {
        let number = |name: &str| object.get(name)?.as_u64();
        let is = |name: &str| object.get(name)?.as_bool();
        let short = |name: &str, most: usize| {
            let text = object.get(name)?.as_str()?;
            (text.len() <= most).then(|| Arc::<str>::from(text))
        };
        let request = number("request");
        Some(match kind {
            "node" => Self::Announcement {
                info: NodeInfo {
                    id: from.clone(),
                    name: short("name", MAX_NAME_BYTES)?,
                    version: short("version", MAX_VERSION_BYTES)?,
                    started_at: object.get("started_at")?.as_f64()?,
                    status: NodeStatus {
                        connections: number("connections")?,
                        subscriptions: number("subscriptions")?,
                        lag: number("lag")?,
                        is_live: is("is_live")?,
                    },
                },
                asks: is("asks")?,
            },
            "leaving" => Self::Leaving,
            "disconnect" => Self::Request {
                request: request?,
                asked: Asked::Disconnect {
                    revocation: read(object.get("revocation")?)?,
                    revoke_for: match object.get("revoke_for") {
                        Some(time) => Some(Duration::from_millis(time.as_u64()?)),
                        None => None,
                    },
                },
            },
            "connections" => Self::Request {
                request: request?,
                asked: Asked::Connections {
                    within: Duration::from_millis(number("within")?),
                },
            },
            "loss" => Self::Request {
                request: request?,
                asked: Asked::TellLoss {
                    loss: LossNotice::read(object.get("lost")?)?,
                },
            },
            "told" => Self::Answer {
                request: request?,
                answer: Answer::LossTold,
            },
            "disconnected" => Self::Answer {
                request: request?,
                answer: Answer::Disconnected {
                    closed: number("closed")?,
                },
            },
            "connected" => Self::Answer {
                request: request?,
                answer: Answer::Connections {
                    page: number("page")?,
                    is_last: is("is_last")?,
                    connections: object
                        .get("list")?
                        .as_array()?
                        .iter()
                        .map(read_listed)
                        .collect::<Option<_>>()?,
                },
            },
            _ => return None,
        })
    }
}

/// Encodes a revocation as an engine stores it.
pub(super) fn encode_revocation(revocation: &Revocation) -> Bytes {
    written(revocation).to_string().into()
}

/// Decodes a revocation that an engine has stored.
pub(super) fn decode_revocation(bytes: &[u8]) -> Option<Revocation> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    read(&serde_json::from_slice(bytes).ok()?)
}

fn written(Revocation { selector, closing }: &Revocation) -> Value {
    json!({
        "user": selector.user_id,
        "tenant": selector.tenant_id,
        "connection": selector.connection_id,
        "code": closing.code,
        "reason": cut(&closing.reason, MAX_REASON_BYTES),
    })
}

fn read(value: &Value) -> Option<Revocation> {
    let text = |name: &str| -> Option<Option<String>> {
        match value.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => None,
        }
    };
    let selector = Selector {
        user_id: text("user")?,
        tenant_id: text("tenant")?,
        connection_id: text("connection")?,
    };
    let code = u16::try_from(value.get("code")?.as_u64()?).ok()?;
    let reason = value.get("reason")?.as_str()?;
    // An empty selector would close all connections.
    let is_right = !selector.is_empty()
        && selector.is_short()
        && (code == 1000 || (3000..5000).contains(&code))
        && reason.len() <= MAX_REASON_BYTES;
    is_right.then(|| Revocation {
        selector,
        closing: Closing {
            code,
            reason: reason.into(),
        },
    })
}

/// Divides connections into pages that fit a message, and creates each page when the iterator is
/// advanced. Returns at least one page, each with whether it is the last.
pub(super) fn pages(
    connections: Vec<ListedConnection>,
) -> impl Iterator<Item = (Vec<ListedConnection>, bool)> {
    let mut rest = connections.into_iter().peekable();
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(next) = rest.peek() {
            bytes += listed(next).to_string().len();
            if !page.is_empty() && bytes > PAGE_BYTES {
                break;
            }
            page.extend(rest.next());
        }
        is_over = rest.peek().is_none();
        Some((page, is_over))
    })
}

/// The approximate size of a connection in the memory of another node (bytes).
pub(super) fn size(connection: &ListedConnection) -> usize {
    let told = |text: &String| text.len().min(MAX_TEXT_BYTES);
    let optional = [&connection.user_id, &connection.tenant_id, &connection.peer];
    let optional = optional.into_iter().flatten();
    let texts = optional.chain([&connection.id, &connection.protocol]);
    size_of::<ListedConnection>() + texts.map(told).sum::<usize>()
}

fn listed(connection: &ListedConnection) -> Value {
    let bounded = |text: &str| cut(text, MAX_TEXT_BYTES).to_owned();
    let optional = |text: &Option<String>| text.as_deref().map(bounded);
    json!([
        bounded(&connection.id),
        optional(&connection.user_id),
        optional(&connection.tenant_id),
        optional(&connection.peer),
        bounded(&connection.protocol),
        connection.operations,
        connection.since,
    ])
}

fn read_listed(value: &Value) -> Option<ListedConnection> {
    let short = |text: &str| (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned());
    let text = |place: usize| short(value.get(place)?.as_str()?);
    let optional = |place: usize| match value.get(place)? {
        Value::Null => Some(None),
        Value::String(text) => short(text).map(Some),
        _ => None,
    };
    Some(ListedConnection {
        id: text(0)?,
        user_id: optional(1)?,
        tenant_id: optional(2)?,
        peer: optional(3)?,
        protocol: text(4)?,
        operations: value.get(5)?.as_u64()?,
        since: value.get(6)?.as_f64()?,
    })
}

/// Returns the beginning of a text, at most `most` bytes, cut between two characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::nodes::tests::node;

    fn revocation() -> Revocation {
        Revocation {
            selector: Selector {
                user_id: Some("ada".to_owned()),
                ..Selector::default()
            },
            closing: Closing {
                code: 4403,
                reason: "Forbidden".into(),
            },
        }
    }

    fn connection(user_id: &str) -> ListedConnection {
        ListedConnection {
            id: "c-1".to_owned(),
            user_id: Some(user_id.to_owned()),
            tenant_id: None,
            peer: Some("127.0.0.1:1".to_owned()),
            protocol: "graphql-transport-ws".to_owned(),
            operations: 2,
            since: 1.5,
        }
    }

    fn contents() -> Vec<Content> {
        let (revocation, minute) = (revocation(), Duration::from_mins(1));
        let list = vec![connection("ada"), connection("bob")];
        let asked = [
            Asked::Disconnect {
                revocation: revocation.clone(),
                revoke_for: None,
            },
            Asked::Disconnect {
                revocation,
                revoke_for: Some(minute),
            },
            Asked::Connections { within: minute },
            Asked::TellLoss {
                loss: LossNotice::new(crate::source::Lost::Events),
            },
        ];
        let answers = [
            Answer::Disconnected { closed: 3 },
            Answer::Connections {
                page: 1,
                is_last: true,
                connections: list,
            },
            Answer::LossTold,
        ];
        let requests = asked.map(|asked| Content::Request { request: 7, asked });
        let answers = answers.map(|answer| Content::Answer { request: 7, answer });
        let announcement = Content::Announcement {
            info: node(1),
            asks: true,
        };
        let mut all = vec![announcement, Content::Leaving];
        all.extend(requests);
        all.extend(answers);
        all
    }

    fn encoded(content: Content) -> Bytes {
        let from = NodeId::new(1);
        Message { from, content }.encode()
    }

    #[test]
    fn encoded_messages_are_decoded() {
        for content in contents() {
            let read = Message::decode(&encoded(content.clone()));
            assert_eq!(read.map(|message| message.content), Some(content));
        }
        let entry = encode_revocation(&revocation());
        assert_eq!(decode_revocation(&entry), Some(revocation()));
    }

    #[test]
    fn unknown_members_of_later_versions_are_ignored() {
        let text = String::from_utf8(encoded(Content::Leaving).to_vec()).unwrap();
        let later = text.replacen('{', r#"{"more":[1],"#, 1);
        assert!(Message::decode(later.as_bytes()).is_some());
        let other = text.replacen("\"v\":1", "\"v\":2", 1);
        assert_ne!(other, text);
        assert_eq!(Message::decode(other.as_bytes()), None);
    }

    #[test]
    fn a_wrong_revocation_is_not_decoded() {
        let wrong = [
            r#"{"code":4403,"reason":""}"#,
            r#"{"user":null,"tenant":null,"connection":null,"code":4403,"reason":""}"#,
            r#"{"user":7,"code":4403,"reason":""}"#,
            r#"{"user":"ada","code":1006,"reason":""}"#,
            r#"{"user":"ada","code":70000,"reason":""}"#,
            r#"{"user":"ada","code":4403}"#,
            r#"{"user":"ada","code":4403,"reason":7}"#,
        ];
        for text in wrong {
            assert_eq!(decode_revocation(text.as_bytes()), None, "{text}");
        }
        let long = "x".repeat(2000);
        let text = format!(r#"{{"user":"{long}","code":4403,"reason":""}}"#);
        assert_eq!(decode_revocation(text.as_bytes()), None);
        let text = format!(r#"{{"user":"ada","code":4403,"reason":"{long}"}}"#);
        assert_eq!(decode_revocation(text.as_bytes()), None);
    }

    #[test]
    fn every_page_fits_a_message() {
        let ordinary = (0..5000).map(|number| connection(&format!("user {number}")));
        // A character that takes six bytes in JSON and one in the text.
        let worst = "\u{1}".repeat(MAX_TEXT_BYTES);
        let awkward = (0..50).map(|_| ListedConnection {
            tenant_id: Some(worst.clone()),
            peer: Some("é".repeat(MAX_TEXT_BYTES)),
            ..connection(&worst)
        });
        let all: Vec<_> = ordinary.chain(awkward).collect();
        let count = all.len();
        let pages: Vec<_> = pages(all).collect();
        assert_eq!(
            pages.iter().map(|(page, _)| page.len()).sum::<usize>(),
            count
        );
        let last = pages.iter().position(|(_, is_last)| *is_last);
        assert_eq!(last, Some(pages.len() - 1));
        for (page, (connections, is_last)) in (0..).zip(pages) {
            let answer = Answer::Connections {
                page,
                is_last,
                connections,
            };
            let bytes = encoded(Content::Answer { request: 1, answer });
            assert!(bytes.len() <= MAX_MESSAGE_BYTES, "{} bytes", bytes.len());
            assert!(Message::decode(&bytes).is_some());
        }
        let none: Vec<_> = super::pages(Vec::new()).collect();
        assert_eq!(none, [(Vec::new(), true)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::decode(&bytes);
            let _ = decode_revocation(&bytes);
        }

        #[test]
        fn a_damaged_message_is_decoded_or_refused(
            which in 0..9_usize, place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let all = contents();
            let mut bytes = encoded(all[which % all.len()].clone()).to_vec();
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] = byte }
            if let Some(Content::Request { asked: Asked::Disconnect { revocation, .. }, .. }) =
                Message::decode(&bytes).map(|message| message.content)
            {
                prop_assert!(!revocation.selector.is_empty());
            }
        }
    }
}
