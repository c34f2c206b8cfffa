//! Changes of tables as events.

use brokers::postgres::{Changes, Config, Installation, Table};
use bus::engine::Scope;
use serde_json::{Value, json};

use crate::servers::{Happened, Node, Server, stream};

pub(crate) const ALL: Changes = Changes {
    insert: true,
    update: true,
    delete: true,
};

pub(crate) fn table(name: &str, channel: &str) -> Table {
    Table::new(name, channel, ALL, None).unwrap()
}

pub(crate) async fn server(sql: &str, tables: &[&str]) -> Server {
    let server = Server::bare(&[]);
    server.sql(sql);
    let tables = tables.iter().map(|table| (*table).to_owned()).collect();
    server
        .install(&Installation {
            tables,
            ..Installation::default()
        })
        .await
        .unwrap();
    server
}

pub(crate) fn config(server: &Server, tables: Vec<Table>) -> Config {
    let mut config = server.config();
    config.tables = tables;
    config
}

#[tokio::test]
async fn changes_of_rows_are_events_in_the_order_of_commits() {
    let server = server(
        "CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric)",
        &["public.orders"],
    )
    .await;
    let changes = Changes {
        delete: false,
        ..ALL
    };
    let per_customer = Table::new("orders", "orders.{customer}", changes, None).unwrap();
    let tables = vec![table("orders", "orders"), per_customer];
    let node = Node::live(config(&server, tables)).await;
    let (all, ann) = (stream("orders"), stream("orders.ann"));
    node.want(&all).await;
    node.want(&ann).await;
    server.sql(
        "BEGIN; INSERT INTO orders VALUES (1, 'ann', 12.50), (2, 'bob', NULL); \
         UPDATE orders SET total = 3 WHERE id = 1; DELETE FROM orders WHERE id = 2; COMMIT",
    );
    let data = node.data(&all, 4).await;
    assert_eq!(
        data,
        [
            json!({"id": 1, "customer": "ann", "total": "12.50"}),
            json!({"id": 2, "customer": "bob", "total": null}),
            json!({"id": 1, "customer": "ann", "total": "3"}),
            json!({"id": 2}),
        ]
    );
    assert_eq!(node.data(&ann, 2).await, [data[0].clone(), data[2].clone()]);
    let events = node.received.events(&all, 4).await;
    let types: Vec<bool> = ["INSERT", "INSERT", "UPDATE", "DELETE"]
        .iter()
        .zip(&events)
        .map(|(kind, (_, text))| text.contains(kind))
        .collect();
    assert_eq!(types, [true; 4]);
    let minors: Vec<u32> = events.iter().map(|(at, _)| at.offset.minor).collect();
    assert_eq!(minors, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_row_that_moves_is_deleted_in_one_channel_and_new_in_the_other() {
    let server = server(
        "CREATE TABLE orders (id int, customer text); ALTER TABLE orders REPLICA IDENTITY FULL",
        &["orders"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("orders", "orders.{customer}")])).await;
    let (ann, bob) = (stream("orders.ann"), stream("orders.bob"));
    node.want(&ann).await;
    node.want(&bob).await;
    server.sql("INSERT INTO orders VALUES (1, 'ann')");
    server.sql("UPDATE orders SET customer = 'bob'");
    server.sql("DELETE FROM orders");
    let (of_ann, of_bob) = (
        json!({"id": 1, "customer": "ann"}),
        json!({"id": 1, "customer": "bob"}),
    );
    // Who reads one channel may not read what the row is in the other.
    assert_eq!(node.data(&ann, 2).await, [of_ann.clone(), of_ann]);
    assert_eq!(node.data(&bob, 2).await, [of_bob.clone(), of_bob]);
    let types = async |stream, types: [&str; 2]| {
        for ((_, text), kind) in node.received.events(stream, 2).await.iter().zip(types) {
            assert!(text.contains(kind), "{kind}: {text}");
        }
    };
    types(&ann, ["INSERT", "DELETE"]).await;
    types(&bob, ["INSERT", "DELETE"]).await;
}

#[tokio::test]
async fn columns_become_json_without_loss() {
    let server = server(
        "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE DOMAIN cents AS bigint CHECK (value >= 0); \
         CREATE TABLE things (id bigint PRIMARY KEY, b bool, s smallint, n numeric, f float8, r real, \
         t timestamptz, l timestamp, d date, c time, i interval, u uuid, y bytea, j jsonb, k json, \
         a int[], x text[], m mood, ms mood[], p cents, ps cents[], w tstzrange)",
        &["things"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("things", "things")])).await;
    let things = stream("things");
    node.want(&things).await;
    server.sql(
        "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; INSERT INTO things VALUES \
         (9007199254740993, true, -3, 1234567890123456789.0100, 0.1, 'NaN', \
         '2026-01-02 03:04:05.678+00', '2026-01-02 03:04:05', '2026-01-02', '03:04:05', '1 day 2 hours', \
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '{\"a\": [1, null]}', '[1]', '{1,NULL}', \
         '{\"a,b\",NULL}', 'so so', '{sad,\"so so\"}', 5, '{5,6}', '[2026-01-01 00:00+00,)')",
    );
    let expected = json!({
        "id": 9_007_199_254_740_993_i64, "b": true, "s": -3, "n": "1234567890123456789.0100", "f": 0.1,
        "r": "NaN", "t": "2026-01-02T03:04:05.678+00:00", "l": "2026-01-02T03:04:05", "d": "2026-01-02",
        "c": "03:04:05", "i": "P1DT2H", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "y": "AP8=",
        "j": {"a": [1, null]}, "k": [1], "a": [1, null], "x": ["a,b", null], "m": "so so",
        "ms": ["sad", "so so"], "p": 5, "ps": [5, 6], "w": "[\"2026-01-01 00:00:00+00\",)",
    });
    assert_eq!(node.data(&things, 1).await, [expected]);
}

#[tokio::test]
async fn a_value_that_is_stored_apart_and_not_changed_is_marked_and_left_out() {
    let server = server(
        "CREATE TABLE notes (id int PRIMARY KEY, n int, body text); \
         ALTER TABLE notes ALTER body SET STORAGE EXTERNAL",
        &["notes"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("notes", "notes")])).await;
    let notes = stream("notes");
    node.want(&notes).await;
    server.sql("INSERT INTO notes VALUES (1, 1, repeat('x', 10000))");
    server.sql("UPDATE notes SET n = 2");
    server.sql("ALTER TABLE notes REPLICA IDENTITY FULL");
    server.sql("UPDATE notes SET n = 3");
    let data = node.data(&notes, 3).await;
    let long = "x".repeat(10000);
    assert_eq!(data[0], json!({"id": 1, "n": 1, "body": long}));
    assert_eq!(data[1], json!({"id": 1, "n": 2, "_unchanged": ["body"]}));
    let old = json!({"id": 1, "n": 2, "body": long});
    assert_eq!(data[2], json!({"id": 1, "n": 3, "body": long, "_old": old}));
}

#[tokio::test]
async fn a_table_may_change_its_definition() {
    let server = server(
        "CREATE TABLE things (id int PRIMARY KEY, a text)",
        &["things"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("things", "things")])).await;
    let things = stream("things");
    node.want(&things).await;
    server.sql("INSERT INTO things VALUES (1, 'x')");
    server.sql(
        "BEGIN; INSERT INTO things VALUES (2, 'x'); ALTER TABLE things ADD b int DEFAULT 7; \
         INSERT INTO things VALUES (3, 'x', 8); ALTER TABLE things DROP a; \
         INSERT INTO things VALUES (4, 9); COMMIT",
    );
    server
        .sql("CREATE TYPE later AS ENUM ('p', 'q'); ALTER TABLE things ADD c later[], ADD d later");
    server.sql("INSERT INTO things VALUES (5, 1, '{p,q}', 'q')");
    server.sql("ALTER TABLE things RENAME b TO e");
    server.sql("INSERT INTO things VALUES (6, 1, '{p,q}', 'q')");
    let data = node.data(&things, 6).await;
    assert_eq!(
        data[..2],
        [json!({"id": 1, "a": "x"}), json!({"id": 2, "a": "x"})]
    );
    assert_eq!(
        data[2..4],
        [json!({"id": 3, "a": "x", "b": 8}), json!({"id": 4, "b": 9})]
    );
    assert_eq!(data[4], json!({"id": 5, "b": 1, "c": ["p", "q"], "d": "q"}));
    assert_eq!(data[5], json!({"id": 6, "e": 1, "c": ["p", "q"], "d": "q"}));
}

#[tokio::test]
async fn what_copy_writes_arrives_and_what_is_rolled_back_does_not() {
    let server = server("CREATE TABLE things (id int PRIMARY KEY)", &["things"]).await;
    let node = Node::live(config(&server, vec![table("things", "things")])).await;
    let things = stream("things");
    node.want(&things).await;
    server.sql("COPY things FROM PROGRAM 'seq 1 3'");
    server.sql("BEGIN; INSERT INTO things VALUES (4); ROLLBACK");
    server.sql("INSERT INTO things VALUES (5)");
    let ids: Vec<Value> = node
        .data(&things, 4)
        .await
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3), json!(5)]);
}

#[tokio::test]
async fn a_truncated_table_is_a_doubt_of_its_streams() {
    let server = server(
        "CREATE TABLE things (id int PRIMARY KEY); CREATE TABLE others (id int PRIMARY KEY)",
        &["things", "others"],
    )
    .await;
    let tables = vec![table("things", "things.{id}"), table("others", "others")];
    let node = Node::live(config(&server, tables)).await;
    let (one, other) = (stream("things.1"), stream("others"));
    node.want(&one).await;
    node.want(&other).await;
    node.received.clear();
    server.sql("INSERT INTO things VALUES (1)");
    server.sql("TRUNCATE things");
    server.sql("INSERT INTO things VALUES (1)");
    node.received.events(&one, 2).await;
    let doubts: Vec<Happened> = node
        .received
        .all()
        .into_iter()
        .filter(|one| matches!(one, Happened::Doubt(_)))
        .collect();
    assert_eq!(doubts, [Happened::Doubt(Scope::Stream(one))]);
}

#[tokio::test]
async fn a_row_without_a_value_for_its_channel_reaches_no_stream_and_stops_nothing() {
    let server = server(
        "CREATE TABLE things (id int PRIMARY KEY, a text)",
        &["things"],
    )
    .await;
    let changes = Changes {
        delete: false,
        ..ALL
    };
    let of = Table::new("things", "things.{a}", changes, None).unwrap();
    let node = Node::live(config(&server, vec![of])).await;
    let things = stream("things.x");
    node.want(&things).await;
    server.sql("INSERT INTO things VALUES (1, NULL), (2, 'x')");
    assert_eq!(node.data(&things, 1).await, [json!({"id": 2, "a": "x"})]);
}

#[tokio::test]
async fn partitions_are_rows_of_their_table() {
    let server = server(
        "CREATE TABLE logs (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10)",
        &["logs"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("logs", "logs")])).await;
    let logs = stream("logs");
    node.want(&logs).await;
    server.sql("INSERT INTO logs VALUES (1)");
    server.sql("INSERT INTO logs_1 VALUES (2)");
    assert_eq!(
        node.data(&logs, 2).await,
        [json!({"id": 1}), json!({"id": 2})]
    );
}
