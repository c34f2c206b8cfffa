//! What a node keeps of streams that nobody wants there.

use std::time::Duration;

use brokers::postgres::{Changes, Config, Installation, Table};
use bus::engine::{Engine, HistoryKind, Page, ReadError, Scope};
use bus::{HistoryLimits, Position, StreamKey};

use crate::servers::{Happened, Node, Server, eventually, json, stream};

const ALL: Changes = Changes {
    insert: true,
    update: true,
    delete: true,
};

/// A server with the tables `things` and `others`, each with the columns `id` and `name`.
async fn server() -> Server {
    let server = Server::bare(&[]);
    server.sql("CREATE TABLE things (id int PRIMARY KEY, name text)");
    server.sql("CREATE TABLE others (id int PRIMARY KEY, name text)");
    let installation = Installation {
        tables: vec!["things".to_owned(), "others".to_owned()],
        ..Installation::default()
    };
    server.install(&installation).await.unwrap();
    server
}

fn config(server: &Server) -> Config {
    let mut config = server.config();
    config.tables = vec![
        Table::new("things", "things.{id}", ALL, None).unwrap(),
        Table::new("others", "others", ALL, None).unwrap(),
    ];
    config.history = Some(HistoryLimits {
        events: 100,
        age: Duration::from_mins(5),
        bytes: 1 << 20,
    });
    config
}

/// Starts a node that reads the log, as one with subscribers of another stream does.
async fn reading(config: Config) -> Node {
    let node = Node::live(config).await;
    node.want(&stream("unused")).await;
    node
}

async fn read(node: &Node, stream: &StreamKey, after: Position) -> Result<Page, ReadError> {
    // All that is committed has arrived.
    node.head(stream).await;
    node.engine.read(stream, after, 100).await
}

fn data(page: &Page) -> Vec<String> {
    let text = |envelope: &[u8]| json(&String::from_utf8_lossy(envelope)).to_string();
    page.events
        .iter()
        .map(|(_, envelope)| text(envelope))
        .collect()
}

#[tokio::test]
async fn a_node_has_the_events_of_streams_that_nobody_wants_there() {
    let server = server().await;
    let (here, there) = (
        reading(config(&server)).await,
        reading(config(&server)).await,
    );
    assert_eq!(
        here.engine.capabilities().history,
        Some(HistoryKind::PerNode)
    );
    let (feed, one) = (stream("feed"), stream("things.1"));
    here.want(&feed).await;
    here.want(&one).await;
    let begin = here.head(&stream("quiet")).await;
    for number in 0..3 {
        server.sql(&format!(
            "SELECT fraiseql_subs.publish('feed', '{{\"n\": {number}}}')"
        ));
        server.sql(&format!("INSERT INTO things VALUES (1, '{number}'), (2, 'x') ON CONFLICT (id) DO UPDATE SET name = '{number}'"));
    }
    let delivered = here.received.events(&feed, 3).await;
    let rows = here.received.events(&one, 3).await;
    let page = read(&there, &feed, begin).await.unwrap();
    let expected: Vec<Position> = delivered.iter().map(|(at, _)| *at).collect();
    let found: Vec<Position> = page.events.iter().map(|(at, _)| *at).collect();
    assert_eq!(found, expected);
    assert!(page.head.offset >= expected[2].offset);
    let page = read(&there, &feed, expected[1]).await.unwrap();
    assert_eq!(data(&page), [r#"{"n":2}"#]);
    let page = read(&there, &one, rows[0].0).await.unwrap();
    let found: Vec<Position> = page.events.iter().map(|(at, _)| *at).collect();
    assert_eq!(found, [rows[1].0, rows[2].0]);
    assert_eq!(
        read(&there, &stream("quiet"), begin).await.unwrap().events,
        []
    );
}

#[tokio::test]
async fn what_was_committed_before_a_node_reads_the_log_is_too_late() {
    let server = server().await;
    let here = reading(config(&server)).await;
    let begin = here.want(&stream("feed")).await;
    server.sql("SELECT fraiseql_subs.publish('feed', '{}')");
    let there = reading(config(&server)).await;
    let answer = read(&there, &stream("feed"), begin).await;
    assert!(
        matches!(answer, Err(ReadError::TooLate { .. })),
        "{answer:?}"
    );
    // The same after a lost link.
    let at = there.head(&stream("feed")).await;
    there.received.clear();
    server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
    server.sql("SELECT fraiseql_subs.publish('feed', '{}')");
    there.received.ready(&stream("unused")).await;
    let answer = read(&there, &stream("feed"), at).await;
    assert!(
        matches!(answer, Err(ReadError::TooLate { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn without_limits_nothing_is_kept() {
    let server = server().await;
    let mut config = config(&server);
    config.history = None;
    let node = reading(config).await;
    assert_eq!(node.engine.capabilities().history, None);
    let begin = node.head(&stream("feed")).await;
    server.sql("SELECT fraiseql_subs.publish('feed', '{}')");
    let answer = read(&node, &stream("feed"), begin).await;
    assert!(
        matches!(answer, Err(ReadError::Unavailable(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_truncated_table_is_a_gap_for_its_streams() {
    let server = server().await;
    let node = reading(config(&server)).await;
    let (one, others) = (stream("things.1"), stream("others"));
    let begin = node.head(&one).await;
    server.sql("INSERT INTO things VALUES (1); INSERT INTO others VALUES (1)");
    server.sql("TRUNCATE things");
    let after = node.head(&one).await;
    server.sql("INSERT INTO things VALUES (1)");
    for quiet in [&one, &stream("things.2")] {
        let answer = read(&node, quiet, begin).await;
        assert!(
            matches!(answer, Err(ReadError::TooLate { .. })),
            "{answer:?}"
        );
    }
    let page = read(&node, &one, after).await.unwrap();
    assert_eq!(data(&page), [r#"{"id":1,"name":null}"#]);
    let page = read(&node, &others, begin).await.unwrap();
    assert_eq!(data(&page), [r#"{"id":1,"name":null}"#]);
}

#[tokio::test]
async fn a_row_that_is_larger_than_an_event_may_be_is_missed_and_counted() {
    let server = server().await;
    let mut config = config(&server);
    config.max_event_bytes = 2000;
    let node = Node::live(config).await;
    let one = stream("things.1");
    let begin = node.want(&one).await;
    // It is within the limit of the connection.
    server.sql("INSERT INTO things VALUES (1, repeat('x', 3000)), (2, repeat('x', 3000))");
    server.sql("INSERT INTO things VALUES (3); UPDATE things SET name = 'short' WHERE id = 1");
    node.received.events(&one, 1).await;
    let happened = node.received.all();
    let doubt = Happened::Doubt(Scope::Stream(one.clone()));
    assert_eq!(happened.iter().filter(|one| **one == doubt).count(), 1);
    let lost = |one: &&Happened| **one == Happened::Unreadable;
    assert_eq!(happened.iter().filter(lost).count(), 2);
    let answer = read(&node, &one, begin).await;
    assert!(
        matches!(answer, Err(ReadError::TooLate { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_an_event_is_counted() {
    let server = server().await;
    let mut config = config(&server);
    config.tables = vec![
        Table::new(
            "others",
            "others.{name}",
            Changes {
                delete: false,
                ..ALL
            },
            None,
        )
        .unwrap(),
    ];
    config.max_event_bytes = 2000;
    let node = reading(config).await;
    server.sql("INSERT INTO others VALUES (1)");
    server.sql("SELECT pg_logical_emit_message(true, 'fs1', 'no envelope')");
    server.sql("SELECT pg_logical_emit_message(true, 'fs1', repeat('x', 200000))");
    server.sql("SELECT pg_logical_emit_message(true, 'of others', repeat('x', 200000))");
    let lost = |one: &Happened| *one == Happened::Unreadable;
    let count = || node.received.all().iter().filter(|one| lost(one)).count();
    eventually("three events are counted", || count() == 3).await;
    node.head(&stream("unused")).await;
    assert_eq!(count(), 3);
}
