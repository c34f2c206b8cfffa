//! One client: its handshake, and the client side of graphql-transport-ws.
//!
//! Receives bytes and produces bytes to send; records results in the [`Record`] of the run.
//! Not here: sockets (`driver`).

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::Value;

use crate::arrivals::Arrivals;
use crate::frames::{FrameReader, Incoming, MAX_MESSAGE_BYTES, put_pong, put_text};
use crate::inflate::Inflater;
use crate::scan::ResultScanner;
use crate::tracker::{Delivery, DeliveryTracker};

/// Different errors that are kept (count); further ones are usually similar.
const MAX_ERRORS: usize = 20;

/// Bytes of a server's text that an error quotes.
const QUOTED_BYTES: usize = 200;

/// Longest response to a handshake (bytes); a server that sends more does not speak HTTP.
const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;

/// State that the clients of a run share: the messages that they send, and the record of results.
pub(crate) struct Record {
    pub(crate) tracker: DeliveryTracker,
    /// Times from publishing to reading (microseconds).
    pub(crate) latencies: Histogram<u64>,
    pub(crate) arrivals: Arrivals,
    scanner: ResultScanner,
    /// Made for the first compressed message.
    inflater: Option<Inflater>,
    /// Bytes of the servers' messages and frames since the measurement began.
    pub(crate) received: u64,
    /// Time of the current read (microseconds since the load began).
    pub(crate) now: u64,
    /// Messages about events since the load began (a count).
    pub(crate) results: u64,
    errors: BTreeMap<String, u64>,
    /// The frame of `connection_init`.
    init: Vec<u8>,
}

/// The state of a client.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The handshake is not complete; the received part of the response.
    Upgrading(Vec<u8>),
    /// `connection_init` is sent.
    Initialising,
    /// Acknowledged, and every `subscribe` is sent.
    Subscribed,
}

/// One client, without its socket.
pub(crate) struct LoadClient {
    /// Number of its first subscription.
    first: u32,
    /// Number of its subscriptions.
    subscriptions: u32,
    /// When it began to connect (microseconds since the load began).
    opened: u64,
    /// Whether it has received a result.
    has_result: bool,
    /// Why the server or the network ended it.
    pub(crate) ended: Option<String>,
    pub(crate) stage: Stage,
    /// Bytes to be sent.
    pub(crate) outgoing: Vec<u8>,
    /// The `subscribe` messages, until they are sent.
    subscribe: Vec<u8>,
    reader: FrameReader,
}

impl Record {
    pub(crate) fn new(tracker: DeliveryTracker, init_payload: Option<&str>) -> Self {
        let mut init = Vec::new();
        let message = match init_payload {
            Some(payload) => format!(r#"{{"type":"connection_init","payload":{payload}}}"#),
            None => r#"{"type":"connection_init"}"#.to_owned(),
        };
        put_text(&mut init, message.as_bytes());
        Self {
            tracker,
            latencies: histogram(),
            arrivals: Arrivals::new(),
            scanner: ResultScanner::default(),
            inflater: None,
            received: 0,
            now: 0,
            results: 0,
            errors: BTreeMap::new(),
            init,
        }
    }

    /// Records an error; equal ones are counted.
    pub(crate) fn error(&mut self, error: String) {
        if self.errors.len() < MAX_ERRORS || self.errors.contains_key(&error) {
            *self.errors.entry(error).or_default() += 1;
        }
    }

    /// Whether there were errors.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns the errors, each with its count.
    pub(crate) fn errors(&self) -> Vec<String> {
        let errors = self.errors.iter();
        errors
            .map(|(error, count)| match count {
                1 => error.clone(),
                count => format!("{error} ({count} times)"),
            })
            .collect()
    }

    /// Resets the measurements.
    pub(crate) fn start(&mut self) {
        self.tracker.start();
        self.latencies = histogram();
        self.received = 0;
    }

    /// Records a message if it is the result of an event; returns whether it was.
    fn result(&mut self, client: u32, subscriptions: u32, message: &[u8]) -> bool {
        let Some(stamp) = self.scanner.stamp(message) else {
            return false;
        };
        // With one subscription for each connection, the id is not needed.
        let operation = match subscriptions {
            1 => 1,
            _ => self.scanner.operation(message).unwrap_or(0),
        };
        self.results += 1;
        if operation == 0 || operation > subscriptions {
            self.error(format!(
                "a result of an operation that is none: {}",
                quoted(message)
            ));
            return true;
        }
        let delivery = self.tracker.deliver(client + operation - 1, stamp.sequence);
        if let (Delivery::Delivered, Some(sent_at)) = (delivery, stamp.sent_at) {
            self.latencies
                .saturating_record(self.now.saturating_sub(sent_at));
        }
        true
    }
}

/// Creates a histogram of latencies (microseconds) with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are valid"));
    histogram.auto(true);
    histogram
}

/// The members of a message that is not a result.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<String>,
    payload: Option<Value>,
}

impl LoadClient {
    /// Creates a client whose handshake has to be sent.
    pub(crate) fn new(
        first: u32,
        subscriptions: u32,
        opened: u64,
        handshake: Vec<u8>,
        subscribe: Vec<u8>,
    ) -> Self {
        Self {
            first,
            subscriptions,
            opened,
            has_result: false,
            ended: None,
            stage: Stage::Upgrading(Vec::new()),
            outgoing: handshake,
            subscribe,
            reader: FrameReader::default(),
        }
    }

    /// Returns the numbers of its subscriptions.
    pub(crate) fn operations(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.subscriptions
    }

    /// Receives the bytes of a read.
    pub(crate) fn take(&mut self, bytes: &[u8], record: &mut Record) {
        if let Stage::Upgrading(answer) = &mut self.stage {
            answer.extend_from_slice(bytes);
            let answer = std::mem::take(answer);
            match upgraded(&answer) {
                Ok(None) => self.stage = Stage::Upgrading(answer),
                Ok(Some(length)) => {
                    self.stage = Stage::Initialising;
                    self.outgoing.extend_from_slice(&record.init);
                    self.frames(&answer[length..], record);
                }
                Err(error) => self.ended = Some(error),
            }
        } else {
            self.frames(bytes, record);
        }
    }

    fn frames(&mut self, bytes: &[u8], record: &mut Record) {
        let mut reader = std::mem::take(&mut self.reader);
        let read = reader.read(bytes, |incoming| match incoming {
            Incoming::Message(message) => self.handle(message, record),
            Incoming::Compressed(payload) => {
                let mut inflater = record.inflater.take().unwrap_or_default();
                match inflater.inflate(payload, MAX_MESSAGE_BYTES) {
                    Some(message) => self.handle(message, record),
                    None => self.ended = Some("the server sent a broken compressed message".into()),
                }
                record.inflater = Some(inflater);
            }
            Incoming::Ping(payload) => put_pong(&mut self.outgoing, payload),
            Incoming::Close(code, reason) => {
                let reason = String::from_utf8_lossy(reason);
                self.ended = Some(format!("the server closed a connection: {code} {reason}"));
            }
        });
        self.reader = reader;
        if let Err(error) = read {
            self.ended = Some(error.to_string());
        }
    }

    fn handle(&mut self, message: &[u8], record: &mut Record) {
        if !record.result(self.first, self.subscriptions, message) {
            self.message(message, record);
        } else if !self.has_result {
            self.has_result = true;
            let time = record.now.saturating_sub(self.opened);
            record.arrivals.first_results.saturating_record(time);
        }
    }

    /// Handles a message that is not a result.
    fn message(&mut self, bytes: &[u8], record: &mut Record) {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(bytes) else {
            record.error(format!("a message of no known form: {}", quoted(bytes)));
            return;
        };
        match (message.kind, &self.stage) {
            ("connection_ack", Stage::Initialising) => {
                self.stage = Stage::Subscribed;
                let time = record.now.saturating_sub(self.opened);
                record.arrivals.acknowledged.saturating_record(time);
                self.outgoing
                    .append(&mut std::mem::take(&mut self.subscribe));
            }
            ("ping", _) => put_text(&mut self.outgoing, br#"{"type":"pong"}"#),
            ("pong", _) => {}
            ("next", _) => record.error(format!("a result without `sequence`: {}", quoted(bytes))),
            ("error" | "complete", _) => {
                let payload = message.payload.unwrap_or_default().to_string();
                record.error(match message.kind {
                    "error" => {
                        format!("a subscription was refused: {}", quoted(payload.as_bytes()))
                    }
                    _ => "the server completed a subscription".to_owned(),
                });
                let operation = message.id.and_then(|id| id.parse::<u32>().ok());
                if let Some(operation) = operation.filter(|n| (1..=self.subscriptions).contains(n))
                {
                    record.tracker.end(self.first + operation - 1);
                }
            }
            _ => record.error(format!("an unexpected message: {}", quoted(bytes))),
        }
    }
}

/// Returns the beginning of a text of the server.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED_BYTES)]);
    format!(
        "{text}{}",
        if bytes.len() > QUOTED_BYTES {
            "…"
        } else {
            ""
        }
    )
}

/// Returns the length of the response to a handshake, if it is complete.
fn upgraded(answer: &[u8]) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if answer.len() <= MAX_HANDSHAKE_BYTES => return Ok(None),
        _ => return Err("the answer to a handshake is not HTTP".to_owned()),
    };
    if response.code != Some(101) {
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or(answer);
        return Err(format!("a handshake was answered with `{}`", quoted(line)));
    }
    let mut headers = response.headers.iter();
    let protocol = headers.find(|h| h.name.eq_ignore_ascii_case("sec-websocket-protocol"));
    if protocol.is_none_or(|header| header.value != b"graphql-transport-ws") {
        return Err("the server does not speak graphql-transport-ws".to_owned());
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::Audience;

    const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";

    fn text(message: &str) -> Vec<u8> {
        let mut frame = vec![0x81, message.len() as u8];
        frame.extend(message.as_bytes());
        frame
    }

    fn subscribed(subscriptions: u32) -> (LoadClient, Record) {
        let audiences = vec![Audience::All; subscriptions as usize];
        let mut record = Record::new(DeliveryTracker::new(audiences), None);
        let mut client = LoadClient::new(
            0,
            subscriptions,
            0,
            b"handshake".to_vec(),
            b"subscribe".to_vec(),
        );
        client.outgoing.clear();
        client.take(ACCEPTED, &mut record);
        client.take(&text(r#"{"type":"connection_ack"}"#), &mut record);
        (client, record)
    }

    #[test]
    fn a_client_initialises_then_subscribes() {
        let (mut client, mut record) = subscribed(1);
        let sent = String::from_utf8_lossy(&client.outgoing).into_owned();
        assert!(sent.contains("connection_init"), "{sent}");
        assert!(sent.ends_with("subscribe"), "{sent}");
        record.tracker.publish(0);
        record.now = 1_500;
        client.take(
            &text(r#"{"payload":{"sequence":0,"sentAt":500}}"#),
            &mut record,
        );
        assert_eq!(record.tracker.counts().delivered, 1);
        assert_eq!(record.latencies.max(), 1_000);
    }

    #[test]
    fn a_handshake_may_come_in_pieces_and_with_frames_behind_it() {
        let mut record = Record::new(
            DeliveryTracker::new([Audience::All]),
            Some(r#"{"token":1}"#),
        );
        let mut client = LoadClient::new(0, 1, 0, Vec::new(), b"subscribe".to_vec());
        let mut bytes = ACCEPTED.to_vec();
        bytes.extend(text(r#"{"type":"connection_ack"}"#));
        for byte in bytes {
            client.take(&[byte], &mut record);
        }
        let sent = String::from_utf8_lossy(&client.outgoing).into_owned();
        assert!(sent.contains(r#""payload":{"token":1}"#), "{sent}");
        assert!(sent.ends_with("subscribe"), "{sent}");
    }

    #[test]
    fn results_are_told_apart_by_their_operation() {
        let (mut client, mut record) = subscribed(2);
        record.tracker.publish(0);
        for id in ["1", "2", "2", "3"] {
            let message = format!(r#"{{"id":"{id}","payload":{{"sequence":0}}}}"#);
            client.take(&text(&message), &mut record);
        }
        let counts = record.tracker.counts();
        assert_eq!((counts.delivered, counts.duplicated), (2, 1));
        assert!(record.errors()[0].contains("an operation that is none"));
    }

    #[test]
    fn pings_of_both_kinds_are_answered() {
        let (mut client, mut record) = subscribed(1);
        client.outgoing.clear();
        client.take(&[0x89, 2, b'h', b'i'], &mut record);
        client.take(&text(r#"{"type":"ping"}"#), &mut record);
        assert_eq!(client.outgoing[..8], [0x8A, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert!(client.outgoing.ends_with(br#"{"type":"pong"}"#));
    }

    #[test]
    fn what_a_server_refuses_is_an_error_that_says_why() {
        let (mut client, mut record) = subscribed(1);
        let refusal = r#"{"type":"error","id":"1","payload":[{"message":"no field"}]}"#;
        client.take(&text(refusal), &mut record);
        client.take(&text(refusal), &mut record);
        assert!(
            record.errors()[0].contains("no field"),
            "{:?}",
            record.errors()
        );
        assert!(record.errors()[0].ends_with("(2 times)"));
        client.take(b"\x88\x04\x11\x30no", &mut record);
        assert_eq!(
            client.ended.unwrap(),
            "the server closed a connection: 4400 no"
        );
    }

    #[test]
    fn an_answer_that_is_no_handshake_ends_the_client() {
        for (answer, expected) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "404 Not Found"),
            (b"HTTP/1.1 101 X\r\n\r\n", "graphql-transport-ws"),
            (b"SSH-2.0\r\n\r\n", "not HTTP"),
        ] {
            let mut record = Record::new(DeliveryTracker::new([Audience::All]), None);
            let mut client = LoadClient::new(0, 1, 0, Vec::new(), Vec::new());
            client.take(answer, &mut record);
            let ended = client.ended.unwrap();
            assert!(ended.contains(expected), "{ended}");
        }
    }
}
