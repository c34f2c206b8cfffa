//! What a source publishes.

use brokers::postgres::{Changes, Installation, Table};
use bus::source::Lost;
use bus::{Envelope, StreamKey};
use serde_json::json;

use super::board::{Mode, Posted};
use super::{Board, SourceNode, publish};
use crate::servers::{Server, eventually};

#[tokio::test]
async fn events_are_published_in_the_order_of_commits() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..50);
    server.sql(
        "SELECT count(fraiseql_subs.publish('orders', jsonb_build_object('n', n))) \
         FROM generate_series(50, 2999) AS n",
    );
    publish(&server, 3000..3010);
    board.has(3010).await;
    assert_eq!(board.duplicates(), 0);
    eventually("they are counted", || node.status().events == 3010).await;
}

#[tokio::test]
async fn the_id_of_a_publisher_stays_the_id_of_the_event() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    let call = "SELECT fraiseql_subs.publish('orders', '{\"n\": 0}', event_id => 'mine');";
    server.sql_by_statement(&call.repeat(2));
    eventually("both are published", || board.numbers().len() == 2).await;
    // Two transactions are two events, as with PostgreSQL as the engine.
    let envelopes = board.envelopes();
    assert_eq!(envelopes.len(), 2);
    for envelope in &envelopes {
        assert_eq!(Envelope::read(envelope, false).unwrap().id, Some("mine"));
    }
}

fn table(channel: &str) -> Table {
    let all = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    Table::new("public.items", channel, all, None).unwrap()
}

async fn with_items() -> Server {
    let server = Server::bare(&[]);
    server.sql("CREATE TABLE items (id int PRIMARY KEY, box text)");
    server.sql("ALTER TABLE items REPLICA IDENTITY FULL");
    let installation = Installation {
        tables: vec!["public.items".to_owned()],
        ..Installation::default()
    };
    server.install(&installation).await.unwrap();
    server
}

#[tokio::test]
async fn rows_are_published_on_each_channel_that_they_concern() {
    let server = with_items().await;
    let mut config = server.config();
    config.tables = vec![table("items"), table("items.{box}")];
    let board = Board::default();
    let _node = SourceNode::reading(config, &board).await;
    server.sql("INSERT INTO items VALUES (1, 'a')");
    server.sql("UPDATE items SET box = 'b'");
    let row = json!({"id": 1, "box": "a"});
    let moved = json!({"id": 1, "box": "b", "_old": {"id": 1, "box": "a"}});
    let on = |channel: &str, data: &serde_json::Value| {
        Posted::Event(StreamKey::of_channel(channel), data.clone())
    };
    let expected = [
        on("items", &row),
        on("items.a", &row),
        on("items", &moved),
        on("items.a", &row),
        on("items.b", &json!({"id": 1, "box": "b"})),
    ];
    eventually("all are published", || board.posted().len() >= 6).await;
    let events = board.posted().split_off(1);
    assert_eq!(events, expected);
    // The two halves of a row that moves have two ids.
    assert_eq!(board.duplicates(), 0);
}

#[tokio::test]
async fn a_truncated_table_is_told_in_its_place() {
    let server = with_items().await;
    let mut config = server.config();
    config.tables = vec![table("items")];
    let board = Board::default();
    let _node = SourceNode::reading(config, &board).await;
    board.clear();
    server.sql_by_statement(
        "INSERT INTO items VALUES (1, 'a'); TRUNCATE items; INSERT INTO items VALUES (2, 'a')",
    );
    eventually("all are published", || board.posted().len() == 3).await;
    assert_eq!(board.posted()[1], Posted::Loss(Lost::Events));
    assert_eq!(board.data("items").len(), 2);
}

#[tokio::test]
async fn an_event_that_the_engine_cannot_take_is_told_to_its_stream() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    board.clear();
    server.sql("SELECT fraiseql_subs.publish('orders', to_jsonb(repeat('x', 20000)))");
    let orders = Posted::Loss(Lost::EventsOf(StreamKey::of_channel("orders")));
    eventually("it is told", || board.posted() == [orders.clone()]).await;
    board.clear();
    board.set(Mode::Refuse);
    publish(&server, 0..1);
    eventually("it is told", || board.posted() == [orders.clone()]).await;
    board.clear();
    board.set(Mode::Accept);
    publish(&server, 0..1);
    board.has(1).await;
}

#[tokio::test]
async fn what_is_committed_while_the_engine_is_away_is_published_later() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    board.set(Mode::Away);
    server.sql(
        "SELECT count(fraiseql_subs.publish('orders', jsonb_build_object('n', n, 'x', repeat('x', 2000)))) \
         FROM generate_series(0, 9999) AS n",
    );
    let behind = || {
        server.sql("SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots")
    };
    eventually("the log is kept", || {
        behind().parse::<u64>().unwrap() > 20_000_000
    })
    .await;
    assert!(board.numbers().is_empty());
    board.set(Mode::Accept);
    board.has(10_000).await;
    eventually("it is confirmed", || {
        behind().parse::<u64>().unwrap() < 1_000_000
    })
    .await;
    assert_eq!(board.duplicates(), 0);
    assert!(node.status().is_reader);
}

#[tokio::test]
async fn a_server_that_writes_other_things_keeps_no_log_for_them() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    server.sql("CREATE TABLE other AS SELECT repeat('x', 500) AS x FROM generate_series(1, 40000)");
    let kept =
        "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 1000000 FROM pg_replication_slots";
    eventually("it is confirmed", || server.sql(kept) == "t").await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_told_to_all() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    eventually("the begin is told", || board.losses() == 1).await;
    publish(&server, 0..1);
    // The first at once, the others together.
    server.sql(
        "SELECT pg_logical_emit_message(true, 'fs1', 'no envelope') FROM generate_series(1, 50)",
    );
    eventually("they are told", || board.losses() == 3).await;
    publish(&server, 1..2);
    board.has(2).await;
    let any = Posted::Loss(Lost::Events);
    assert_eq!(board.posted()[2], any, "in its place");
    assert_eq!(board.losses(), 3);
}
